"""Notices on their way to the scripted server: what it took over is the truth."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from newsletter.config.settings import Config
from newsletter.render.notice import NoticeText
from newsletter.send.courier import Trip, carry_due
from newsletter.send.messenger import Messenger
from newsletter.send.notices import post
from newsletter.send.outbox import enqueue
from newsletter.send.owner import Owner
from newsletter.send.trial import NotDelivered, send_test_copy
from newsletter.tables import DeliveryState as S
from newsletter.tables import Notice, NoticeKind, Throttle, Worker
from subscribers.db import Base, Database
from tests.peers.fixtures import free_port
from tests.send.conftest import HEADERS, RENDERED

K = NoticeKind
TEXT = NoticeText("Please confirm", "Follow this link:\n\n    https://news.example.org/c/abc\n")


@pytest.fixture(params=["sqlite", "postgresql"])
def on_each(request, sending_app):
    """Return a function that points the application at a port, on each database."""

    def point(port, **options):
        app = sending_app(port, **options)
        if request.param == "postgresql":
            app.close()
            app.__dict__["database"] = Database(request.getfixturevalue("postgresql_url"))
            with app.database.write() as session:
                Base.metadata.create_all(session.connection())
        return app

    return point


def put(app, kind=K.CONFIRMATION, to="ann@example.com", **options) -> int:
    with app.database.write() as session:
        notice = post(app, session, TEXT, kind=kind, to=to, **options)
        assert notice is not None
        return notice.id


def read(app, number) -> Notice:
    with app.database.read() as session:
        return session.get_one(Notice, number)


def carry(app) -> Trip:
    with Owner(app.database, app.workspace.locks, app.now) as owner:
        return carry_due(app, owner)


def make_due(app) -> None:
    with app.database.write() as session:
        session.execute(update(Notice).where(Notice.retry_at.is_not(None)).values(retry_at=app.now()))


@pytest.mark.parametrize("flags", [(), ("--bytewise",), ("--multiline", "--no-pipelining")])
def test_every_notice_leaves_once_over_one_conversation(start_sink, on_each, flags):
    sink = start_sink(*flags)
    app = on_each(sink.port)
    numbers = [put(app, to=f"p{n}@example.com") for n in range(5)]
    assert [each.state for each in carry(app).carried] == [S.SENT] * 5
    assert sink.accepted() == {f"p{n}@example.com": 1 for n in range(5)}
    assert len(sink.events("connect")) == 1
    assert {read(app, number).state for number in numbers} == {S.SENT}
    assert carry(app).carried == []
    assert {event["sender"] for event in sink.events("accepted")} == {"<news@example.org>"}


def test_a_connection_carries_no_more_than_its_limit(start_sink, sending_app):
    sink = start_sink()
    app = sending_app(sink.port, messages_per_connection=2)
    for n in range(5):
        put(app, to=f"p{n}@example.com")
    assert len(carry(app).carried) == 5
    assert len(sink.events("connect")) == 3


def test_a_relay_that_is_away_charges_nobody_and_another_account_is_used(start_sink, sending_app):
    sink = start_sink()
    app = sending_app(free_port())
    number = put(app)
    assert "cannot be reached" in carry(app).away.message
    assert (read(app, number).state, read(app, number).attempt) == (S.PENDING, 0)
    both = (app.config.smtp.all_accounts[0], app.config.smtp.model_copy(update={"name": "second", "port": sink.port}))
    app.config = app.config.model_copy(update={"smtp": app.config.smtp.model_copy(update={"accounts": both})})
    assert carry(app).away is None
    assert sink.accepted() == {"ann@example.com": 1}


@pytest.mark.parametrize(
    ("stage", "reply"),
    [("connect", "554 5.3.2 no"), ("mail", "421 4.3.2 busy"), ("mail", "530 5.7.0 authenticate"),
     ("mail", "550 5.1.8 bad sender"), ("rcpt", "421 4.3.2 busy")],
)  # fmt: skip
def test_a_relay_that_refuses_everybody_charges_nobody(start_sink, sending_app, stage, reply):
    sink = start_sink(rules=[{"stage": stage, "reply": reply, "times": 1}])
    app = sending_app(sink.port)
    number = put(app)
    assert carry(app).away is not None
    row = read(app, number)
    assert (row.state, row.attempt, row.owner is None or row.lease_until is not None) == (S.PENDING, 0, True)
    make_due(app)
    assert [each.state for each in carry(app).carried] == [S.SENT]
    assert sink.accepted() == {"ann@example.com": 1}


def test_one_recipient_at_whom_the_relay_hangs_up_keeps_no_other_from_leaving(start_sink, sending_app):
    sink = start_sink(rules=[{"stage": "rcpt", "match": "p0@", "reply": "421 4.3.2 not you"}])
    app = sending_app(sink.port)
    put(app, to="p0@example.com")
    put(app, to="p1@example.com")
    for _ in range(2):
        carry(app)
    assert sink.accepted() == {"p1@example.com": 1}


@pytest.mark.parametrize(
    ("rule", "state"),
    [
        ({"stage": "rcpt", "reply": "550 5.1.1 <ann@example.com> unknown"}, S.BOUNCED),
        ({"stage": "dot", "reply": "554 5.6.0 content"}, S.HELD),
        ({"stage": "dot", "reply": None, "accept": True}, S.UNCERTAIN),
    ],
)
def test_what_is_refused_for_good_or_doubtful_has_its_end_and_holds_no_address(start_sink, on_each, rule, state):
    sink = start_sink(rules=[rule])
    app = on_each(sink.port)
    number = put(app)
    carry(app)
    row = read(app, number)
    assert (row.state, row.address, row.message) == (state, None, None)
    assert "ann" not in (row.reply_text or "")
    assert carry(app).carried == []


@pytest.mark.parametrize("stage", ["rcpt", "data", "dot", "body"])
def test_a_4yz_is_tried_again_with_the_same_bytes_until_it_expires(start_sink, on_each, stage):
    sink = start_sink(rules=[{"stage": stage, "reply": "451 4.3.0 later", "times": 2}])
    app = on_each(sink.port)
    number = put(app)
    for attempt in (1, 2):
        carry(app)
        row = read(app, number)
        assert (row.state, row.attempt) == (S.DEFERRED, attempt)
        assert row.retry_at > app.now() + timedelta(minutes=3)
        make_due(app)
    carry(app)
    assert read(app, number).state is S.SENT
    assert sink.accepted() == {"ann@example.com": 1}


def test_a_4yz_near_its_end_expires(start_sink, sending_app):
    sink = start_sink(rules=[{"stage": "rcpt", "reply": "450 4.2.0 greylisted"}])
    app = sending_app(sink.port)
    number = put(app, expires_at=app.now() + timedelta(minutes=3))
    carry(app)
    assert (read(app, number).state, read(app, number).address) == (S.EXPIRED, None)


@pytest.mark.parametrize("kind", [K.ALERT, K.REPLY])
def test_a_doubtful_alert_or_reply_is_repeated_with_the_same_bytes(start_sink, on_each, kind):
    sink = start_sink(rules=[{"stage": "dot", "reply": None, "accept": True, "times": 1}])
    app = on_each(sink.port)
    number = put(app, kind)
    carry(app)
    assert (read(app, number).state, read(app, number).owner) == (S.PENDING, None)
    make_due(app)
    carry(app)
    assert read(app, number).state is S.SENT
    first, second = sink.events("accepted")
    assert (first["sha256"], first["message_id"]) == (second["sha256"], second["message_id"])


EVIL = b"To: ann@example.com\r\nSubject: x\r\nBcc: b@example.net\r\n\r\nHello\r\n"


@pytest.mark.parametrize("message", [EVIL, EVIL.replace(b"\r\nBcc", b"\nBcc"), b"x\x00", b""])
def test_the_gate_has_the_last_word_and_others_go_on(start_sink, sending_app, message):
    sink = start_sink()
    app = sending_app(sink.port)
    with app.database.write() as session:
        bad = enqueue(
            session, kind=K.LINK, to="ann@example.com", subject="x", message=message, message_id="x@example.org",
            now=app.now(), pepper=app.keys.pepper,
        ).id  # fmt: skip
    good = put(app, to="ben@example.com")
    carry(app)
    assert (read(app, bad).state, read(app, bad).reason, read(app, good).state) == (S.HELD, "gate", S.SENT)
    assert sink.accepted() == {"ben@example.com": 1}


def test_a_newsletter_is_no_notice_and_a_notice_no_newsletter(start_sink, sending_app, tmp_path):
    """Neither List-Unsubscribe on a notice, nor Auto-Submitted on a test copy of an issue."""
    folder = tmp_path / "kept"
    folder.mkdir()
    sink = start_sink("--keep", str(folder))
    app = sending_app(sink.port)
    put(app)
    carry(app)
    send_test_copy(app, RENDERED, HEADERS, to="chair@example.net")
    notice, test = ((folder / f"{n}.eml").read_bytes() for n in (1, 2))
    assert b"Auto-Submitted: auto-generated\r\n" in notice
    assert b"List-Unsubscribe" not in notice
    assert b"Auto-Submitted" not in test
    assert b"List-Unsubscribe: <https://" in test


@pytest.mark.parametrize("delay", [0, 0.8])
def test_an_accounts_rate_is_kept(start_sink, sending_app, delay):
    """Where the relay is slow a notice misses its slot and takes another one."""
    sink = start_sink(rules=[{"stage": "rcpt", "delay": delay}] if delay else [])
    app = sending_app(sink.port, per_minute=120)
    for n in range(4):
        put(app, to=f"p{n}@example.com")
    with Messenger(app, lambda _: None) as messenger:
        while sum(sink.accepted().values()) < 4:
            messenger.once()
    times = sorted(event["at"] for event in sink.events("accepted"))
    assert 1.2 < times[-1] - times[0] < 10  # one each half second
    with app.database.read() as session:
        used = session.get_one(Throttle, "account:default").value["next_at"]
    assert used > app.now().timestamp()  # what left late is counted where it left


CHILD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.paths import Workspace
from newsletter.send.messenger import Messenger
app = App(workspace=Workspace(Path(sys.argv[1])), config=Config.model_validate_json(sys.stdin.read()), actor="tester")
Messenger(app, print).once()
"""


@contextmanager
def messenger_process(app):
    """A messenger in a process of its own."""
    config = json.dumps(app.config.model_dump(mode="json", exclude={"smtp": {"password", "accounts"}}))
    words = [sys.executable, "-c", CHILD, str(app.workspace.root)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin
        process.stdin.write(config)
        process.stdin.close()
        yield process


@pytest.mark.parametrize(("kind", "end"), [(K.ALERT, S.SENT), (K.REPLY, S.SENT), (K.LINK, S.UNCERTAIN)])
def test_a_crash_between_intent_and_reply_repeats_what_must_not_be_lost_and_nothing_else(
    start_sink, sending_app, kind, end
):
    sink = start_sink(rules=[{"stage": "dot", "delay": 20, "times": 1}])
    app = sending_app(sink.port)
    number = put(app, kind)
    with messenger_process(app) as process:
        give_up = time.monotonic() + 20
        while read(app, number).state is not S.INTENT and time.monotonic() < give_up:
            time.sleep(0.02)
        time.sleep(0.2)  # the dot is out
        process.kill()
        process.wait()
    assert read(app, number).state is S.INTENT
    with Messenger(app, lambda _: None) as messenger:
        messenger.once()
        make_due(app)
        messenger.once()
    assert (read(app, number).state, read(app, number).message) == (end, None)
    assert sum(sink.accepted().values()) == (1 if end is S.SENT else 0)
    with app.database.read() as session:
        assert all(row.ended_at is not None for row in session.scalars(select(Worker)))


def test_a_test_copy_that_cannot_leave_is_an_error_now_and_nothing_later(start_sink, sending_app):
    app = sending_app(free_port())
    with pytest.raises(NotDelivered, match="cannot be reached"):
        send_test_copy(app, RENDERED, HEADERS, to="chair@example.net")
    sink = start_sink(rules=[{"stage": "rcpt", "reply": "450 4.2.0 later", "times": 1}])
    app = sending_app(sink.port)
    with pytest.raises(NotDelivered, match=r"450 4\.2\.0 later"):
        send_test_copy(app, RENDERED, HEADERS, to="chair@example.net")
    with Messenger(app, lambda _: None) as messenger:
        assert messenger.once() == 0
    assert sink.accepted() == {}
    with app.database.read() as session:
        rows = session.scalars(select(Notice).order_by(Notice.id)).all()
    assert [(row.state, row.address, row.message) for row in rows] == [
        (S.CANCELLED, None, None),
        (S.EXPIRED, None, None),
    ]


def test_a_test_copy_without_a_clear_reply_says_so(start_sink, sending_app):
    sink = start_sink(rules=[{"stage": "dot", "reply": None, "accept": True}])
    app = sending_app(sink.port)
    with pytest.raises(NotDelivered, match="did not say whether") as doubtful:
        send_test_copy(app, RENDERED, HEADERS, to="chair@example.net")
    assert "arrived" in doubtful.value.hint


def test_an_idle_messenger_writes_nothing(sending_app):
    app = sending_app(1)
    with Messenger(app, lambda _: None) as messenger:
        assert messenger.once() == 0
    with app.database.read() as session:
        assert session.scalars(select(Worker)).all() == []


def test_a_messenger_says_what_waits_once_and_names_nobody(sending_app):
    app = sending_app(free_port())
    put(app)
    said = []
    with Messenger(app, said.append) as messenger:
        for _ in range(3):
            messenger.once()
    assert len(said) == 1
    assert "Notices wait: The mail server 127.0.0.1" in said[0]
    assert "@" not in said[0]


def test_the_configuration_of_the_child_is_the_same(sending_app):
    """What the process above reads is what this one has: else its test would prove nothing."""
    app = sending_app(4711)
    text = json.dumps(app.config.model_dump(mode="json", exclude={"smtp": {"password", "accounts"}}))
    assert Config.model_validate_json(text).smtp.port == 4711
    assert datetime.now(UTC) - app.now() < timedelta(seconds=5)
