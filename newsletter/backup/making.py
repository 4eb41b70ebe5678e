"""
Makes a backup: a copy of the database, keys, configuration, pictures, templates and the file of who is never mailed.

All of it is gathered in a folder of the workspace first, hashed, written into one file under another name, read back,
and only then given its name. A run that was stopped leaves no half backup; the next one clears away what it gathered.
"""

from __future__ import annotations

import os
import shutil
import socket
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Protocol

from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.audit.log import Action
from newsletter.backup import container, database_copy
from newsletter.backup.encryption import check_recipient, encrypting, program_for
from newsletter.backup.manifest import BLOCK_BYTES, CONFIG, FOLDERS, NEVER_MAIL, Entry, Manifest, entry_of
from newsletter.config.loading import secrets_among
from newsletter.errors import Conflict, WorkspaceError
from newsletter.migrations import revision
from newsletter.named_lock import named_lock
from newsletter.tables import Setting
from subscribers.never_mail.file import pepper_print, sync_folder

SETTING = "last-backup"
WITHOUT_KEYS = (
    "secrets/: without it no link in mail that was sent works after a restore, bounces are not recognised, mail is not "
    "signed, and nobody who was erased or suppressed is known again by address. Keep that folder elsewhere: the backup "
    "cannot be restored without it."
)


class Watcher(Protocol):
    """Is told how far each step is, in bytes."""

    def step(self, name: str) -> None: ...
    def tell(self, done: int, total: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was written and read back, or, encrypted, written whole."""

    path: Path
    size: int
    manifest: Manifest
    encrypted: str


def make_backup(
    app: App, config_path: Path, target: Path | None, *, keys: bool, recipient: str | None, watcher: Watcher
) -> Made:
    """
    Write a backup; the database may be busy meanwhile.

    Args:
        config_path: The configuration in force.
        target: Where to; None for a name with the time, in `backups/` of the workspace.
        recipient: Whom to encrypt it to.

    Raises:
        Conflict: When the file exists, or another backup is being made.
        EncryptionTrouble, CopyTrouble: When a program is missing or fails.
    """
    if recipient is not None:
        check_recipient(recipient)
    path = _target(app, target, recipient)
    with named_lock(app.database, app.workspace.locks, "backup") as ours:
        if not ours:
            raise Conflict("Another backup of this workspace is being made.", hint="Wait for it to end.")
        with app.database.write() as session:  # first: whoever takes the whole list away must not do so unrecorded
            facts = {"keys": keys, "encrypted": recipient is not None}
            app.audit.record(session, Action.DATABASE_BACKED_UP, "database", details=facts)
        with _gathering(app.workspace.root / ".backup") as folder:
            manifest, paths = _gather(app, config_path, folder, keys=keys, watcher=watcher)
            size = _write(path, manifest, paths, recipient, watcher)
    made = Made(path, size, manifest, program_for(recipient) if recipient else "")
    with app.database.write() as session:
        _note(session, made, app.now())
    return made


def last_backup(session: Session) -> datetime | None:
    """Return when the last backup of this database was made; None for never."""
    noted = session.get(Setting, SETTING)
    return datetime.fromisoformat(noted.value["at"]) if noted is not None else None


def _note(session: Session, made: Made, now: datetime) -> None:
    value = {"at": now.isoformat(), "host": socket.gethostname(), "encrypted": bool(made.encrypted)}
    session.merge(Setting(name=SETTING, value=value))


def _target(app: App, target: Path | None, recipient: str | None) -> Path:
    if target is None:
        app.workspace.backups.mkdir(mode=0o700, exist_ok=True)
        ending = {"": "", "age": ".age", "gpg": ".gpg"}[program_for(recipient) if recipient else ""]
        target = app.workspace.backups / f"newsletter-{app.now():%Y-%m-%dT%H%M%SZ}.tar.gz{ending}"
    if target.exists() or target.is_symlink():
        raise Conflict(f"{target} exists already; a backup is never written over another.", hint="Give another name.")
    if not target.parent.is_dir():
        raise WorkspaceError(f"There is no folder {target.parent}.", hint="Make it first, for you alone.")
    return target


@contextmanager
def _gathering(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped: the lock says that it is over
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _gather(
    app: App, config_path: Path, folder: Path, *, keys: bool, watcher: Watcher
) -> tuple[Manifest, list[tuple[Entry, Path]]]:
    """Bring together what goes into the backup; the file of who is never mailed last, so that it knows no less."""
    watcher.step("Copying the database")
    kind = "sqlite" if app.database.is_sqlite else "postgresql"
    draft = Manifest(
        program=version("network-newsletter"),
        made_at=app.now(),
        host=socket.gethostname(),
        database=kind,
        revision=revision(app.database) or "",
        pepper=pepper_print(app.keys.pepper),
        keys=keys,
    )
    counts = database_copy.copy_database(app.database, folder / draft.database_file, folder, watcher.tell)
    app.keeper.keep(now=app.now())
    left_out = [] if keys else [WITHOUT_KEYS]
    paths = {draft.database_file: folder / draft.database_file}
    _add_config(paths, config_path, left_out, keys=keys, folder=folder)
    for name in FOLDERS if keys else FOLDERS[1:]:
        paths |= _files_below(app.workspace.root / name, name)
    _freeze(paths, NEVER_MAIL, app.workspace.never_mail, folder)
    watcher.step("Reading what goes in")
    entries = tuple(entry_of(name, path) for name, path in paths.items())
    values = {name: getattr(draft, name) for name in Manifest.__slots__}
    manifest = Manifest(**{**values, "left_out": tuple(left_out), "counts": counts, "files": entries})
    Manifest.from_json(manifest.as_json())  # a name that a restore would refuse is told now
    return manifest, [(entry, paths[entry.name]) for entry in entries]


def _add_config(paths: dict[str, Path], config_path: Path, left_out: list[str], *, keys: bool, folder: Path) -> None:
    """Add the configuration; a backup without keys holds no password either."""
    secret = secrets_among(tomllib.loads(config_path.read_text(encoding="utf-8-sig")))
    if secret and not keys:
        left_out.append(
            f"config.toml, since passwords stand in it ({', '.join(secret)}). Move them into files "
            "(NEWSLETTER__SMTP__PASSWORD_FILE), and it is in the next one."
        )
        return
    _freeze(paths, CONFIG, config_path, folder)


def _freeze(paths: dict[str, Path], name: str, source: Path, folder: Path) -> None:
    """Add a copy of a file that may change while the backup is written."""
    with source.open("rb") as file:
        container.write_private(folder / name, iter(lambda: file.read(BLOCK_BYTES), b""), lambda _: None)
    paths[name] = folder / name


def _files_below(folder: Path, name: str) -> dict[str, Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{name}/{path.relative_to(folder).as_posix()}": path for path in files if not path.name.endswith(".new")}


def _write(
    path: Path, manifest: Manifest, paths: list[tuple[Entry, Path]], recipient: str | None, watcher: Watcher
) -> int:
    """Write the file under another name, read it back, and give it its own; return its size."""
    draft = path.with_name(f".{path.name}.part")
    draft.unlink(missing_ok=True)  # of a run that was stopped
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            watcher.step("Writing")
            with encrypting(recipient, file) as target:
                container.write(target, manifest, paths, _sum(watcher, manifest.size))
            file.flush()
            os.fsync(file.fileno())
            if recipient is None:
                watcher.step("Reading it back")
                _read_back(file, manifest, watcher)
            size = os.fstat(file.fileno()).st_size
        _give_name(draft, path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    return size


def _give_name(draft: Path, path: Path) -> None:
    """Give the finished file its name, never over one that has come to be there meanwhile."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise Conflict(f"{path} has come to be there meanwhile; it was left as it is.") from None
    except OSError:  # a file system without links, a memory stick for example
        draft.rename(path)
    sync_folder(path.parent)


def _read_back(file: BinaryIO, manifest: Manifest, watcher: Watcher) -> None:
    file.seek(0)
    tell = _sum(watcher, manifest.size)
    reader = container.Reader(file)
    for _, blocks in reader.files():
        for block in blocks:
            tell(len(block))


def _sum(watcher: Watcher, total: int) -> container.Tell:
    """Return what adds up blocks and tells the watcher."""
    done = 0

    def tell(size: int) -> None:
        nonlocal done
        done += size
        watcher.tell(min(done, total), total)

    return tell
