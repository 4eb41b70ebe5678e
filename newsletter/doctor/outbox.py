"""Whether operators would hear of trouble, and whether notices and answers leave; reads only, and names no member."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from newsletter.asked.limits import breaker_until
from newsletter.asked.requests import waiting_since
from newsletter.config.settings import Config
from newsletter.doctor.findings import Finding, ok, warn
from newsletter.errors import WorkspaceError
from newsletter.keys import load_keys
from newsletter.migrations import HEAD, revision
from newsletter.paths import Workspace
from newsletter.send.alerts import failed_alerts
from newsletter.send.notice_rows import waiting_long
from subscribers.addresses import parse_address
from subscribers.db import Database
from subscribers.errors import DatabaseUnavailable
from subscribers.suppression import HARD_BOUNCE, of_address
from subscribers.tokens import address_hash

WAITS_LONG = timedelta(minutes=30)
RECENT = timedelta(days=7)


def check_outbox(config: Config, workspace: Workspace, url: str, now: datetime) -> Iterator[Finding]:
    """Look at alerts.to and at the outbox; what is wrong with the database itself is told elsewhere."""
    if not config.alerts.to:
        yield warn(
            "alerts",
            "Nobody is told by mail when an issue stops or does not reach everybody.",
            'Write into the configuration, under [alerts]: to = ["you@example.org"]',
        )
    database = Database(url)
    try:
        if revision(database) == HEAD:
            with database.read() as session:
                yield from _check_alerts(session, config, load_keys(workspace.secrets).pepper, now)
                yield from _check_waiting(session, now)
                yield from _check_requests(session, now)
    except (DatabaseUnavailable, WorkspaceError):
        return
    finally:
        database.close()


def _check_alerts(session: Session, config: Config, pepper: bytes, now: datetime) -> Iterator[Finding]:
    gone = [to for to in config.alerts.to if _has_bounced(session, to, pepper, now)]
    for to in gone:
        yield warn("alerts", f"Mail to {to} bounced: it may hear of nothing.", "Check the address in alerts.to.")
    if failed_alerts(session, now - RECENT):
        yield warn("alerts", "An alert of the last week did not arrive.", "Check alerts.to, and: newsletter issue list")
    elif config.alerts.to and not gone:
        yield ok("alerts", f"Trouble is mailed to {', '.join(config.alerts.to)}.")


def _has_bounced(session: Session, to: str, pepper: bytes, now: datetime) -> bool:
    address = parse_address(to)
    entries = of_address(session, address_hash=address_hash(pepper, address.key), domain=address.domain, now=now)
    return any(entry.reason == HARD_BOUNCE for entry in entries)


def _check_waiting(session: Session, now: datetime) -> Iterator[Finding]:
    waiting = waiting_long(session, now - WAITS_LONG)
    if waiting:
        counts = ", ".join(f"{count} {kind.value}" for kind, count, _ in waiting)
        since = min(since for _, _, since in waiting)
        yield warn(
            "outbox",
            f"Notices wait since {since:%Y-%m-%d %H:%M} UTC: {counts}.",
            "Let `newsletter work` run, and check the mail server: newsletter doctor --online",
        )
    else:
        yield ok("outbox", "No notice waits for long.")


def _check_requests(session: Session, now: datetime) -> Iterator[Finding]:
    waiting = waiting_since(session, now - WAITS_LONG)
    if waiting is not None:
        count, since = waiting
        what = (
            "1 mail that was asked for on the site waits"
            if count == 1
            else f"{count} mails that were asked for on the site wait"
        )
        yield warn(
            "site",
            f"{what} since {since:%Y-%m-%d %H:%M} UTC.",
            "Let `newsletter work` run, and read what it says: it answers them.",
        )
    until = breaker_until(session, now)
    if until is not None:
        yield warn(
            "site",
            f"So many signed up that nobody who signs up is written to until {until:%Y-%m-%d %H:%M} UTC.",
            "Raise signup.per_hour if you expected them; else close the list for a while: newsletter lists set --help",
        )
