"""What is older than it is kept goes, in small steps and recorded; what must stay stays, and reports still add up."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.audit.log import Action, Wanted, entries
from newsletter.errors import NewsletterError
from newsletter.personal_data import retention
from newsletter.predicates import PREDICATES
from newsletter.send.failed import count_failed
from newsletter.send.reporting import report_document
from newsletter.send.status import issue_counts
from newsletter.send.totals import report_of
from newsletter.tables import (
    Delivery,
    DigestEntry,
    Issue,
    IssueState,
    IssueTotals,
    Notice,
    NoticeKind,
    WebRequest,
    WebRequestKind,
)  # fmt: skip
from newsletter.tables import DeliveryState as S
from subscribers import consent, leaving, lists, one_time, people, segments
from subscribers.bounces.event import ReportKind
from subscribers.bounces.policy import Rule as BounceRule
from subscribers.errors import Conflict
from subscribers.imports import batches
from subscribers.imports.importing import import_file
from subscribers.segments import SegmentError
from subscribers.tables import (
    Basis,
    BounceEvent,
    BounceReport,
    ConsentAction,
    ConsentEvent,
    OneTimeToken,
    Subscriber,
    Subscription,
    SubscriptionState,
)
from tests.send.test_reporting import issue_with

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
COPIES = [
    *({"state": S.SENT, "domain": "gmail.com", "reply_code": 250} for _ in range(9)),
    *({"state": S.BOUNCED, "domain": "gmail.com", "reply_code": 550, "reply_text": "no such user"} for _ in range(6)),
    {"state": S.UNCERTAIN, "domain": "annjones.example", "reply_text": "at annjones.example"},
    {"state": S.HELD, "domain": "khan.example"},
]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.journey)])
def either(request: pytest.FixtureRequest) -> App:
    made: App = request.getfixturevalue("app" if request.param == "sqlite" else "app_on_postgresql")
    made.now = lambda: NOW
    return made


def counted(found: list[retention.Due]) -> dict[str, int]:
    return {each.rule.name: each.count for each in found if each.count}


def person_on(
    session: Session, app: App, address: str, *lines: tuple[ConsentAction, datetime], **known: Any
) -> Subscriber:
    """Make a person with these lines about the list `members`."""
    at = known.pop("joined", lines[0][1] if lines else NOW)
    person = people.add(session, pepper=app.keys.pepper, address=address, at=at, **known)
    members = next((one for one in lists.all_lists(session)), None) or lists.create(session, "members", at=NOW)
    for action, moment in lines:
        consent.append(
            session, person, members.id, action, basis=Basis.CONSENT, source="form", actor="tester",
            evidence="the form", wording="Yes please", at=moment,
        )  # fmt: skip
    return person


def old_issue(app: App, *, age: timedelta = timedelta(days=420), state: IssueState = IssueState.SENT) -> int:
    issue_id = issue_with(app, COPIES)
    with app.database.write() as session:
        issue = session.get_one(Issue, issue_id)
        issue.slug, issue.state, issue.planned_at, issue.finished_at = "2025-09", state, NOW - age - DAY, NOW - age
        for row in session.scalars(select(Delivery)):
            row.state_at = NOW - age
    return issue_id


def document(app: App, issue_id: int) -> dict[str, Any]:
    with app.database.read() as session:
        issue = session.get_one(Issue, issue_id)
        return report_document(report_of(session, issue, zone=app.config.organisation.zone))


def test_the_report_of_an_issue_adds_up_when_its_copies_are_forgotten(either: App) -> None:
    issue_id = old_issue(either)
    before = document(either, issue_id)
    assert counted(retention.due(either)) == {"journal": len(COPIES)}
    assert counted(retention.run(either)) == {"journal": len(COPIES)}
    after = document(either, issue_id)
    sums = ("planned", "rate", "replies", "timeline", *(state.value for state in S))
    for name in sums:
        if name != "replies":
            assert after[name] == before[name], name
    assert [r | {"example": None} for r in after["replies"]] == [r | {"example": None} for r in before["replies"]]
    assert sum(domain["planned"] for domain in after["domains"]) == len(COPIES)
    assert [domain["domain"] for domain in after["domains"]] == ["gmail.com", ""]
    assert after["people"] == []
    with either.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == 0
        kept = json.dumps(session.get_one(IssueTotals, issue_id).report)
    for canary in ("annjones", "khan", "person", "Name"):
        assert canary not in kept
    assert counted(retention.run(either)) == {}


def test_counts_add_up_while_the_copies_go(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop in the middle: some copies are gone, the counts are whole, and the next run goes on."""
    issue_id, stop = old_issue(app), threading.Event()
    monkeypatch.setattr(retention, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0)
    find = retention.rows.find_copies

    def stopping(session: Session, before: datetime, most: int) -> Sequence[int]:
        found = find(session, before, most)
        if found and len(looked) == 1:
            stop.set()
        looked.append(len(found))
        return found if len(looked) < 3 else []

    looked: list[int] = []
    monkeypatch.setattr(retention.rows, "find_copies", stopping)
    retention.run(app, stop)
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == len(COPIES) - 8
        assert retention.last_run(session) is None
        counts = issue_counts(session, issue_id)
    assert (counts["sent"], counts["bounced"], counts["uncertain"], counts["held"]) == (9, 6, 1, 1)
    monkeypatch.undo()
    assert counted(retention.run(app)) == {"journal": len(COPIES) - 8}


@pytest.mark.parametrize(
    ("age", "state"),
    [(380 * DAY, IssueState.SENT), (420 * DAY, IssueState.SENDING), (420 * DAY, IssueState.PAUSED)],
)
def test_a_young_issue_and_one_that_is_not_over_keep_their_copies(app: App, age: timedelta, state: IssueState) -> None:
    old_issue(app, age=age, state=state)
    assert counted(retention.run(app)) == {}


def test_who_was_sent_a_forgotten_issue_is_no_segment_and_nothing_of_it_is_tried_again(app: App) -> None:
    """An empty answer would be wrong: `not issue ... sent` would mean everybody."""
    issue_id = old_issue(app)
    retention.run(app)
    with app.database.read() as session:
        for verb in ("sent", "monthly"):
            tree = segments.resolve(session, f"not issue '2025-09' {verb}")
            with pytest.raises(SegmentError, match="forgotten"):
                segments.condition(session, tree, now=NOW, timezone="Europe/London", predicates=PREDICATES)
        with pytest.raises(NewsletterError, match="forgotten"):
            count_failed(session, issue_id, NOW, "Europe/London")


def test_a_sign_up_that_nobody_confirmed_goes_with_the_record_that_it_made(either: App) -> None:
    asked = NOW - 8 * DAY
    with either.database.write() as session:
        person_on(session, either, "new@example.org", (ConsentAction.REQUESTED, asked))
        person_on(session, either, "fresh@example.org", (ConsentAction.REQUESTED, NOW - 6 * DAY))
        person_on(session, either, "known@example.org", (ConsentAction.REQUESTED, asked), joined=asked - DAY)
        person_on(session, either, "done@example.org", (ConsentAction.REQUESTED, asked), (ConsentAction.CONFIRMED, NOW))
        left = ((ConsentAction.GRANTED, asked - 9 * DAY), (ConsentAction.WITHDRAWN, asked - DAY))
        person_on(session, either, "left@example.org", *left, (ConsentAction.REQUESTED, asked))
    assert counted(retention.run(either)) == {"unconfirmed": 3}
    with either.database.read() as session:
        states = {
            person.address: [row.state.value for row in session.scalars(
                select(Subscription).where(Subscription.subscriber_id == person.id))]
            for person in session.scalars(select(Subscriber))
        }  # fmt: skip
        assert states == {
            "fresh@example.org": ["pending"],
            "known@example.org": [],
            "done@example.org": ["subscribed"],
            "left@example.org": ["unsubscribed"],
        }
        assert session.scalar(select(func.count()).where(ConsentEvent.subscriber_id.is_(None))) == 1
    assert counted(retention.run(either)) == {}


def test_what_shows_a_consent_outlives_the_subscription_by_two_years(either: App) -> None:
    """Each of them joined four years ago; only of those who are off since two years the words go. Lines stay."""
    joined, long_ago, lately = NOW - 1500 * DAY, NOW - 800 * DAY, NOW - 600 * DAY
    granted = (ConsentAction.GRANTED, joined)
    with either.database.write() as session:
        person_on(session, either, "on@example.org", granted)
        person_on(session, either, "off@example.org", granted, (ConsentAction.WITHDRAWN, long_ago))
        person_on(session, either, "lately@example.org", granted, (ConsentAction.WITHDRAWN, lately))
        gone = person_on(session, either, "gone@example.org", granted)
        removed = person_on(session, either, "removed@example.org", granted)
        hashes = {name: people.find(session, f"{name}@example.org").address_hash for name in
                  ("on", "off", "lately", "gone", "removed")}  # fmt: skip
        leaving.remove(session, gone, evidence="tidy", at=long_ago)
        leaving.remove(session, removed, evidence="tidy", at=lately)
        either.audit.record(session, Action.PERSON_REMOVED, "person", person=hashes["removed"])
    assert counted(retention.run(either)) == {"evidence": 3}
    with either.database.read() as session:
        lines = {
            name: {(line.evidence, line.wording) for line in
                   session.scalars(select(ConsentEvent).where(ConsentEvent.address_hash == digest))}
            for name, digest in hashes.items()
        }  # fmt: skip
        assert lines == {
            "on": {("the form", "Yes please")},
            "off": {("", None)},
            "lately": {("the form", "Yes please")},
            "gone": {("", None)},
            "removed": {("the form", "Yes please")},
        }
        assert session.scalar(select(func.count()).where(ConsentEvent.wording_hash.is_not(None))) == 7
        off = session.scalars(select(Subscription).where(Subscription.state == SubscriptionState.UNSUBSCRIBED)).all()
        assert len(off) == 2
    assert counted(retention.run(either)) == {}


def test_requests_links_returned_mail_notices_and_files_go_in_their_time(either: App) -> None:
    with either.database.write() as session:
        for age in (5, 9):
            session.add(WebRequest(kind=WebRequestKind.LINK, at=NOW - age * DAY, network="n", fields={"a": "a@x.org"}))
            one_time.mint(session, "confirm", now=NOW - age * DAY, lifetime=timedelta(hours=1))
        for age in (20, 40, 420):
            _report(session, NOW - age * DAY)
        _notice(session, either, NOW - 20 * DAY)
        _notice(session, either, NOW - 420 * DAY)
        _notice(session, either, NOW - 420 * DAY, dedupe="now/relay/x")
    for name, age in (("import-3-errors.csv", 40), ("import-4-errors.csv", 4), ("page.html", 400)):
        path = either.workspace.outbox / name
        path.write_text("x")
        os.utime(path, ((NOW - age * DAY).timestamp(),) * 2)
    wanted = {"requests": 1, "links": 1, "raw": 2, "reports": 1, "notices": 1, "files": 1}
    assert counted(retention.due(either)) == wanted
    assert counted(retention.run(either)) == wanted
    assert sorted(path.name for path in either.workspace.outbox.iterdir()) == ["import-4-errors.csv", "page.html"]
    with either.database.read() as session:
        assert session.scalar(select(func.count()).select_from(WebRequest)) == 1
        assert session.scalar(select(func.count()).select_from(OneTimeToken)) == 1
        assert session.scalar(select(func.count()).select_from(Notice)) == 2
        raw = session.execute(select(BounceReport.raw, BounceReport.sender).order_by(BounceReport.received_at)).all()
        assert [tuple(row) for row in raw] == [(None, None), (None, "a@x.org"), (b"raw", "a@x.org")]
        names = session.execute(select(BounceEvent.address, BounceEvent.address_hash).order_by(BounceEvent.at)).all()
        assert [tuple(row) for row in names] == [(None, None), ("a@x.org", b"h" * 16), ("a@x.org", b"h" * 16)]
    assert counted(retention.run(either)) == {}


def _report(session: Session, at: datetime) -> None:
    report = BounceReport(way="pipe", received_at=at, raw=b"raw", size=3, sender="a@x.org", subject="s")
    session.add(report)
    session.flush()
    session.add(
        BounceEvent(
            report_id=report.id, kind=ReportKind.BOUNCE, at=at, address="a@x.org", address_hash=b"h" * 16, words="w",
            rule=BounceRule.NO_MARK,
        )
    )  # fmt: skip


def _notice(session: Session, app: App, at: datetime, dedupe: str | None = None) -> None:
    session.add(
        Notice(
            kind=NoticeKind.LINK, address_hash=b"h" * 16, domain="x.org", subject="", message_id="m", dedupe=dedupe,
            created_at=at, expires_at=at, state=S.SENT, state_at=at,
        )
    )  # fmt: skip


def test_what_goes_is_recorded_with_the_rule_and_how_many(app: App) -> None:
    old_issue(app)
    retention.run(app)
    with app.database.read() as session:
        found, _ = entries(session, Wanted(action="retention"))
    assert [(entry.subject, entry.details) for entry in found] == [("rule journal", {"due": len(COPIES)})]


def test_a_worker_runs_it_once_a_day(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, looks, said = threading.Event(), [], []
    clock = [NOW]
    app.now = lambda: clock[0]

    class Looks(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            with app.database.read() as session:
                looks.append(retention.last_run(session))
            clock[0] += timedelta(hours=13)
            if len(looks) == 4:
                self.set()
            return self.is_set()

    old_issue(app)
    stop = Looks()
    retention.keep_running(app, said.append, stop)
    assert looks == [NOW, NOW, NOW + timedelta(hours=26), NOW + timedelta(hours=26)]
    assert said == [f"Forgotten, as [retention] says: {len(COPIES)} journal."]


def test_the_ages_are_the_configurations(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    old_issue(app, age=timedelta(days=100))
    assert counted(retention.due(app)) == {}
    shorter = app.config.retention.model_copy(update={"journal_months": 3})
    app.config = app.config.model_copy(update={"retention": shorter})
    assert counted(retention.due(app)) == {"journal": len(COPIES)}


def test_the_copies_of_other_issues_stay(app: App, plan_two: Callable[[], tuple[int, int]]) -> None:
    old, new = plan_two()
    retention.run(app)
    with app.database.read() as session:
        left = {
            row[0]: row[1]
            for row in session.execute(select(Delivery.issue_id, func.count()).group_by(Delivery.issue_id))
        }
    assert left == {new: len(COPIES)}
    assert document(app, old)["planned"] == document(app, new)["planned"] == len(COPIES)


@pytest.fixture
def plan_two(app: App) -> Callable[[], tuple[int, int]]:
    """Two issues with the same people, one of them old."""

    def plan() -> tuple[int, int]:
        old = old_issue(app)
        with app.database.write() as session:
            made = Issue(
                slug="2026-11", subject="News", state=IssueState.SENT, planned=len(COPIES), planned_at=NOW,
                finished_at=NOW, created_at=NOW, edited_at=NOW, edited_by="tester",
            )  # fmt: skip
            session.add(made)
            session.flush()
            for row in session.scalars(select(Delivery)).all():
                values = {c.name: getattr(row, c.name) for c in Delivery.__table__.columns if c.name != "id"}
                session.add(Delivery(**{**values, "issue_id": made.id, "message_id": f"x{row.id}"}))
            return old, made.id

    return plan


def test_whom_the_digest_owed_an_issue_goes_with_its_copies(either: App) -> None:
    issue_id = old_issue(either)
    with either.database.write() as session:
        person = people.add(session, pepper=either.keys.pepper, address="ann@example.org", at=NOW)
        session.add(DigestEntry(issue_id=issue_id, subscriber_id=person.id, list_id=lists.get(session, "members").id))
    assert counted(retention.run(either))["digests"] == 1
    with either.database.read() as session:
        assert session.scalar(select(func.count()).select_from(DigestEntry)) == 0


def test_an_import_of_long_ago_cannot_be_undone_and_keeps_no_earlier_values(either: App, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,name\nann@example.org,Ann\nbob@example.org,Bob\n")
    with either.database.write() as session:
        lists.create(session, "members", at=NOW)
    for age in (420, 20):
        import_file(
            either.database, path, list_name="members", basis=Basis.CONSENT, evidence="forms", actor="tester",
            pepper=either.keys.pepper, now=NOW - age * DAY, errors_folder=either.workspace.outbox,
        )  # fmt: skip
        path.write_text("email,name\nann@example.org,Ann Jones\n")
    assert counted(retention.run(either)) == {"imports": 2}
    with either.database.write() as session:
        first, second = (batches.get(session, number) for number in (1, 2))
        with pytest.raises(Conflict, match="was forgotten on 2026-11-02"):
            batches.undo(session, first, actor="tester", why="x", at=NOW)
        assert batches.undo(session, second, actor="tester", why="x", at=NOW).restored == 1
        assert people.find(session, "ann@example.org").name == "Ann"
