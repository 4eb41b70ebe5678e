"""
Forget what is older than it is kept: a rule for each kind of record, some rows at a time, recorded in the audit log.

What may never be forgotten is not here: suppressions, the ledger's lines and the audit log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from dateutil.relativedelta import relativedelta
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.audit.log import Action
from newsletter.named_lock import named_lock
from newsletter.personal_data import person_requests
from newsletter.personal_data import retention_rows as rows
from newsletter.send.instance import is_live
from newsletter.tables import Delivery, Notice, Setting, WebRequest
from subscribers import retention as people
from subscribers.bounces import records
from subscribers.tables import OneTimeToken

MOST_AT_ONCE = 500
PAUSE_SECONDS = 0.05  # between two transactions, so that other writers get their turn
LOOK_SECONDS = 600.0
EVERY = timedelta(days=1)
SETTING, LOCK = "retention", "retention"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    What one kind of record is kept for.

    Attributes:
        name: A word for scripts.
        what: What is forgotten, and after how long, for people.
        count: Tells how many are due.
        find: Returns up to so many that are due.
        forget: Forgets these, so far as they still are due, and returns how many it did.
        prepare: Done first, in transactions of its own.
    """

    name: str
    what: str
    count: Callable[[Session], int]
    find: Callable[[Session, int], Sequence[Any]]
    forget: Callable[[Session, Sequence[Any]], int]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Due:
    """How many records are due by a rule, or were forgotten."""

    rule: Rule
    count: int


def rules(app: App) -> tuple[Rule, ...]:
    """Return the rules that the configuration makes, with the ages counted from now."""
    return (*_of_people(app), *_of_mail(app), *_of_the_site(app))


def _of_people(app: App) -> tuple[Rule, ...]:
    kept, now = app.config.retention, app.now()
    signed_up = now - timedelta(days=kept.unconfirmed_days)
    evidence = now - relativedelta(months=kept.evidence_months)
    imported = now - relativedelta(months=kept.import_months)
    later = rows.removed_since(evidence)
    return (
        Rule(
            "unconfirmed",
            f"sign-ups not confirmed within {kept.unconfirmed_days} days",
            lambda session: people.count_unconfirmed(session, signed_up),
            lambda session, most: people.find_unconfirmed(session, signed_up, most),
            lambda session, ids: people.forget_unconfirmed(session, ids, signed_up, actor=app.actor, at=now),
        ),
        Rule(
            "evidence",
            f"what shows a consent, {kept.evidence_months} months after the subscription has ended",
            lambda session: people.count_evidence(session, evidence, later=later),
            lambda session, most: people.find_evidence(session, evidence, most, later=later),
            lambda session, ids: people.forget_evidence(session, ids, evidence, later=later),
        ),
        Rule(
            "imports",
            f"what an import changed in people, {kept.import_months} months after it; then it cannot be undone",
            lambda session: people.count_changes(session, imported),
            lambda session, most: people.find_changes(session, imported, most),
            lambda session, ids: people.forget_changes(session, ids, at=now),
        ),
    )


def _of_mail(app: App) -> tuple[Rule, ...]:
    months, raw_days, now = app.config.retention.journal_months, app.config.bounces.policy.keep_days, app.now()
    journal, raw = now - relativedelta(months=months), now - timedelta(days=raw_days)
    return (
        Rule(
            "journal",
            f"who was sent which issue, {months} months after it; the counts stay",
            lambda session: rows.count_copies(session, journal),
            lambda session, most: rows.find_copies(session, journal, most),
            partial(rows.delete_rows, Delivery),
            lambda: rows.keep_totals(app, journal),
        ),
        Rule(
            "digests",
            f"whom the monthly digest owed which issue, {months} months after it",
            lambda session: rows.count_debts(session, journal),
            lambda session, most: rows.find_debts(session, journal, most),
            rows.forget_debts,
        ),
        Rule(
            "raw",
            f"returned mail as it came, after {raw_days} days (bounces.policy.keep_days)",
            lambda session: records.count_old_raw(session, before=raw),
            lambda session, most: records.find_old_raw(session, before=raw, most=most),
            records.forget_raw,
        ),
        Rule(
            "reports",
            f"whom returned mail was about, after {months} months",
            lambda session: people.count_reports(session, journal),
            lambda session, most: people.find_reports(session, journal, most),
            people.forget_reports,
        ),
        Rule(
            "notices",
            f"confirmations, links and alerts that were mailed, after {months} months",
            lambda session: rows.count_notices(session, journal),
            lambda session, most: rows.find_notices(session, journal, most),
            partial(rows.delete_rows, Notice),
        ),
    )


def _of_the_site(app: App) -> tuple[Rule, ...]:
    kept, now = app.config.retention, app.now()
    asked = now - timedelta(days=kept.request_days)
    closed = now - relativedelta(months=kept.closed_request_months)
    files = partial(rows.old_files, app.workspace.outbox, now - timedelta(days=kept.file_days))
    return (
        Rule(
            "requests",
            f"what was asked for on the site, after {kept.request_days} days",
            lambda session: rows.count_requests(session, asked),
            lambda session, most: rows.find_requests(session, asked, most),
            partial(rows.delete_rows, WebRequest),
        ),
        Rule(
            "links",
            f"links that work once, {kept.request_days} days after they are over",
            lambda session: rows.count_links(session, asked),
            lambda session, most: rows.find_links(session, asked, most),
            partial(rows.delete_rows, OneTimeToken),
        ),
        Rule(
            "closed-requests",
            f"complaints and requests about one's data, {kept.closed_request_months} months after they were closed",
            lambda session: person_requests.count_over(session, closed),
            lambda session, most: person_requests.find_over(session, closed, most),
            person_requests.forget,
        ),
        Rule(
            "files",
            f"files of refused rows in outbox/, after {kept.file_days} days",
            lambda _: len(files()),
            lambda _, most: files()[:most],
            lambda _, paths: rows.delete_files(paths),
        ),
    )


def due(app: App) -> list[Due]:
    """Count what a run would forget; nothing is changed."""
    with app.database.read() as session:
        return [Due(rule, rule.count(session)) for rule in rules(app)]


def run(app: App, stop: threading.Event | None = None) -> list[Due]:
    """Forget what is due by each rule, in small transactions; a run that is cut is simply repeated."""
    stop = stop or threading.Event()
    found = [Due(each.rule, _apply(app, each, stop) if each.count else 0) for each in due(app)]
    if not stop.is_set():
        with app.database.write() as session:
            session.merge(Setting(name=SETTING, value={"at": app.now().isoformat()}))
    return found


def _apply(app: App, wanted: Due, stop: threading.Event) -> int:
    """Record what is to go together with the first of it, so that nothing goes unrecorded."""
    rule, done, first = wanted.rule, 0, True
    rule.prepare()
    while not stop.is_set():
        with app.database.read() as session:
            found = rule.find(session, MOST_AT_ONCE)
        if not found:
            break
        with app.database.write() as session:
            step = rule.forget(session, found)
            if first and step:
                app.audit.record(session, Action.RETENTION_RUN, f"rule {rule.name}", due=wanted.count)
        done, first = done + step, False
        if len(found) < MOST_AT_ONCE or not step:
            break
        stop.wait(PAUSE_SECONDS)
    return done


def last_run(session: Session) -> datetime | None:
    setting = session.get(Setting, SETTING)
    return datetime.fromisoformat(setting.value["at"]) if setting is not None else None


def keep_running(app: App, say: Callable[[str], None], stop: threading.Event) -> None:
    """Run once a day while a worker lives, in one process of all; a copied database is left as it is."""
    while not stop.is_set():
        with app.database.read() as session:
            before, live = last_run(session), is_live(session)
        if live and (before is None or app.now() - before >= EVERY):
            with named_lock(app.database, app.workspace.locks, LOCK) as free:
                if free:
                    _tell(say, run(app, stop))
        stop.wait(LOOK_SECONDS)


def _tell(say: Callable[[str], None], forgotten: Sequence[Due]) -> None:
    told = [f"{each.count:,} {each.rule.name}" for each in forgotten if each.count]
    if told:
        say(f"Forgotten, as [retention] says: {', '.join(told)}.")
