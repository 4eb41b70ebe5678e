"""What makes a copy known again by its provider: the id in the reply to the dot, and the mark in a header."""

from __future__ import annotations

import re
from email import message_from_bytes
from typing import Any

import pytest
from sqlalchemy import select

from newsletter.app import App
from newsletter.config import Config
from newsletter.send.claims import Claimed
from newsletter.send.copies import CopyMaker
from newsletter.send.dispatch import send_issue
from newsletter.tables import Delivery
from subscribers.bounces.provider_marks import MARK_FIELDS, handed_back
from subscribers.bounces.verp import read_mark

SES_ID = "0102018f3a7b2c1d-1a2b3c4d-1111-2222-3333-123456789abc-000000"


def copy_of(app: App, issue_id: int, **config: Any) -> tuple[Any, Delivery]:
    """Return the message that the first person would be sent, and its row."""
    made = Config.model_validate({**app.config.model_dump(mode="python"), **config})
    with app.database.read() as session:
        row = session.scalars(select(Delivery).order_by(Delivery.id)).first()
        assert row is not None
        maker = CopyMaker.load(session, issue_id, made, app.keys)
    claimed = Claimed(
        row.id,
        row.variant_id,
        row.list_id,
        row.address,
        row.domain,
        row.token_id,
        row.slots,
        row.date,
        row.message_id,
        1,
    )
    return message_from_bytes(maker.make(claimed).body), row


@pytest.mark.parametrize("provider", sorted(MARK_FIELDS))
def test_a_copy_carries_the_mark_that_its_provider_hands_back(app, plan_issue, provider) -> None:
    issue = plan_issue(app, 1)
    message, row = copy_of(app, issue, smtp={"host": "127.0.0.1", "provider": provider})
    field = MARK_FIELDS[provider]
    value = message[field.name]
    assert value.startswith(field.before)
    assert value.endswith(field.after)
    mark = handed_back(value.removeprefix(field.before).removesuffix(field.after))
    assert read_mark(app.keys.marks, mark) == row.id
    assert row.address not in value


def test_a_copy_that_no_provider_sends_carries_none(app, plan_issue) -> None:
    issue = plan_issue(app, 1)
    message, _ = copy_of(app, issue)
    assert not {name.lower() for name in message} & {field.name.lower() for field in MARK_FIELDS.values()}
    for provider in ("mailersend", "postal"):
        assert copy_of(app, issue, smtp={"provider": provider})[0].as_bytes() == message.as_bytes()


def test_a_copy_is_the_same_whichever_of_two_relays_it_leaves_by(app, plan_issue) -> None:
    issue = plan_issue(app, 1)
    accounts = [{"name": "a", "provider": "ses"}, {"name": "b", "provider": "mailgun"}, {"name": "c"}]
    message, _ = copy_of(app, issue, smtp={"accounts": accounts})
    assert message["X-SES-MESSAGE-TAGS"]
    assert message["X-Mailgun-Variables"]
    again, _ = copy_of(app, issue, smtp={"accounts": accounts[::-1]})
    assert again.as_bytes() == message.as_bytes()


def test_the_mark_is_there_where_the_envelope_carries_none(app, plan_issue) -> None:
    issue = plan_issue(app, 1)
    fixed = {"bounces": {"envelope": "fixed"}}
    message, row = copy_of(app, issue, smtp={"provider": "postmark"}, **fixed)
    assert read_mark(app.keys.marks, handed_back(message["X-PM-Metadata-mark"])) == row.id


@pytest.mark.parametrize(("provider", "expected"), [("ses", SES_ID), ("", None)])
def test_what_a_provider_calls_a_copy_is_kept(
    start_sink, sending_app, plan_issue, deliveries, provider, expected
) -> None:
    sink = start_sink(rules=[{"stage": "dot", "reply": f"250 Ok {SES_ID}", "accept": True}])
    app = sending_app(sink.port, provider=provider)
    report = send_issue(app, plan_issue(app, 3))
    assert report.counts["sent"] == 3
    assert {row.remote_id for row in deliveries(app).values()} == {expected}


def test_a_refusal_names_no_copy(start_sink, sending_app, plan_issue, deliveries) -> None:
    sink = start_sink(rules=[{"stage": "dot", "reply": f"550 5.1.1 no such user {SES_ID}"}])
    app = sending_app(sink.port, provider="ses")
    send_issue(app, plan_issue(app, 1))
    (row,) = deliveries(app).values()
    assert (row.state.value, row.remote_id) == ("bounced", None)


def test_every_header_passes_the_gate_and_is_plain(app, plan_issue) -> None:
    issue = plan_issue(app, 1)
    accounts = [{"name": f"a{n}", "provider": name} for n, name in enumerate(MARK_FIELDS)]
    message, _ = copy_of(app, issue, smtp={"accounts": accounts})
    for field in MARK_FIELDS.values():
        assert re.fullmatch(r"[\x20-\x7e]{1,120}", message[field.name])
