"""Alerts from the trouble to the chair's mailbox: one mail a cause, and no member's address in any."""

from __future__ import annotations

import email
import email.policy
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from newsletter import worker as worker_module
from newsletter.config.settings import Alerts
from newsletter.render.notice import NoticeText
from newsletter.send import alerts, control
from newsletter.send.messenger import Messenger
from newsletter.send.notices import post
from newsletter.send.statements import PARKED
from newsletter.tables import Delivery, Issue, IssueState, Notice, NoticeKind
from newsletter.tables import DeliveryState as S
from newsletter.worker import Worker
from subscribers.db import Database
from tests.peers.fixtures import free_port

CHAIR = "chair@charity.example"


class Clock:
    """A clock that a test moves."""

    def __init__(self, app):
        self.time = app.now()

    def __call__(self):
        return self.time

    def tick(self, **step):
        self.time += timedelta(**step)


@pytest.fixture
def mailbox(tmp_path):
    """Return the folder that the sink keeps what it takes over in."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


@pytest.fixture
def alerted(sending_app):
    """Return a function that points the application at a port and names who is told."""

    def point(port, *, to=(CHAIR,), **options):
        app = sending_app(port, **options)
        app.config = app.config.model_copy(update={"alerts": Alerts(to=to)})
        app.now = Clock(app)
        return app

    return point


def work(app):
    return Worker(app, lambda _: None).once()


def received(mailbox: Path) -> list[email.message.EmailMessage]:
    """The chair's mail, oldest first."""
    paths = sorted(mailbox.glob("*.eml"), key=lambda path: int(path.stem))
    mails = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in paths]
    mine = [mail for mail in mails if mail["To"].endswith("@charity.example")]
    for mail in mine:
        assert mail["Auto-Submitted"] == "auto-generated"
        assert "List-Unsubscribe" not in mail
        assert "person" not in mail.as_string()
    return mine


def subjects(mailbox):
    return [mail["Subject"] for mail in received(mailbox)]


def test_an_issue_that_pauses_because_of_refusals_mails_the_chair_once(start_sink, alerted, plan_issue, mailbox):
    refusal = "550 5.7.1 <person1@example.com> Our policy: person1@example.com is not for you"
    sink = start_sink("--keep", str(mailbox), rules=[{"stage": "rcpt", "match": "person", "reply": refusal}])
    app = alerted(sink.port, connections=10)
    issue = plan_issue(app, 12)
    assert work(app).troubles == ("2026-11",)
    (mail,) = received(mailbox)
    assert mail["Subject"] == "Newsletter 2026-11 has stopped"
    text = " ".join(mail.get_content().split())
    assert "example.com refuses our mail by policy, 10 times so far (550 5.7.1)." in text
    assert "0 of 12 copies are out" in text
    assert "newsletter issue send 2026-11" in text
    for _ in range(3):
        app.now.tick(hours=1)
        work(app)
    with app.database.write() as session:  # a person lets it go on, and it stops for the same reason
        control.resume(session, session.get(Issue, issue))
    app.now.tick(hours=1)
    work(app)
    assert len(received(mailbox)) == 1


def test_a_cause_that_comes_back_after_it_was_over_is_told_again(start_sink, alerted, plan_issue, mailbox):
    rule = {"stage": "mail", "reply": "550 5.1.8 who are you", "times": 1}
    sink = start_sink("--keep", str(mailbox), rules=[rule])
    app = alerted(sink.port, connections=1)
    issue = plan_issue(app, 10)
    work(app)
    with app.database.write() as session:
        control.resume(session, session.get(Issue, issue))
    app.now.tick(hours=2)
    work(app)  # one copy tries whether the provider takes mail again
    app.now.tick(hours=2)
    work(app)
    assert len(sink.accepted()) == 11  # a run went well
    with app.database.write() as session:
        row = session.get(Issue, issue)
        row.state = IssueState.SENDING
        control.pause(session, row, "The mail server refuses our sender address: 550", kind=control.PauseKind.REFUSALS)
    work(app)
    assert subjects(mailbox) == ["Newsletter 2026-11 has stopped"] * 2


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"stage": "mail", "reply": "530 5.7.0 authenticate first", "times": 1}, "(530 5.7.0)"),
        ({"stage": "mail", "reply": "550 5.1.8 who are you", "times": 1}, "refuses our sender address (550 5.1.8)"),
        ({"stage": "dot", "match": "person", "reply": "554 5.6.0 content of person1@example.com"}, "for their content"),
    ],
)
def test_configuration_sender_and_content_are_told(start_sink, alerted, plan_issue, mailbox, rule, words):
    sink = start_sink("--keep", str(mailbox), rules=[rule])
    app = alerted(sink.port, connections=1)
    plan_issue(app, 5)
    work(app)
    (mail,) = received(mailbox)
    assert words in " ".join(mail.get_content().split())


def test_held_copies_are_told_without_what_is_in_them(start_sink, alerted, plan_issue, mailbox):
    sink = start_sink("--keep", str(mailbox))
    app = alerted(sink.port)
    plan_issue(app, 30, address=lambda n: f"pers\u00f6n{n}@example.com")
    work(app)
    (mail,) = received(mailbox)
    assert "copies are held." in mail.get_content()
    assert "@" not in mail.get_content()


def test_an_issue_that_ends_with_copies_that_did_not_arrive_is_told(start_sink, alerted, plan_issue, mailbox):
    rules = [
        {"stage": "dot", "match": "person1@", "reply": None, "accept": True},
        {"stage": "dot", "match": "person2@", "reply": "554 5.6.0 no"},
        {"stage": "rcpt", "match": "person3@", "reply": "550 5.2.1 disabled"},
    ]
    sink = start_sink("--keep", str(mailbox), rules=rules)
    app = alerted(sink.port)
    issue = plan_issue(app, 8)
    for _ in range(2):
        work(app)
    (mail,) = received(mailbox)
    text = " ".join(mail.get_content().split())
    assert "5 of 8 copies were delivered" in text
    assert "1 held" in text
    assert "1 uncertain" in text
    assert " expired:" not in text
    assert "newsletter uncertain list" in text
    with app.database.write() as session:
        control.retry_failed(session, session.get(Issue, issue), now=app.now())
    app.now.tick(minutes=1)
    work(app)
    assert len(received(mailbox)) == 2  # tried again by a person, and failed again


def test_an_issue_that_only_bounced_here_and_there_is_no_trouble(start_sink, alerted, plan_issue, mailbox):
    sink = start_sink("--keep", str(mailbox), rules=[{"stage": "rcpt", "match": "person3@", "reply": "550 5.1.1 no"}])
    app = alerted(sink.port)
    plan_issue(app, 5)
    work(app)
    assert received(mailbox) == []


def test_an_issue_that_ended_long_ago_is_not_told_when_alerts_are_switched_on(start_sink, alerted, plan_issue, mailbox):
    sink = start_sink("--keep", str(mailbox), rules=[{"stage": "dot", "match": "person1@", "reply": "554 5.6.0 no"}])
    app = alerted(sink.port, to=())
    plan_issue(app, 3)
    work(app)
    app.config = app.config.model_copy(update={"alerts": Alerts(to=(CHAIR,))})
    app.now.tick(days=4)
    work(app)
    assert received(mailbox) == []


def test_a_relay_that_is_away_is_told_once_it_takes_mail_again_and_each_time_anew(
    start_sink, alerted, plan_issue, mailbox
):
    port = free_port()
    app = alerted(port)
    plan_issue(app, 3)
    for minutes in (0, 1, 2):
        app.now.tick(minutes=minutes, seconds=1)
        work(app)
        with app.database.read() as session:
            waiting = session.scalars(select(Notice)).all()
        assert len(waiting) == (minutes == 2)  # nobody is told of a minute
    assert waiting[0].state is S.PENDING
    sink = start_sink("--keep", str(mailbox), port=port)
    app.now.tick(minutes=6)
    work(app)
    (mail,) = received(mailbox)
    assert mail["Subject"] == "The mail server cannot be reached: newsletter 2026-11 waits"
    assert len(sink.accepted()) == 4
    app.now.tick(minutes=6)
    work(app)
    with app.database.read() as session:
        assert [row.dedupe for row in session.scalars(select(Notice))] == [None]


def test_an_alert_whose_cause_is_over_before_it_left_is_withdrawn(start_sink, alerted, plan_issue):
    app = alerted(free_port())
    issue = plan_issue(app, 3)
    with app.database.write() as session:
        control.pause(session, session.get(Issue, issue), "x refuses us: 550", kind=control.PauseKind.REFUSALS)
    assert alerts.look(app) == 1
    with app.database.write() as session:
        control.cancel(session, session.get(Issue, issue), now=app.now())
    assert alerts.look(app) == 0
    with app.database.read() as session:
        row = session.scalars(select(Notice)).one()
    assert (row.state, row.address, row.dedupe) == (S.CANCELLED, None, None)


def schedule(app, slug="2026-11", hours=-1, **values):
    with app.database.write() as session:
        at = app.now() + timedelta(hours=hours)
        session.add(
            Issue(slug=slug, state=IssueState.SCHEDULED, scheduled_at=at, created_at=at, edited_at=at, edited_by="x")
        )


@pytest.mark.parametrize(("hours", "words"), [(-3, "No worker ran at"), (0, "block sending 2026-11")])
def test_a_schedule_that_was_missed_or_refused_is_told(start_sink, alerted, mailbox, hours, words):
    sink = start_sink("--keep", str(mailbox))
    app = alerted(sink.port)
    schedule(app, hours=hours)
    for _ in range(2):
        work(app)
    (mail,) = received(mailbox)
    assert mail["Subject"] == "Newsletter 2026-11 was not started at its time"
    assert words in " ".join(mail.get_content().split())
    assert "nobody has been mailed" in " ".join(mail.get_content().split())


def test_many_refusals_that_count_against_nobody_are_told(start_sink, alerted, plan_issue, mailbox):
    """One refusal by policy parks everybody of that provider: no pause, no bounce, and nobody would notice."""
    sink = start_sink("--keep", str(mailbox), rules=[{"stage": "rcpt", "match": "person", "reply": "451 4.7.1 policy"}])
    app = alerted(sink.port, connections=1)
    plan_issue(app, 15)
    for _ in range(2):
        work(app)
    with app.database.read() as session:
        assert PARKED in session.scalars(select(Delivery.reason)).all()
        assert session.scalars(select(Issue.state)).one() is IssueState.SENDING
    (mail,) = received(mailbox)
    assert mail["Subject"] == "Mail servers refuse newsletter 2026-11"
    assert "15 copies" in mail.get_content()


def test_no_storm_and_nothing_lost(start_sink, alerted, mailbox):
    sink = start_sink("--keep", str(mailbox))
    app = alerted(sink.port, to=(CHAIR, "deputy@charity.example"))
    for number in range(9):
        schedule(app, f"issue-{number}", hours=-3)
    for _ in range(5):
        work(app)
    told = [mail["To"] for mail in received(mailbox)]
    assert (told.count(CHAIR), len(told)) == (alerts.MOST_AN_HOUR, 2 * alerts.MOST_AN_HOUR)
    app.now.tick(minutes=61)
    for _ in range(3):
        work(app)
    assert sorted(subjects(mailbox)) == sorted(
        f"Newsletter issue-{n} was not started at its time" for n in range(9) for _ in range(2)
    )


def test_nobody_to_tell_is_no_trouble(alerted):
    app = alerted(free_port(), to=())
    schedule(app, hours=-3)
    work(app)
    with app.database.read() as session:
        assert session.scalars(select(Notice)).all() == []


def test_a_broken_template_of_the_workspace_keeps_no_alert_from_being_told(start_sink, alerted, mailbox):
    sink = start_sink("--keep", str(mailbox))
    app = alerted(sink.port)
    folder = app.workspace.templates / "email" / "notices"
    folder.mkdir(parents=True)
    (folder / "alert-schedule.txt.j2").write_text("Subject: {{ nothing }}\n\n{% if %}")
    schedule(app, hours=-3)
    work(app)
    assert len(received(mailbox)) == 1


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("x.example refuses our mail by policy: 550 5.7.1 <p@x.example> blocked",
         "x.example refuses our mail by policy (550 5.7.1)."),
        ("3 receiving domains refuse our mail by policy, the last smith.example: 421 4.7.0 p=x.example",
         "3 receiving domains refuse our mail by policy (421 4.7.0)."),
        ("20 copies are held, the last because: The header To cannot hold 'p\u00f6@x.example'", "20 copies are held."),
        ("The mail server 127.0.0.1:587 cannot be reached: Connection refused.",
         "The mail server 127.0.0.1:587 cannot be reached."),
        ("2 things block sending x:\n  letter: p@x.example", "2 things block sending x."),
        ("p@x.example is odd", "(address) is odd."),
    ],
)  # fmt: skip
def test_only_our_own_words_and_the_codes_of_a_reply_are_mailed(reason, told):
    assert alerts.plain_reason(reason) == told


def test_a_database_that_stays_away_is_told_past_the_outbox_once(start_sink, alerted, mailbox, monkeypatch):
    monkeypatch.setattr(worker_module, "DATABASE_RETRY_SECONDS", 0.05)
    sink = start_sink("--keep", str(mailbox))
    app = alerted(sink.port)
    app.close()
    app.__dict__["database"] = Database(f"postgresql+psycopg://tester@127.0.0.1:{free_port()}/none")
    stop, said = threading.Event(), []
    running = threading.Thread(target=Worker(app, said.append, stop).run)
    running.start()
    wait_for(lambda: said)
    assert received(mailbox) == []
    app.now.tick(minutes=6)
    wait_for(lambda: received(mailbox))
    app.now.tick(hours=6)
    time.sleep(0.5)
    stop.set()
    running.join()
    (mail,) = received(mailbox)
    assert mail["Subject"] == "The newsletter's database cannot be used"
    assert "does not answer" in mail.get_content()


def wait_for(condition, seconds: float = 20) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_messenger_that_fails_says_so_and_goes_on(start_sink, alerted, monkeypatch):
    monkeypatch.setattr("newsletter.send.messenger.TROUBLE_SECONDS", 0.05)
    app = alerted(start_sink().port)
    stop, said, looks = threading.Event(), [], []

    def look(_):
        looks.append(1)
        raise RuntimeError("a fault")

    monkeypatch.setattr(alerts, "look", look)
    monkeypatch.setattr("newsletter.send.messenger.ALERT_LOOK_SECONDS", 0)
    running = threading.Thread(target=Messenger(app, said.append, stop).run)
    running.start()
    wait_for(lambda: len(looks) > 2)
    stop.set()
    running.join()
    assert said == ["Notices cannot be sent: RuntimeError: a fault"]


def test_a_resolved_uncertain_copy_ends_its_cause(start_sink, alerted, plan_issue, mailbox):
    sink = start_sink("--keep", str(mailbox), rules=[{"stage": "dot", "match": "person1@", "reply": None}])
    app = alerted(sink.port)
    plan_issue(app, 2)
    work(app)
    assert len(received(mailbox)) == 1
    with app.database.write() as session:
        session.execute(update(Delivery).where(Delivery.state == S.UNCERTAIN).values(state=S.SENT))
    work(app)
    with app.database.read() as session:
        assert session.scalars(select(Notice.dedupe)).all() == [None]


def test_an_alert_that_cannot_be_written_keeps_no_other_notice_from_leaving(start_sink, alerted, mailbox):
    """Such as one to an address that came past the configuration's own check."""
    sink = start_sink("--keep", str(mailbox))
    app = alerted(sink.port)
    app.config = app.config.model_copy(update={"alerts": Alerts.model_construct(to=("p\u00f6@charity.example",))})
    schedule(app, hours=-3)
    with app.database.write() as session:
        post(app, session, NoticeText("Your link", "Here.\n"), kind=NoticeKind.LINK, to="ann@charity.example")
    said = []
    Worker(app, said.append).once()
    assert [mail["To"] for mail in received(mailbox)] == ["ann@charity.example"]
    assert "Alerts cannot be written" in " ".join(said)
    with pytest.raises(ValueError, match="plain ASCII"):
        Alerts(to=("p\u00f6@charity.example",))


def test_a_digest_that_was_drafted_and_never_sent_mails_the_chair(start_sink, alerted, mailbox):
    """No worker sends what a person drafted, so its readers would wait for ever."""
    sink = start_sink("--keep", str(mailbox))
    app = alerted(sink.port)
    app.now.time = datetime(2026, 11, 30, 9, tzinfo=UTC)
    with app.database.write() as session:
        values = {"created_at": app.now(), "edited_at": app.now(), "edited_by": "chair", "digest_of": "2026-11"}
        session.add(Issue(slug="digest-2026-11", **values))
    work(app)
    assert received(mailbox) == []
    app.now.tick(days=2)
    work(app)
    work(app)
    assert subjects(mailbox) == ["The monthly digest digest-2026-11 waits for you"]
