"""Backups that only their recipient can open, with age and gpg for real."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from newsletter.app import App
from tests.backup.changes import join
from tests.peers.fixtures import missing


@pytest.fixture
def age_key(tmp_path: Path) -> tuple[str, Path]:
    """A recipient, and the file with the key that opens what is made for it."""
    if shutil.which("age-keygen") is None:
        missing("age")
    path = tmp_path / "key.txt"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    said = subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True)
    return said.stdout.strip(), path


@pytest.fixture
def gpg_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The fingerprint of a key in a keyring of the test's own."""
    if shutil.which("gpg") is None:
        missing("gpg")
    home = Path("/tmp") / f"gpg-{os.getpid()}-{os.urandom(4).hex()}"  # its agent's socket needs a short path
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    make = ["gpg", "--batch", "--passphrase", "", "--quick-gen-key", "Keeper <keeper@example.org>", "future-default"]
    subprocess.run([*make, "default", "never"], check=True, capture_output=True)
    listed = subprocess.run(["gpg", "--list-keys", "--with-colons"], check=True, capture_output=True, text=True)
    yield next(line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr:"))
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
    shutil.rmtree(home, ignore_errors=True)


def holds_nothing_readable(path: Path, app: App) -> bool:
    raw = path.read_bytes()
    return b"manifest" not in raw and not raw.startswith(b"\x1f\x8b") and b"SQLite format" not in raw


def test_with_age_only_its_key_opens_it(live: App, run, age_key, tmp_path: Path) -> None:
    recipient, key = age_key
    join(live, "ann")
    path = tmp_path / "a.age"
    made = run("db", "backup", path, "--encrypt-to", recipient)
    assert made["encrypted"] == "age"
    assert holds_nothing_readable(path, live)
    assert "--identity" in run("db", "restore", path, "--into", tmp_path / "new", code=1)
    other = tmp_path / "other.txt"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
    said = run("db", "restore", path, "--into", tmp_path / "new", "--identity", other, code=1)
    assert "age could not do it" in said
    assert "no identity matched" in said
    run("db", "restore", path, "--into", tmp_path / "new", "--identity", key)
    assert (tmp_path / "new" / "secrets" / "pepper.key").exists()


def test_a_file_of_recipients_is_taken_too(live: App, run, age_key, tmp_path: Path) -> None:
    recipient, key = age_key
    (tmp_path / "recipients").write_text(f"# ours\n{recipient}\n")
    run("db", "backup", tmp_path / "a.age", "--encrypt-to", tmp_path / "recipients")
    run("db", "restore", tmp_path / "a.age", "--into", tmp_path / "new", "--identity", key)


def test_with_gpg_only_its_key_opens_it(live: App, run, gpg_key: str, tmp_path: Path, monkeypatch) -> None:
    join(live, "ann")
    path = tmp_path / "a.gpg"
    assert run("db", "backup", path, "--encrypt-to", gpg_key)["encrypted"] == "gpg"
    assert holds_nothing_readable(path, live)
    with monkeypatch.context() as patched:
        (tmp_path / "empty").mkdir(mode=0o700)
        patched.setenv("GNUPGHOME", str(tmp_path / "empty"))
        assert "gpg could not do it" in run("db", "restore", path, "--into", tmp_path / "new", code=1)
    run("db", "restore", path, "--into", tmp_path / "new")
    assert (tmp_path / "new" / "secrets" / "pepper.key").exists()


@pytest.mark.parametrize("program", ["", "age", "gpg"])
def test_a_check_reads_all_of_a_backup_and_restores_nothing(
    live: App, run, age_key, gpg_key, tmp_path: Path, program: str
) -> None:
    """Where it was made nobody can open an encrypted one; where its key is, there need be no workspace."""
    recipient, key = age_key
    to = {"": [], "age": ["--encrypt-to", recipient], "gpg": ["--encrypt-to", gpg_key]}[program]
    identity = ["--identity", key] if program == "age" else []
    join(live, "ann")
    path, elsewhere = tmp_path / "a.enc", tmp_path / "elsewhere"
    elsewhere.mkdir()
    said = run("db", "backup", path, *to, as_json=False)
    assert ("newsletter db check" in " ".join(said.split())) is bool(program)
    held = run("db", "check", path, *identity, root=elsewhere)
    assert (held["encrypted"], held["counts"]["subscribers"], held["keys"]) == (program or None, 1, True)
    assert "Whole" in run("db", "check", path, *identity, root=elsewhere, as_json=False)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:-20], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        path.write_bytes(damaged)
        run("db", "check", path, *identity, root=elsewhere, code=1)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("program", ["age", "gpg"])
def test_a_flipped_byte_or_a_cut_end_is_refused(live: App, run, age_key, gpg_key, tmp_path: Path, program) -> None:
    recipient, key = age_key
    path = tmp_path / "a.enc"
    run("db", "backup", path, "--encrypt-to", recipient if program == "age" else gpg_key)
    whole = path.read_bytes()
    identity = ["--identity", key] if program == "age" else []
    middle = len(whole) // 2
    for damaged in (whole[:-20], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        path.write_bytes(damaged)
        run("db", "restore", path, "--into", tmp_path / "new", *identity, code=1)
        assert not (tmp_path / "new" / "config.toml").exists()
        assert not (tmp_path / "new" / "restoring").exists()


@pytest.mark.parametrize(
    ("recipient", "words"),
    [
        ("age1notarecipient", "age could not do it"),
        ("nobody@example.invalid", "gpg could not do it"),
        ("--output=/etc/passwd", "none"),
        ("", "none"),
        ("AGE-SECRET-KEY-1QQQQ", "secret key"),
    ],
)
def test_a_recipient_that_is_none_is_told_before_any_work(
    live: App, run, gpg_key, tmp_path: Path, recipient: str, words: str
) -> None:
    said = run("db", "backup", tmp_path / "a", f"--encrypt-to={recipient}", code=1)
    assert words in said
    assert "QQQQ" not in said
    assert list(tmp_path.glob("*a*.part")) == []
    assert not (tmp_path / "a").exists()


def test_a_program_that_is_not_installed_is_named(live: App, run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = run("db", "backup", tmp_path / "a", "--encrypt-to", "age1qqqq", code=1)
    assert "age is not installed" in said
    assert "apt install age" in said
