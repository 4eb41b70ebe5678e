"""The wheel is whole: what the program needs at run time is in it, and it works where the checkout is not."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, unpacked as an installer does."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def test_the_wheel_holds_every_template_migration_and_sample(installed: Path) -> None:
    templates = {p.relative_to(ROOT / "templates") for p in (ROOT / "templates").rglob("*") if p.is_file()}
    assert templates == {
        p.relative_to(installed / "newsletter/_templates")
        for p in (installed / "newsletter/_templates").rglob("*")
        if p.is_file()
    }
    for folder in ("newsletter", "subscribers"):
        ours = [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        absent = [str(p.relative_to(ROOT)) for p in ours if not (installed / p.relative_to(ROOT)).is_file()]
        assert absent == []


def test_the_wheel_holds_nothing_else(installed: Path) -> None:
    top = {p.name for p in installed.iterdir()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"newsletter", "subscribers"}


def test_the_wheel_works_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    """Runs with the installed package first and the checkout's editable link switched off."""
    start = (
        f"import sys; sys.path[:] = [{str(installed)!r}] + [p for p in sys.path if p not in ('', {str(ROOT)!r})]\n"
        "import newsletter, subscribers\n"
        f"assert newsletter.__file__.startswith({str(installed)!r}), newsletter.__file__\n"
        "from newsletter.cli.main import main\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for words in (["--help"], ["init", "ws"], ["--workspace", "ws", "doctor"], ["--workspace", "ws", "db", "upgrade"]):
        command = [sys.executable, "-c", f"{start}main({words!r})"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    assert (tmp_path / "ws" / "newsletter.sqlite3").exists()


def test_the_source_archive_can_be_built_and_tested_from(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"Makefile", "LICENSE", "config.example.toml", "requirements.lock", "requirements-dev.lock"}
    assert needed | {"tests/conftest.py", "tests/peers/install.sh", "templates/email/theme.json"} <= names
