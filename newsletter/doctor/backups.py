"""Backups and the file of who is never mailed: how old the last one is, and whether the file can be relied on."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

from newsletter.backup.making import last_backup
from newsletter.doctor.findings import Finding, fail, ok, warn
from newsletter.errors import NewsletterError
from newsletter.keys import load_keys
from newsletter.migrations import HEAD, revision
from newsletter.paths import Workspace
from subscribers.db import Database
from subscribers.errors import DatabaseUnavailable, SubscribersError
from subscribers.never_mail import changes as never_mail
from subscribers.never_mail.file import FileDamaged, NeverMailFile

OLDEST = timedelta(days=7)
BACK_UP = "Run: newsletter db backup --encrypt-to RECIPIENT, and let cron do it (docs/install.md, Backups)."


def check_backups(workspace: Workspace, url: str, now: datetime) -> Iterator[Finding]:
    """Look at both; what is the matter with the database or the keys themselves is told elsewhere."""
    with closing(Database(url)) as database:
        try:
            if revision(database) != HEAD:
                return
            with database.read() as session:
                made_at, changes = last_backup(session), never_mail.last_id(session)
            yield judge_age(made_at, now)
            pepper = load_keys(workspace.secrets).pepper
            yield _check_file(workspace, pepper, changes)
        except (DatabaseUnavailable, NewsletterError):
            return


def judge_age(made_at: datetime | None, now: datetime) -> Finding:
    if made_at is None:
        return warn("backup", "No backup was ever made of this database.", BACK_UP)
    if now - made_at > OLDEST:
        return warn("backup", f"The last backup is of {made_at:%Y-%m-%d}, {(now - made_at).days} days ago.", BACK_UP)
    return ok("backup", f"The last one was made on {made_at:%Y-%m-%d %H:%M} UTC.")


def _check_file(workspace: Workspace, pepper: bytes, changes: int) -> Finding:
    path = workspace.never_mail
    if not path.exists():
        if not changes:
            return ok("never mailed", "Nobody is suppressed or has left yet.")
        fix = "Any command that changes something writes it, and so does newsletter work."
        return warn("never mailed", f"{path} is not there: a restore could not know who left since.", fix)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return warn("never mailed", f"Others can read {path}.", f"Run: chmod 600 {path}")
    try:
        damaged = [line.number for line in NeverMailFile(path, pepper).read() if line.change is None]
    except FileDamaged as error:
        return fail("never mailed", error.message, "Start newsletter work: it sets it aside and writes it anew.")
    except SubscribersError as error:
        return fail("never mailed", error.message, error.hint)
    if damaged:
        numbers = ", ".join(map(str, damaged[:5]))
        return fail("never mailed", f"{path} is damaged in line {numbers}.", "Restore a sound copy of it.")
    return ok("never mailed", f"{path.name} is whole.")
