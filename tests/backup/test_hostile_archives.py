"""What is no backup of ours, or was tampered with, touches nothing; nothing of an archive lands outside its place."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsletter.app import App
from newsletter.backup import container
from newsletter.backup.manifest import BackupDamaged, Manifest, is_expected
from tests.backup.changes import join

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def sound(live: App, run, tmp_path: Path) -> Path:
    join(live, "ann")
    run("db", "backup", tmp_path / "sound.tar.gz")
    return tmp_path / "sound.tar.gz"


@pytest.fixture
def tampered(sound: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the backup anew, with its members or its manifest changed."""

    def tamper(members: Callable[[Members], Members] = list, manifest: Callable[[Any], None] = lambda _: None) -> Path:
        with tarfile.open(sound) as archive:
            held: Members = [(m, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]
        said = json.loads(held[0][1])
        manifest(said)
        raw = json.dumps(said).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(raw)
        path = tmp_path / "tampered.tar.gz"
        with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
            for member, content in members([(info, raw), *held[1:]]):
                archive.addfile(member, io.BytesIO(content))
        return path

    return tamper


@pytest.fixture
def refused(run, tmp_path: Path) -> Callable[[Path], str]:
    """Return a function that tries to restore, and sees that nothing came of it anywhere."""

    def refuse(path: Path) -> str:
        new = tmp_path / "deep" / "er" / "new"
        said: str = run("db", "restore", path, "--into", new, "--yes", code=1)
        left = [str(p.relative_to(tmp_path)) for p in (tmp_path / "deep").rglob("*") if p.is_file() or p.is_symlink()]
        assert left == []
        assert not (tmp_path / "evil").exists()
        assert "Traceback" not in said
        return said

    return refuse


def file(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


OF_AN_X = hashlib.sha256(b"x").hexdigest()


def entry(name: Any, size: Any = 1, sha256: Any = OF_AN_X) -> dict[str, Any]:
    return {"name": name, "size": size, "sha256": sha256}


PATHS = [
    "../../evil", "/tmp/evil", "media/../../evil", "media/./x", "media//x", "media/", "secrets", "media\\..\\evil",
    "evil", "config.toml/x", "locks/x", "media/a\nb", "media/a\0b", "MEDIA/x", "", ".", "media/" + "x" * 2000,
    "newsletter.sqlite3-wal", "never-mail.jsonl/..", "media/\u202eexe.gnp",
]  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_a_path_outside_its_place_is_refused(tampered, refused, name: str) -> None:
    path = tampered(lambda held: [*held, file(name[:90] or "x")], lambda said: said["files"].append(entry(name)))
    assert "no backup holds" in refused(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_a_link_a_device_or_a_folder_is_refused(tampered, refused, kind: bytes) -> None:
    def add(held: Members) -> Members:
        info = tarfile.TarInfo("media/link")
        info.type, info.linkname = kind, "../../../evil"
        return [*held, (info, b"")]

    assert "no plain file" in refused(tampered(add, lambda said: said["files"].append(entry("media/link"))))


def test_what_the_manifest_does_not_name_is_refused(tampered, refused) -> None:
    assert "more than it says" in refused(tampered(lambda held: [*held, file("media/x")]))
    assert "should stand" in refused(tampered(lambda held: [held[0], file("media/x"), *held[1:]]))


def test_what_is_missing_twice_or_in_another_order_is_refused(tampered, refused) -> None:
    refused(tampered(lambda held: held[:-1]))
    refused(tampered(lambda held: [held[0], held[1], held[1], *held[2:]]))
    refused(tampered(lambda held: [held[0], *reversed(held[1:])]))
    refused(tampered(lambda held: held[1:]))
    refused(tampered(manifest=lambda said: said["files"].append(said["files"][0])))


def test_a_file_that_is_a_folder_too_is_refused(tampered, refused) -> None:
    def name(said: Any) -> None:
        said["files"] += [entry("media/a"), entry("media/a/b")]

    assert "twice" in refused(tampered(lambda held: [*held, file("media/a"), file("media/a/b")], name))


def test_a_changed_byte_of_a_file_is_found_although_the_archive_is_sound(tampered, refused) -> None:
    def change(held: Members) -> Members:
        return [(m, c if m.name != "secrets/pepper.key" else c[:-3] + b"00\n") for m, c in held]

    assert "secrets/pepper.key" in refused(tampered(change))


def test_a_database_that_holds_other_rows_than_were_counted_is_refused(tampered, refused) -> None:
    def count(said: Any) -> None:
        said["counts"]["subscribers"] += 1

    assert "subscribers" in refused(tampered(manifest=count))


def test_a_newer_program_is_told(tampered, refused) -> None:
    def revision(said: Any) -> None:
        said["revision"] = "9999"

    def version(said: Any) -> None:
        said["format"] = 2

    assert "newer version" in refused(tampered(manifest=revision))
    assert "another version" in refused(tampered(manifest=version))


def test_a_size_that_no_disk_holds_is_refused_before_a_byte_is_written(tampered, refused) -> None:
    def size(said: Any) -> None:
        said["files"].append(entry("media/x", 1 << 60))

    assert "free" in refused(tampered(manifest=size))


@pytest.mark.parametrize("value", [-1, 1.5, "1", None, True, [1]])
def test_nonsense_in_the_manifest_is_told_in_words(tampered, refused, value: Any) -> None:
    refused(tampered(manifest=lambda said: said["files"].append(entry("media/x", value))))
    refused(tampered(manifest=lambda said: said["files"].append(entry("media/x", 1, value))))
    refused(tampered(manifest=lambda said: said["files"].append(entry(value))))
    refused(tampered(manifest=lambda said: said.update(files=value)))
    refused(tampered(manifest=lambda said: said.update(made_at=value)))


def test_a_bomb_costs_no_memory(tmp_path: Path, refused) -> None:
    """A manifest of gigabytes, behind a few kilobytes of compressed zeros; and names and headers without end."""
    for size, kind in ((1 << 33, tarfile.REGTYPE), (1 << 31, tarfile.GNUTYPE_LONGNAME), (1 << 31, tarfile.XHDTYPE)):
        info = tarfile.TarInfo("manifest.json")
        info.size, info.type = size, kind
        path = tmp_path / "bomb.tar.gz"
        with gzip.open(path, "wb") as packed:
            packed.write(info.tobuf(tarfile.GNU_FORMAT))
            packed.write(bytes(8 << 20))
        refused(path)


def test_cut_off_or_flipped_anywhere_it_is_refused(sound: Path, refused, tmp_path: Path) -> None:
    whole = sound.read_bytes()
    path = tmp_path / "cut"
    for part in range(1, 10):
        at = len(whole) * part // 10
        path.write_bytes(whole[:at])
        refused(path)
        changed = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
        try:  # another bit may say the same: a run of zeros is as long when it is copied from elsewhere
            same = gzip.decompress(changed) == gzip.decompress(whole)
        except (OSError, EOFError, zlib.error):
            same = False
        path.write_bytes(changed)
        if not same:
            refused(path)
    path.write_bytes(whole + b"more")
    refused(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04zip", b"\x1f\x8b", b"SQLite format 3\0", b"\x8c\x0d\x04", b"age"])
def test_what_is_no_backup_at_all_is_told(tmp_path: Path, refused, content: bytes) -> None:
    (tmp_path / "what").write_bytes(content)
    refused(tmp_path / "what")


@given(st.binary(max_size=3000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_archive_ends_but_in_words(content: bytes) -> None:
    with pytest.raises(BackupDamaged):
        list(container.Reader(io.BytesIO(gzip.compress(content))).files())


@given(st.text())
def test_an_expected_name_stays_below_the_workspace(name: str) -> None:
    if is_expected(name):
        root = Path("/root-of-it")
        assert (root / name).resolve().is_relative_to(root)


def test_a_manifest_reads_back_as_it_was_written(sound: Path) -> None:
    with tarfile.open(sound) as archive:
        raw = archive.extractfile("manifest.json").read()  # type: ignore[union-attr]
    said = Manifest.from_json(raw)
    assert Manifest.from_json(said.as_json()) == said
    assert said.keys
    assert said.database == "sqlite"
