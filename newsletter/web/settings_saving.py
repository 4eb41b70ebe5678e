"""
What the settings page writes: lists into the ledger, choices with a line for each; nothing where one value is wrong.

Only what the form showed is touched: a list that was made since is not left by a form that never named it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from newsletter.web.leaving import ACTOR
from newsletter.web.settings_view import ListLine, Typed, lists_of
from subscribers import consent, preferences, suppression
from subscribers.errors import InvalidValue
from subscribers.preferences import Choice, Value
from subscribers.tables import Basis, MailingList, Subscriber

SOURCE = "settings page"
EVIDENCE = "settings page, opened by a link that was mailed to the address"
JOINED, LEFT, KEPT_OUT, LEFT_ALL = "joined", "left", "kept out", "left all"


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that was done, which the page puts into words: one of the constants above, or a `Choice`."""

    what: str
    title: str = ""
    value: Value = None


@dataclass(frozen=True, slots=True)
class Saved:
    """What came of a form: what was done; or which fields were wrong, and what it held, for then nothing was done."""

    told: tuple[Told, ...] = ()
    wrong: frozenset[str] = frozenset()
    typed: Typed | None = None


def save(
    session: Session,
    subscriber: Subscriber,
    form: FormData,
    *,
    wording: Callable[[str], str],
    now: datetime,
    today: date,
) -> Saved:
    """
    Save the whole form, or nothing of it.

    Args:
        wording: Gives the words that stood beside a list's box, by its title: what was agreed to.
        today: In the organisation's zone.
    """
    values, wrong = _read(subscriber, form, today)
    if wrong:
        texts = {choice.value: str(form[choice]) for choice in Choice if choice in form}
        return Saved(wrong=frozenset(wrong), typed=Typed(texts, _ticked(form)))
    told = _save_lists(session, subscriber, form, wording, now)
    made = preferences.change(session, subscriber, values, source=SOURCE, actor=ACTOR, at=now)
    return Saved((*told, *(Told(change.choice, value=change.after) for change in made)))


def leave_all(session: Session, subscriber: Subscriber, *, now: datetime) -> Saved:
    """Take somebody off every list, and mail them none any more."""
    consent.withdraw(session, subscriber, None, source=SOURCE, actor=ACTOR, evidence=EVIDENCE, at=now)
    return Saved((Told(LEFT_ALL),))


def _read(subscriber: Subscriber, form: FormData, today: date) -> tuple[dict[Choice, Value], list[str]]:
    """Read the fields that the form holds. An unticked box is not in it, so `discreet` always counts."""
    found: dict[Choice, Value] = {}
    wrong = []
    texts = {choice: str(form[choice]) for choice in Choice if choice in form and choice is not Choice.TIMEZONE}
    for choice, text in {Choice.DISCREET: "", **texts}.items():
        try:
            found[choice] = preferences.read(choice, text, today=today)
        except InvalidValue:
            wrong.append(choice.value)
    until = subscriber.paused_until
    if found.get(Choice.PAUSED_UNTIL, until) is None and until is not None and until <= today:
        del found[Choice.PAUSED_UNTIL]  # it was over before, so nothing changes
    return found, wrong


def _save_lists(
    session: Session, subscriber: Subscriber, form: FormData, wording: Callable[[str], str], now: datetime
) -> list[Told]:
    shown = set(str(form.get("shown", "")).split(","))
    ticked, told = _ticked(form), []
    for line in lists_of(session, subscriber):
        wanted = str(line.id) in ticked
        if str(line.id) not in shown or wanted is line.is_on:
            continue
        mailing_list = session.get_one(MailingList, line.id)
        if not wanted:
            consent.withdraw(session, subscriber, mailing_list, source=SOURCE, actor=ACTOR, evidence=EVIDENCE, at=now)
            told.append(Told(LEFT, line.title))
        else:
            told.append(_join(session, subscriber, mailing_list, line, wording(line.title), now))
    return told


def _ticked(form: FormData) -> frozenset[str]:
    return frozenset(str(value) for value in form.getlist("list"))


def _join(
    session: Session, subscriber: Subscriber, mailing_list: MailingList, line: ListLine, words: str, now: datetime
) -> Told:
    """Put somebody on an open list. Their own wish to be left alone ends with it; any other suppression stands."""
    entries = [
        entry
        for entry in suppression.of_address(
            session, address_hash=subscriber.address_hash, domain=subscriber.domain, now=now
        )
        if entry.list_id in (None, line.id)
    ]
    if any(entry.reason != suppression.UNSUBSCRIBED or entry.domain is not None for entry in entries):
        return Told(KEPT_OUT, line.title)
    for entry in entries:
        suppression.lift(session, entry, by=ACTOR, why=f"joined {mailing_list.name} on the {SOURCE}", at=now)
    consent.grant(
        session,
        subscriber,
        mailing_list,
        basis=Basis.CONSENT,
        source=SOURCE,
        actor=ACTOR,
        evidence=EVIDENCE,
        at=now,
        wording=words,
    )
    return Told(JOINED, line.title)
