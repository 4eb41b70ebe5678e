"""The decisions of a sign-up, without a database: whom it mails, and how forms and limits are judged."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.asked.bucket import Bucket, filled, take
from newsletter.asked.deciding import SILENCE, Decision, Reply, decide, is_role, is_timely
from newsletter.asked.form_ticket import LONGEST, FormTicket, seal, unseal
from subscribers.addresses import parse_address
from subscribers.signing_up import Standing, mailbox_key
from subscribers.tokens import Key, Keyring, sign_text

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
RING = Keyring((Key(2, b"n" * 32), Key(1, b"o" * 32)))
TICKET = FormTicket(
    NOW, False, "https://news.example.org/sign-up", "sign-up/1", "en-GB", "Yes, please.", {"members": "Members ☂"}
)
HOUR = timedelta(hours=1)


def confirm(*numbers: int) -> Decision:
    return Decision(Reply.CONFIRM, frozenset(numbers))


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


@pytest.mark.parametrize(
    ("asked", "known", "decision"),
    [
        ({1, 2}, Standing(), confirm(1, 2)),
        (set(), Standing(), SILENCE),
        ({1, 2}, Standing(on=frozenset({1})), confirm(2)),
        ({1, 2}, Standing(barred=frozenset({1})), confirm(2)),
        ({1}, Standing(barred=frozenset({1})), SILENCE),
        ({1}, Standing(barred_everywhere=True), SILENCE),
        ({1}, Standing(mails=2, written_at=ago(hours=24)), confirm(1)),
        ({1}, Standing(mails=3, written_at=ago(days=400)), SILENCE),
        ({1}, Standing(mails=1, written_at=ago(hours=23, minutes=59)), SILENCE),
        ({1}, Standing(on=frozenset({1, 2})), Decision(Reply.ALREADY, frozenset({1}))),
        ({1}, Standing(on=frozenset({1}), discreet=True), SILENCE),
        ({1, 2}, Standing(on=frozenset({1}), discreet=True), confirm(2)),
        ({1}, Standing(on=frozenset({1}), written_at=ago(hours=1)), SILENCE),
        ({1}, Standing(on=frozenset({1}), told_at=ago(days=29)), SILENCE),
        ({1}, Standing(on=frozenset({1}), told_at=ago(days=30)), Decision(Reply.ALREADY, frozenset({1}))),
        ({1}, Standing(on=frozenset({1}), mails=3), Decision(Reply.ALREADY, frozenset({1}))),
    ],
)
def test_who_is_mailed_what(asked: set[int], known: Standing, decision: Decision) -> None:
    assert decide(asked, known, NOW) == decision


@pytest.mark.parametrize(
    ("after", "embedded", "timely"),
    [
        (timedelta(seconds=1), False, False),
        (timedelta(seconds=2), False, True),
        (timedelta(hours=48), False, True),
        (timedelta(hours=48, seconds=1), False, False),
        (-HOUR, False, False),
        (timedelta(0), True, True),
        (timedelta(days=2000), True, True),
        (-HOUR, True, False),
    ],
)
def test_a_form_is_filled_in_as_people_do_it(after: timedelta, embedded: bool, timely: bool) -> None:
    ticket = replace(TICKET, embedded=embedded)
    assert is_timely(ticket, NOW + after, shortest=timedelta(seconds=2), longest=timedelta(hours=48)) is timely


@pytest.mark.parametrize(
    ("address", "role"),
    [
        ("abuse@example.org", True),
        ("Postmaster@example.org", True),
        ("abuse+news@example.org", True),
        ("no-reply@example.org", True),
        ("info@example.org", False),
        ("abu@example.org", False),
        ("ann+abuse@example.org", False),
    ],
)
def test_mailboxes_of_a_role(address: str, role: bool) -> None:
    assert is_role(parse_address(address)) is role


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ann@Example.org", "ann@example.org", True),
        ("ann+1@example.org", "ann+2@example.org", True),
        ("a.n.n@gmail.com", "ann+x@googlemail.com", True),
        ("a.nn@example.org", "ann@example.org", False),
        ("ann@example.org", "ann@example.com", False),
        ("+1@example.org", "+2@example.org", False),
    ],
)
def test_spellings_of_one_mailbox_share_its_limits(one: str, other: str, same: bool) -> None:
    assert (mailbox_key(parse_address(one)) == mailbox_key(parse_address(other))) is same


def test_a_ticket_holds_what_was_shown_and_older_keys_verify() -> None:
    text = seal(RING, TICKET)
    assert unseal(RING, text) == TICKET
    assert unseal(Keyring((Key(3, b"x" * 32), *RING.keys)), text) == TICKET
    numbered = replace(TICKET, number="n")
    assert unseal(RING, seal(RING, numbered)) == numbered
    assert TICKET.wording("members") == "Yes, please.\nMembers ☂"


def test_no_changed_ticket_passes() -> None:
    text = seal(RING, TICKET)
    for place in range(len(text)):
        for other in ("A", "Q", "-"):
            changed = text[:place] + other + text[place + 1 :]
            assert changed == text or unseal(RING, changed) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1.",
        "v1.AAAA",
        "x" * (LONGEST + 1),
        sign_text(RING.current, "unsubscribe", "[]"),
        sign_text(RING.current, "sign-up form", "[1,0]"),
        sign_text(RING.current, "sign-up form", "{}"),
        sign_text(RING.current, "sign-up form", "no json"),
        sign_text(Key(1, b"z" * 32), "sign-up form", json.dumps([1, 0, "", "", "", "", {}])),
        sign_text(Key(9, b"z" * 32), "sign-up form", json.dumps([1, 0, "", "", "", "", {}])),
    ],
)
def test_what_was_not_made_here_for_this_is_no_ticket(text: str) -> None:
    assert unseal(RING, text) is None


def test_nobody_guesses_a_ticket() -> None:
    assert not any(unseal(RING, "v1." + secrets.token_urlsafe(80)) for _ in range(2000))


@given(st.lists(st.floats(0, 600), min_size=1, max_size=300), st.integers(1, 50))
def test_no_hour_holds_more_than_a_full_bucket_and_its_refill(gaps: list[float], per_hour: int) -> None:
    """Never more than one bucket at once, and one more for each hour that passes."""
    bucket, now, taken = None, 1_000_000.0, []
    for gap in gaps:
        now += gap
        allowed, bucket = take(bucket, per_hour, now)
        if allowed:
            taken.append(now)
    for begin, start in enumerate(taken):
        within = [moment for moment in taken[begin:] if moment < start + 3600]
        assert len(within) <= 2 * per_hour
    assert len([moment for moment in taken if moment == taken[0]]) <= per_hour


def test_a_clock_that_is_set_back_gives_and_takes_nothing() -> None:
    bucket = Bucket(3, 5000)
    assert filled(bucket, 10, 1000) == 3
    assert take(bucket, 10, 1000) == (True, Bucket(2, 1000))
    assert Bucket.from_json(bucket.to_json()) == bucket
    assert filled(None, 10, 0) == filled(bucket, 10, 9000) == 10
