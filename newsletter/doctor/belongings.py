"""What the workspace holds: who can read it, its keys, its templates and its database."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, TemplateSyntaxError
from sqlalchemy import func, select

from newsletter.config.settings import Send
from newsletter.doctor.findings import Finding, fail, ok, warn
from newsletter.doctor.requests import check_requests
from newsletter.doctor.waiting import check_waiting
from newsletter.errors import NewsletterError, TemplateError, WorkspaceError
from newsletter.keys import load_keys
from newsletter.migrations import HEAD, revision
from newsletter.paths import Workspace, shipped_templates
from newsletter.render.message import compile_message
from newsletter.send.plan import stored_headers, stored_rendering
from newsletter.tables import Variant
from subscribers.db import Database
from subscribers.errors import DatabaseUnavailable

OPEN_TO_OTHERS = 0o077
MOST_EXPOSED = 5


def check_privacy(workspace: Workspace, database: Path | None = None) -> Iterator[Finding]:
    """
    Who is on the list is nobody else's business on this machine.

    Args:
        database: The SQLite file, where it is not the workspace's own.
    """
    secret = [workspace.secrets, *sorted(workspace.secrets.rglob("*"))]
    private = [workspace.config, *_database_files(database or workspace.database)]
    private += [path for path in sorted(workspace.outbox.rglob("*")) if path.is_file()]
    exposed = [p for p in (*secret, *private) if p.exists() and p.stat().st_mode & OPEN_TO_OTHERS]
    if workspace.root.stat().st_mode & OPEN_TO_OTHERS == 0:
        # Nobody gets as far as the others.
        exposed = [p for p in exposed if p in secret or not p.is_relative_to(workspace.root)]
    for path in exposed[:MOST_EXPOSED]:
        make = fail if path in secret else warn
        mode = 700 if path.is_dir() else 600
        yield make("privacy", f"Others can read {path}.", f"Run: chmod {mode} {shlex.quote(str(path))}")
    if len(exposed) > MOST_EXPOSED:
        more = f"Others can read {len(exposed) - MOST_EXPOSED} more files."
        yield warn("privacy", more, f"Run: chmod 700 {shlex.quote(str(workspace.root))}")
    if not exposed:
        yield ok("privacy", "Only you can read the keys, the configuration, the database and the outbox.")


def _database_files(database: Path) -> list[Path]:
    return [database.with_name(database.name + ending) for ending in ("", "-wal", "-shm")]


def check_keys(workspace: Workspace) -> Finding:
    try:
        keys = load_keys(workspace.secrets)
    except WorkspaceError as error:
        return fail("keys", error.message, error.hint)
    return ok("keys", f"All there; links are signed with key {keys.links.current.key_id}.")


def check_templates(overrides: Path) -> Iterator[Finding]:
    """Read each template that ships and each of the workspace's own; name file and line of what is wrong."""
    from newsletter.render.environment import make_environment

    fix = "Mend the template, or take it away to use the one that ships."
    files = [p for folder in (overrides, shipped_templates()) for p in sorted(folder.rglob("*.j2"))]
    broken = [problem for path in files if (problem := _syntax_problem(path))]
    try:
        make_environment((overrides, shipped_templates()))
    except TemplateError as error:
        broken.append(error.message)
    yield from (fail("templates", problem, fix) for problem in broken)
    if not broken:
        own = sum(path.is_relative_to(overrides) for path in files)
        yield ok("templates", f"All {len(files)} can be read" + (f"; {own} of them are your own." if own else "."))


def _syntax_problem(path: Path) -> str:
    try:
        Environment().parse(path.read_text(encoding="utf-8"), path.name, str(path))  # noqa: S701  (parsed, never run)
    except TemplateSyntaxError as error:
        return f"{path}, line {error.lineno}: {error.message}"
    except (OSError, UnicodeDecodeError) as error:
        return f"{path} cannot be read: {error}"
    return ""


def check_database(url: str, settings: Send | None = None, *, now: datetime) -> Iterator[Finding]:
    """Look at version and health, and at what waits there. A file that is absent is not created."""
    database = Database(url)
    try:
        found = revision(database)
        yield _judge_revision(found)
        if found is not None:
            yield from _check_integrity(database)
        if found == HEAD:
            yield from check_waiting(database, settings or Send(), now)
            yield from check_requests(database, now)
    except DatabaseUnavailable as error:
        yield fail("database", error.message, error.hint)
    finally:
        database.close()


def largest_copy(url: str) -> int | None:
    """Return the bytes of the largest message that was frozen so far; None when there is none."""
    database = Database(url)
    try:
        if revision(database) != HEAD:
            return None
        with database.read() as session:
            size = func.length(Variant.html) + func.length(Variant.text)
            variant = session.scalars(select(Variant).order_by(size.desc()).limit(1)).first()
        if variant is None:
            return None
        segments = compile_message(stored_rendering(variant), stored_headers(variant)).segments
        return sum(map(len, segments))
    except (DatabaseUnavailable, NewsletterError):
        return None
    finally:
        database.close()


def _judge_revision(found: str | None) -> Finding:
    upgrade = "Run: newsletter db upgrade"
    if found is None:
        return fail("database", "There is no database yet.", upgrade)
    if found < HEAD:
        return fail("database", f"The database is of an older version ({found}).", upgrade)
    if found > HEAD:
        return fail("database", f"The database is of a newer version ({found}).", "Install the newer program.")
    return ok("database", f"Version {found}")


def _check_integrity(database: Database) -> Iterator[Finding]:
    if not database.is_sqlite:
        return
    with database.read() as session:
        connection = session.connection()
        damage = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone()
    if damage != "ok":
        yield fail("integrity", f"The database file is damaged: {damage}", "Restore the last backup.")
    elif orphans is not None:
        yield fail("integrity", f"A row of {orphans[0]} points at nothing.", "Restore the last backup.")
    else:
        yield ok("integrity", "The database file is sound.")
