"""
Restores a backup in two parts: all is made ready in a folder beside what stands, then it changes places with it.

Before the plan is written nothing that stands was touched, and what is ready may be thrown away. From then on `finish`
goes on from wherever it was stopped, and every other command says so. What stood is kept aside, never deleted.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from newsletter.audit.anchor import Anchor
from newsletter.audit.log import Action, AuditLog
from newsletter.backup import restoring_postgresql as on_postgresql
from newsletter.backup.making import Watcher
from newsletter.backup.manifest import CONFIG, FOLDERS, NEVER_MAIL, SQLITE, Manifest
from newsletter.backup.opening import check_contents, unpack
from newsletter.backup.placing import place_files, require_alone, still_database
from newsletter.backup.settling import Settled, settle
from newsletter.config.editing import set_database_url, write_config
from newsletter.config.loading import load_config
from newsletter.errors import Conflict
from newsletter.keys import load_keys
from newsletter.paths import PLAN, Workspace
from newsletter.personal_data.never_mail import Keeper
from newsletter.send.owner import living_here
from newsletter.workspace import make_folders, refuse_foreign_folder, refuse_half_restored
from subscribers.db import Database
from subscribers.never_mail.file import FileDamaged, ForeignFile, NeverMailFile, pepper_print, sync_folder

EXTRA = "extra-{}.jsonl"


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What a restore is told.

    Attributes:
        never_mail: More files of who is never mailed to apply.
        replace: What stands in the workspace, or in the database, is put aside.
        damaged_too: Apply what can be read of a damaged file of who is never mailed.
    """

    backup: Path
    identity: Path | None = None
    database_url: str = ""
    never_mail: tuple[Path, ...] = ()
    replace: bool = False
    damaged_too: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """A restore that is ready to change places: what the backup is, and which database it goes into."""

    manifest: Manifest
    url: str


@dataclass(frozen=True, slots=True)
class Restored:
    """
    What came of a restore, and where what stood before is.

    Attributes:
        left_unknown_since: From when on it is not known here who left: no newer file of who is never mailed was found.
    """

    settled: Settled
    aside: Path | None
    schema_aside: str
    left_unknown_since: datetime | None


def make_ready(
    workspace: Workspace,
    wanted: Wanted,
    environ: Mapping[str, str],
    *,
    now: datetime,
    watcher: Watcher,
    confirm: Callable[[Ready], bool],
) -> bool:
    """
    Check the backup and what it goes into, and make everything ready beside it.

    Args:
        confirm: Asked at the end, when all is known; where it says no, nothing was touched and False comes back.

    Raises:
        Conflict: When a workspace stands there and may not be replaced, or is in use.
        BackupDamaged, EncryptionTrouble, CopyTrouble: When the backup cannot be used.
        FileDamaged: When a file of who is never mailed has a damaged line.
    """
    refuse_foreign_folder(workspace)
    refuse_half_restored(workspace)
    _refuse_standing(workspace, wanted)
    workspace.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(workspace.restoring, ignore_errors=True)  # of a run that was stopped before it had a plan
    fresh = workspace.restoring / "new"
    workspace.restoring.mkdir(mode=0o700)
    fresh.mkdir(mode=0o700)
    try:
        plan = _make_ready(workspace, fresh, wanted, environ, now, watcher, confirm)
    except BaseException:
        shutil.rmtree(workspace.restoring)  # it holds people's data, in the clear
        raise
    if plan is None:
        shutil.rmtree(workspace.restoring)
        return False
    _write_plan(workspace.restoring, plan)
    return True


def _make_ready(
    workspace: Workspace,
    fresh: Path,
    wanted: Wanted,
    environ: Mapping[str, str],
    now: datetime,
    watcher: Watcher,
    confirm: Callable[[Ready], bool],
) -> dict[str, Any] | None:
    manifest = unpack(wanted.backup, fresh, wanted.identity, watcher)
    check_contents(fresh, manifest)
    for name in FOLDERS[1:]:  # one that the backup holds nothing of was empty
        (fresh / name).mkdir(mode=0o700, exist_ok=True)
    pepper = _pepper(workspace, fresh, manifest)
    url = _choose_database(workspace, fresh, manifest, wanted, environ)
    _catch_up(workspace, pepper, environ, now)
    files = _never_mail_files(workspace, fresh, wanted, pepper)
    plan: dict[str, Any] = {
        "database": manifest.database,
        "made_at": manifest.made_at.isoformat(),
        "aside": f"before-restore-{now:%Y%m%dT%H%M%S}",
        "files": [str(path) for path in files],
        "newer": any(path not in (fresh / NEVER_MAIL, workspace.restoring / NEVER_MAIL) for path in files),
    }
    if manifest.database == "postgresql":
        plan["stood"] = on_postgresql.check_target(url, workspace.locks, replace=wanted.replace)
    if manifest.database == "sqlite":
        watcher.step("Applying who is never mailed")
        settled = settle(f"sqlite:///{fresh / SQLITE}", files, pepper, now=now)
        still_database(fresh / SQLITE)
        plan["settled"] = settled.as_json()
    return plan if confirm(Ready(manifest, url)) else None


def finish(
    workspace: Workspace, environ: Mapping[str, str], *, actor: str, now: datetime, watcher: Watcher
) -> Restored:
    """
    Let what is ready change places with what stands; to be called again after a stop, until it returns.

    Args:
        actor: Who does it, for the audit log of what was restored.

    Raises:
        Conflict: When nothing is ready, or what stands is in use.
    """
    plan = _read_plan(workspace)
    fresh, root = workspace.restoring / "new", workspace.root
    aside = root / plan["aside"]
    schema_aside = ""
    if plan["database"] == "postgresql":
        url, pepper = _url_of(workspace, fresh, environ), _pepper_of(workspace, fresh)
        schema = plan["aside"].replace("-", "_").lower()
        watcher.step("Putting the database back")
        schema_aside = on_postgresql.put_back(url, fresh, schema, workspace.restoring, stood=plan["stood"])
        watcher.step("Applying who is never mailed")
        settled = settle(url, [Path(name) for name in plan["files"]], pepper, now=now)
        plan |= {"database": "done", "settled": settled.as_json(), "schema": schema_aside}
        _write_plan(workspace.restoring, plan)
        (fresh / "database.dump").unlink()
    elif plan["database"] == "done":
        schema_aside = plan["schema"]
    try:
        place_files(workspace, fresh, aside)
    except Conflict:
        if plan["database"] == "sqlite" and not aside.exists():
            shutil.rmtree(workspace.restoring)  # nothing was moved: all stands as it did
        raise
    _keep_anew(workspace, environ, plan, actor=actor, now=now)
    (workspace.restoring / PLAN).unlink()
    sync_folder(workspace.restoring)
    shutil.rmtree(workspace.restoring, ignore_errors=True)
    unknown_since = None if plan["newer"] else datetime.fromisoformat(plan["made_at"])
    return Restored(Settled(**plan["settled"]), aside if aside.is_dir() else None, schema_aside, unknown_since)


def _refuse_standing(workspace: Workspace, wanted: Wanted) -> None:
    stands = [path for path in (workspace.config, workspace.database, workspace.secrets) if path.exists()]
    if stands and not wanted.replace:
        raise Conflict(
            f"A workspace stands in {workspace.root}: {stands[0].name}. Nothing was changed.",
            hint="To put it aside and restore in its place: --replace. Or restore elsewhere: --into DIR",
        )
    if living_here(workspace.locks) is not None:
        raise Conflict(
            "A worker still runs on this workspace.", hint="Stop newsletter work, serve and issue send first."
        )
    require_alone(workspace.database)


def _pepper(workspace: Workspace, fresh: Path, manifest: Manifest) -> bytes:
    """Return the pepper of the backup's hashes, from its keys or those that stand here."""
    if not manifest.keys and not workspace.secrets.is_dir():
        raise Conflict(
            "The backup was made without keys, and none stand here.",
            hint=f"Put the folder secrets/ of the workspace that it comes from into {workspace.root} first.",
        )
    pepper = _pepper_of(workspace, fresh)
    if pepper_print(pepper) != manifest.pepper:
        raise Conflict(
            "The keys are not those of the backup: nobody who is suppressed or erased would be known.",
            hint=f"Put the folder secrets/ of the workspace that it comes from into {workspace.root}.",
        )
    return pepper


def _pepper_of(workspace: Workspace, fresh: Path) -> bytes:
    secrets = fresh / "secrets"
    return load_keys(secrets if secrets.is_dir() else workspace.secrets).pepper


def _choose_database(
    workspace: Workspace, fresh: Path, manifest: Manifest, wanted: Wanted, environ: Mapping[str, str]
) -> str:
    """Return the URL that the backup goes into, and let the restored configuration name it."""
    config = fresh / CONFIG
    if not config.exists() and not workspace.config.exists():
        raise Conflict(
            "The backup holds no configuration, and none stands here.", hint=f"Put config.toml into {workspace.root}."
        )
    stands = workspace.config.exists()
    standing = load_config(workspace.config, environ).config.database.url.get_secret_value() if stands else ""
    if not config.exists():
        write_config(config, workspace.config.read_text(encoding="utf-8-sig"))
    named = load_config(config, environ).config.database.url.get_secret_value()
    if manifest.database == "sqlite":
        if wanted.database_url:
            raise Conflict("The backup is of a SQLite database.", hint="Restore it, then: newsletter db migrate-to URL")
        url = ""
    else:
        url = wanted.database_url or (standing if standing.startswith("postgresql") else named)
        if not url.startswith("postgresql"):
            raise Conflict("The backup is of a PostgreSQL database.", hint="Say which to restore into: --database URL")
    if named != url:
        write_config(config, set_database_url(config.read_text(encoding="utf-8-sig"), url))
        if load_config(config, environ).config.database.url.get_secret_value() != url:
            raise Conflict(
                "The environment names another database (NEWSLETTER__DATABASE__URL).",
                hint="Take it out of the environment, or give it with --database URL.",
            )
    return url


def _catch_up(workspace: Workspace, pepper: bytes, environ: Mapping[str, str], now: datetime) -> None:
    """Let the file that stands here learn what its database knows, where that can still be read."""
    if not (workspace.config.exists() and workspace.secrets.is_dir()):
        return
    url = load_config(workspace.config, environ).config.database.url.get_secret_value()
    if not url and not workspace.database.exists():
        return
    database = Database(url or f"sqlite:///{workspace.database}")
    try:
        Keeper(database, workspace, pepper).keep(now=now)
    except Exception:  # noqa: S110  (it may be damaged, that is why somebody restores; its file is used as it is)
        pass
    finally:
        database.close()


def _never_mail_files(workspace: Workspace, fresh: Path, wanted: Wanted, pepper: bytes) -> list[Path]:
    """Return the files to apply, each of which was read to its end; one of another pepper stands for others."""
    files = [fresh / NEVER_MAIL]
    if workspace.never_mail.exists():
        try:
            NeverMailFile(workspace.never_mail, pepper).tail()
        except ForeignFile:
            pass  # of another installation; it is put aside
        except FileDamaged:
            files.append(workspace.never_mail)
        else:
            files.append(workspace.never_mail)
    for number, given in enumerate(wanted.never_mail):
        copy = workspace.restoring / EXTRA.format(number)
        shutil.copyfile(given, copy)
        copy.chmod(0o600)
        files.append(copy)
    files = [path for path in files if path.exists()]
    for path in files:
        damaged = [line.number for line in NeverMailFile(path, pepper).read() if line.change is None]
        if damaged and not wanted.damaged_too:
            raise FileDamaged(
                f"{path} is damaged in line {', '.join(map(str, damaged[:5]))}: what it said there is not known.",
                hint="Restore a sound copy of it, or apply what can be read: --damaged-too",
            )
    if workspace.never_mail in files:
        (fresh / NEVER_MAIL).rename(workspace.restoring / NEVER_MAIL)  # the one that stands knows more, and stays
        files[0] = workspace.restoring / NEVER_MAIL
    return files


def _url_of(workspace: Workspace, fresh: Path, environ: Mapping[str, str]) -> str:
    config = fresh / CONFIG
    path = config if config.exists() else workspace.config
    return load_config(path, environ).config.database.url.get_secret_value()


def _keep_anew(
    workspace: Workspace, environ: Mapping[str, str], plan: Mapping[str, Any], *, actor: str, now: datetime
) -> None:
    """Record the restore, and bring the file of who is never mailed up to it; after a stop both happen again."""
    url = load_config(workspace.config, environ).config.database.url.get_secret_value()
    for _ in make_folders(workspace):  # those that no backup holds
        pass
    keys = load_keys(workspace.secrets)
    audit = AuditLog(keys.audit, Anchor(workspace.audit_anchor), actor=actor, clock=lambda: now)
    with closing(Database(url or f"sqlite:///{workspace.database}")) as database:
        with database.write() as session:
            audit.record(session, Action.DATABASE_RESTORED, "database", made_at=plan["made_at"])
        Keeper(database, workspace, keys.pepper).keep(now=now, compare=True)


def _write_plan(folder: Path, plan: dict[str, Any]) -> None:
    draft = folder / f"{PLAN}.new"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(plan, file)
        file.flush()
        os.fsync(descriptor)
    draft.replace(folder / PLAN)
    sync_folder(folder)


def _read_plan(workspace: Workspace) -> dict[str, Any]:
    try:
        plan: dict[str, Any] = json.loads((workspace.restoring / PLAN).read_text())
    except FileNotFoundError:
        raise Conflict(f"No restore into {workspace.root} was stopped half-way.", hint="Name a backup file.") from None
    return plan
