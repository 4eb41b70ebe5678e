"""The outbox: what is taken in, who is never mailed, and what becomes of rows whose sender died."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from newsletter.errors import InvalidValue
from newsletter.render.notice import NoticeText
from newsletter.send import notice_rows
from newsletter.send.notices import post
from newsletter.send.outbox import RULES, enqueue
from newsletter.send.owner import Owner
from newsletter.send.replies import SmtpReply
from newsletter.send.states import NOTICE_EDGES, TRANSITIONS
from newsletter.tables import DeliveryState as S
from newsletter.tables import Notice, NoticeKind
from subscribers import errors
from subscribers.suppression import BY_HAND, COMPLAINT, ERASED, HARD_BOUNCE, UNSUBSCRIBED, suppress
from subscribers.tables import MailingList

TEXT = NoticeText("Please confirm", "Follow this link:\n\n    https://news.example.org/c/abc\n")
K = NoticeKind
MAIL_OF_OPERATORS = (K.TEST, K.ALERT, K.REPLY)
ASKED_FOR = (K.CONFIRMATION, K.LINK)
TO = "ann@mail.example.com"


@pytest.fixture(params=["app", "app_on_postgresql"])
def anywhere(request):
    """The application on each database."""
    return request.getfixturevalue(request.param)


def put(app, kind=K.CONFIRMATION, to=TO, **options) -> int | None:
    with app.database.write() as session:
        notice = post(app, session, TEXT, kind=kind, to=to, **options)
        return notice.id if notice else None


def read(app, number) -> Notice:
    with app.database.read() as session:
        return session.get_one(Notice, number)


def stop(app, **what) -> None:
    with app.database.write() as session:
        suppress(session, pepper=app.keys.pepper, evidence="test", at=app.now(), **what)


def test_a_notice_and_the_row_that_asked_for_it_are_one_commit(anywhere):
    def ask_and_fail() -> None:
        with anywhere.database.write() as session:
            assert post(anywhere, session, TEXT, kind=K.LINK, to=TO) is not None
            raise RuntimeError

    with pytest.raises(RuntimeError):
        ask_and_fail()
    with anywhere.database.read() as session:
        assert session.scalars(select(Notice)).all() == []


def test_what_is_stored(anywhere):
    row = read(anywhere, put(anywhere))
    assert (row.state, row.attempt, row.address, row.domain) == (S.PENDING, 0, TO, "mail.example.com")
    assert f"Message-ID: <{row.message_id}>\r\n".encode() in row.message
    assert row.expires_at - row.created_at == timedelta(hours=24)


EVIL_ADDRESSES = ["nobody", "a@b@c", "pers\u00f6n@example.com", "a@example.com\r\nRCPT TO:<b@example.com>"]


@pytest.mark.parametrize("to", EVIL_ADDRESSES)
def test_an_address_that_cannot_be_mailed_is_refused(app, to):
    values = {"subject": "x", "message": b"", "message_id": "x@example.org", "now": app.now()}
    with app.database.write() as session, pytest.raises((InvalidValue, errors.InvalidValue)):
        enqueue(session, kind=K.LINK, to=to, pepper=app.keys.pepper, **values)


@pytest.mark.parametrize("kind", list(K))
@pytest.mark.parametrize("reason", [UNSUBSCRIBED, ERASED, COMPLAINT, HARD_BOUNCE, BY_HAND, "spam report elsewhere"])
def test_the_suppression_rule_of_each_kind(app, kind, reason):
    """Operators always hear of trouble; somebody who asked for a link gets it unless more than a leaving stops it."""
    stop(app, address=TO.upper(), reason=reason)
    wanted = kind in MAIL_OF_OPERATORS or reason == UNSUBSCRIBED
    assert (put(app, kind) is not None) is wanted


@pytest.mark.parametrize("kind", list(K))
@pytest.mark.parametrize("domain", ["mail.example.com", "example.com"])
def test_a_suppressed_domain_stops_what_people_ask_for(anywhere, kind, domain):
    stop(anywhere, domain=domain, reason=UNSUBSCRIBED)
    assert (put(anywhere, kind) is None) is (kind in ASKED_FOR)


def test_a_suppression_for_one_list_or_one_that_was_over_stops_nothing(app):
    with app.database.write() as session:
        session.add(MailingList(id=1, name="members", title="Members", created_at=app.now()))
    stop(app, address=TO, reason=COMPLAINT, list_id=1)
    stop(app, address=TO, reason=HARD_BOUNCE, expires_at=app.now() - timedelta(days=1))
    assert put(app, K.LINK) is not None


def test_a_dedupe_is_taken_once(anywhere):
    first = put(anywhere, K.ALERT, dedupe="x")
    assert first is not None
    assert put(anywhere, K.ALERT, dedupe="x") is None
    assert put(anywhere, K.ALERT, dedupe="y") is not None


def test_two_processes_that_tell_the_same_cause_at_once_tell_it_once(app_on_postgresql):
    """The second one has looked before the first one committed: the database itself says no."""
    app = app_on_postgresql
    with app.database.write() as first:
        assert post(app, first, TEXT, kind=K.ALERT, to=TO, dedupe="x") is not None
        first.flush()
        told = []
        other = threading.Thread(target=lambda: told.append(put(app, K.ALERT, dedupe="x")))
        other.start()
        other.join(0.5)
        assert other.is_alive()  # it waits for the first to decide
    other.join()
    assert told == [None]


def test_a_notice_uses_only_edges_of_the_published_table():
    assert set(TRANSITIONS) >= NOTICE_EDGES
    assert (S.SENT, S.PENDING) not in NOTICE_EDGES
    assert not any(before is S.SENT for before, _ in NOTICE_EDGES)
    with pytest.raises(AssertionError):
        notice_rows._move(None, None, (S.SENT,), S.PENDING, None)


def claim(app, owner, **options):
    with app.database.write() as session:
        taken = notice_rows.claim(
            session, owner, app.config.smtp, now=app.now(), lease=timedelta(minutes=15), **options
        )
        return taken.job


def settle(app, owner, job, state, **values):
    with app.database.write() as session:
        notice_rows.settle(session, owner, job, notice_rows.Outcome(state, job.attempt, **values), app.now())


def intend(app, owner, job) -> bool:
    with app.database.write() as session:
        return notice_rows.intend(session, owner, job, app.now())


@pytest.mark.parametrize("state", [S.SENT, S.BOUNCED, S.EXPIRED, S.HELD, S.UNCERTAIN])
def test_address_and_message_are_blank_once_a_notice_has_its_end(anywhere, state):
    """A link in it must not lie in the database, nor the address in the server's words."""
    number = put(anywhere, K.REPLY)
    job = claim(anywhere, 1)
    assert (job.id, job.attempt) == (number, 1)
    assert intend(anywhere, 1, job)
    settle(anywhere, 1, job, state, reply=SmtpReply(250, f"2.0.0 <{TO}> ok"))
    row = read(anywhere, number)
    assert (row.state, row.address, row.message, row.subject) == (state, None, None, "")
    assert row.reply_text == "2.0.0 <(address)> ok"


def test_a_row_is_in_one_hand_at_a_time_and_new_ones_come_first(anywhere):
    old, new = put(anywhere), put(anywhere)
    with anywhere.database.write() as session:
        session.execute(update(Notice).where(Notice.id == old).values(state=S.DEFERRED, attempt=2))
    assert [claim(anywhere, owner).id for owner in (1, 2)] == [new, old]
    assert claim(anywhere, 3) is None


def test_a_test_copy_is_taken_by_its_command_only(anywhere):
    number = put(anywhere, K.TEST)
    assert claim(anywhere, 1) is None
    assert claim(anywhere, 1, only=(number,)).id == number


def test_who_is_suppressed_meanwhile_is_not_mailed(anywhere):
    waiting, begun = put(anywhere), put(anywhere, to="ben@example.net")
    first = claim(anywhere, 1)
    assert first.id == waiting
    second = claim(anywhere, 1)
    stop(anywhere, address=TO, reason=COMPLAINT)
    assert not intend(anywhere, 1, first)
    stop(anywhere, domain="example.net", reason=BY_HAND)
    assert not intend(anywhere, 1, second)
    assert {read(anywhere, n).state for n in (waiting, begun)} == {S.SUPPRESSED}
    third = put(anywhere, to="carys@example.com")
    stop(anywhere, address="carys@example.com", reason=ERASED)
    assert claim(anywhere, 1) is None
    assert (read(anywhere, third).state, read(anywhere, third).address) == (S.SUPPRESSED, None)


def test_what_waited_too_long_expires_unsent(anywhere):
    number = put(anywhere, expires_at=anywhere.now())
    assert claim(anywhere, 1) is None
    assert (read(anywhere, number).state, read(anywhere, number).message) == (S.EXPIRED, None)


def test_a_lease_that_is_over_grants_no_dot(anywhere):
    put(anywhere)
    job = claim(anywhere, 1)
    with anywhere.database.write() as session:
        session.execute(update(Notice).values(lease_until=anywhere.now()))
    assert not intend(anywhere, 1, job)


@pytest.mark.parametrize("kind", list(K))
def test_after_a_death_a_claimed_notice_goes_back_and_an_intended_one_as_its_kind_says(anywhere, kind):
    numbers = [put(anywhere, kind) for _ in range(2)]
    with Owner(anywhere.database, anywhere.workspace.locks, anywhere.now) as dead:
        jobs = [claim(anywhere, dead.id, only=(number,)) for number in numbers]
        assert intend(anywhere, dead.id, jobs[1])
        with Owner(anywhere.database, anywhere.workspace.locks, anywhere.now) as alive:
            recover(anywhere, alive)
            assert [read(anywhere, n).state for n in numbers] == [S.CLAIMED, S.INTENT]  # it lives
    with Owner(anywhere.database, anywhere.workspace.locks, anywhere.now) as next_one:
        recover(anywhere, next_one)
    claimed, intended = (read(anywhere, number) for number in numbers)
    assert (claimed.state, claimed.attempt) == (S.PENDING, 0)
    repeated = RULES[kind].repeats_doubtful
    assert repeated is (kind in (K.ALERT, K.REPLY))
    assert intended.state is (S.PENDING if repeated else S.UNCERTAIN)
    assert (intended.message is not None) is repeated
    assert list(anywhere.workspace.locks.glob("worker-*.lock")) == []


def recover(app, owner) -> None:
    with app.database.write() as session:
        notice_rows.recover(session, owner, now=app.now(), dot_timeout=timedelta(seconds=600))


def test_a_stopped_owner_keeps_its_intent_until_its_reply_cannot_come_any_more(anywhere):
    number = put(anywhere)
    clock = anywhere.now()
    with (
        Owner(anywhere.database, anywhere.workspace.locks, anywhere.now) as stopped,
        Owner(anywhere.database, anywhere.workspace.locks, anywhere.now) as other,
    ):
        job = claim(anywhere, stopped.id)
        assert intend(anywhere, stopped.id, job)
        anywhere.now = lambda: clock + timedelta(minutes=16)
        recover(anywhere, other)
        assert read(anywhere, number).state is S.INTENT
        anywhere.now = lambda: clock + timedelta(minutes=30)
        recover(anywhere, other)
        assert read(anywhere, number).state is S.UNCERTAIN
        settle(anywhere, stopped.id, job, S.SENT)  # its reply came all the same
        assert read(anywhere, number).state is S.SENT


def test_after_a_copy_was_adopted_nothing_asked_for_is_sent_twice_and_no_reply_is_lost(anywhere):
    link, reply = put(anywhere, K.LINK), put(anywhere, K.REPLY)
    with anywhere.database.write() as session:
        notice_rows.doubt(session, (S.PENDING, S.CLAIMED, S.INTENT, S.DEFERRED), reason="copied", now=anywhere.now())
    assert (read(anywhere, link).state, read(anywhere, link).address) == (S.UNCERTAIN, None)
    assert (read(anywhere, reply).state, read(anywhere, reply).address) == (S.PENDING, TO)


def test_the_rate_of_an_account_is_shared_with_issues(app):
    app.config = app.config.model_copy(update={"smtp": app.config.smtp.model_copy(update={"per_hour": 2})})
    for _ in range(3):
        put(app)
    with app.database.write() as session:
        taken = [
            notice_rows.claim(session, 1, app.config.smtp, now=app.now(), lease=timedelta(minutes=5)) for _ in range(3)
        ]
    assert [each.job is not None for each in taken] == [True, True, False]
    assert taken[2].wait_seconds > 3000


def test_a_fault_of_the_caller_is_not_taken_for_a_cause_that_was_told(app):
    """What the caller has pending fails as the caller's: None would hide it."""
    with app.database.read() as session:
        session.add(MailingList(name=None, title="x", created_at=app.now()))
        with pytest.raises(IntegrityError):
            post(app, session, TEXT, kind=K.ALERT, to=TO, dedupe="x")
