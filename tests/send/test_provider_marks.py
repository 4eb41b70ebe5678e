"""What makes a copy known again by its provider: the id in the reply to the dot, and the mark in a header."""

from __future__ import annotations

import re
from email import message_from_bytes
from typing import Any

import pytest
from sqlalchemy import select

from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.keys import LINKS, MARKS, load_keys, rotate_key
from newsletter.send.claims import Claimed
from newsletter.send.copies import CopyMaker
from newsletter.send.dispatch import send_issue
from newsletter.tables import Delivery
from subscribers.bounces.provider_marks import MARK_FIELDS, handed_back
from subscribers.bounces.verp import read_mark

SES_ID = "0102018f3a7b2c1d-1a2b3c4d-1111-2222-3333-123456789abc-000000"


def configured(app: App, **groups: Any) -> Config:
    return Config.model_validate({**app.config.model_dump(mode="python"), **groups})


def plan_with(app: App, plan_issue: Any, **groups: Any) -> int:
    """Freeze an issue for one person under a configuration that is laid over the application's."""
    app.config = configured(app, **groups)
    issue: int = plan_issue(app, 1)
    return issue


def copy_of(app: App, issue_id: int, **groups: Any) -> tuple[Any, Delivery]:
    """Return the message that the first person is sent under today's configuration, and its row."""
    with app.database.read() as session:
        row = session.scalars(select(Delivery).where(Delivery.issue_id == issue_id).order_by(Delivery.id)).first()
        assert row is not None
        maker = CopyMaker.load(session, issue_id, configured(app, **groups), load_keys(app.workspace.secrets))
    claimed = Claimed(**{name: getattr(row, name) for name in Claimed._fields})
    return message_from_bytes(maker.make(claimed).body), row


@pytest.mark.parametrize("provider", sorted(MARK_FIELDS))
def test_a_copy_carries_the_mark_that_its_provider_hands_back(app, plan_issue, provider) -> None:
    issue = plan_with(app, plan_issue, smtp={"host": "127.0.0.1", "provider": provider})
    message, row = copy_of(app, issue)
    field = MARK_FIELDS[provider]
    value = message[field.name]
    assert value.startswith(field.before)
    assert value.endswith(field.after)
    mark = handed_back(value.removeprefix(field.before).removesuffix(field.after))
    assert read_mark(app.keys.marks, mark) == row.id
    assert row.address not in value


@pytest.mark.parametrize("provider", ["", "mailersend", "postal"])
def test_a_copy_that_no_provider_hands_back_carries_none(app, plan_issue, provider) -> None:
    message, _ = copy_of(app, plan_with(app, plan_issue, smtp={"host": "127.0.0.1", "provider": provider}))
    assert not {name.lower() for name in message} & {field.name.lower() for field in MARK_FIELDS.values()}


def test_a_copy_is_the_same_whichever_of_two_relays_it_leaves_by(app, plan_issue) -> None:
    accounts = [{"name": "a", "provider": "ses"}, {"name": "b", "provider": "mailgun"}, {"name": "c"}]
    issue = plan_with(app, plan_issue, smtp={"accounts": accounts})
    message, _ = copy_of(app, issue)
    assert message["X-SES-MESSAGE-TAGS"]
    assert message["X-Mailgun-Variables"]
    assert copy_of(app, issue, smtp={"accounts": accounts[::-1]})[0].as_bytes() == message.as_bytes()


def test_a_frozen_copy_stays_the_same_whatever_is_changed_after(app, plan_issue) -> None:
    """Another provider, another public address, new keys of links and marks: an attempt later has the same bytes."""
    issue = plan_with(app, plan_issue, smtp={"host": "127.0.0.1", "provider": "ses"})
    message, _ = copy_of(app, issue)
    for purpose in (LINKS, MARKS):
        rotate_key(app.workspace.secrets, purpose)
    later = {"smtp": {"host": "127.0.0.1", "provider": "mailgun"}, "web": {"url": "https://other.example"}}
    assert copy_of(app, issue, **later)[0].as_bytes() == message.as_bytes()


def test_the_mark_is_there_where_the_envelope_carries_none(app, plan_issue) -> None:
    fixed = {"smtp": {"host": "127.0.0.1", "provider": "postmark"}, "bounces": {"envelope": "fixed"}}
    message, row = copy_of(app, plan_with(app, plan_issue, **fixed))
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
    accounts = [{"name": f"a{n}", "provider": name} for n, name in enumerate(MARK_FIELDS)]
    message, _ = copy_of(app, plan_with(app, plan_issue, smtp={"accounts": accounts}))
    for field in MARK_FIELDS.values():
        assert re.fullmatch(r"[\x20-\x7e]{1,120}", message[field.name])
