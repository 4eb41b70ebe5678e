"""One mail a month of the issues that somebody was left out of: what they would have got, once, and by one way only."""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from newsletter.app import App
from newsletter.compose.issue import find
from newsletter.errors import Conflict
from newsletter.publishing import monthly as publishing_monthly
from newsletter.publishing import start_issue
from newsletter.publishing.monthly import draft_digest, make_due_digests
from newsletter.send.ended_records import merge_people
from newsletter.tables import Issue, IssueState
from subscribers import people
from subscribers.tables import Frequency
from tests.send.chosen import Network, text_of

DUE = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
MONTHLY: dict[str, Any] = {"frequency": Frequency.MONTHLY}


def test_a_month_of_issues_comes_in_one_mail_and_only_to_who_chose_it(network: Network) -> None:
    network.person("amina")
    network.person("ben", **MONTHLY)
    post, fair = network.item("A new hall"), network.item("Winter fair", starts_on=date(2026, 12, 12))
    network.send("one", items=[post], subject="Hello {{first_name|friend}}")
    network.later(days=7)
    network.send("two", items=[fair], letter="")
    assert [len(network.mails(name)) for name in ("amina", "ben")] == [2, 0]
    network.time = DUE
    network.work()
    network.work()
    (digest,) = network.digests()
    assert (digest.slug, digest.state, digest.planned) == ("digest-2026-11", IssueState.SENT, 1)
    assert (digest.approved_by, digest.edited_by) == ("in its issues: bea", "newsletter work")
    assert len(network.mails("amina")) == 2
    (mail,) = network.mails("ben")
    assert mail["Subject"] == "November 2026 in one email"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text = text_of(mail)
    for words in ("Letters", "Hello friend", "Dear Ben, welcome.", "By Ann Lee, Chair", "A new hall", "Winter fair"):
        assert words in text
    assert "/view/" not in text


def test_past_events_are_dropped_and_coming_ones_kept(small_network: Network) -> None:
    network = small_network
    network.person("ben", **MONTHLY)
    gone, coming = (network.item(f"Event {day}", starts_on=day) for day in (date(2026, 11, 20), date(2026, 12, 5)))
    post = network.item("A new hall")
    network.send("one", items=[gone, coming, post], letter="")
    network.time = DUE
    network.work()
    (mail,) = network.mails("ben")
    assert "Event 2026-12-05" in text_of(mail)
    assert "Event 2026-11-20" not in text_of(mail)


def test_an_empty_month_sends_nothing(small_network: Network) -> None:
    """Neither a month without issues, nor one in which nobody chose this, nor one whose events are all over."""
    network = small_network
    network.person("amina")
    network.person("ben")
    network.send("one")
    network.time = DUE
    network.work()
    assert network.digests() == []
    network.choose("ben", **MONTHLY)
    gone = network.item("Fair", starts_on=date(2026, 12, 20))
    network.send("two", items=[gone], letter="")
    network.time = datetime(2027, 1, 1, 9, 0, tzinfo=UTC)
    network.work()
    network.work()
    (digest,) = network.digests()
    assert (digest.state, digest.planned_at) == (IssueState.CANCELLED, None)
    assert "nothing is left to tell" in (digest.reason or "").lower()
    assert len(network.mails("ben")) == 1  # issue one, from when ben got each


def test_each_issue_comes_by_one_way_only_to_somebody_who_changes(network: Network) -> None:
    """Left out of one, then back to each: the digest still owes the first, and holds nothing of the second."""
    network.person("amina")
    network.person("ben", **MONTHLY)
    network.person("carys")
    first, second = network.item("First story"), network.item("Second story")
    network.send("one", items=[first])
    network.choose("ben", frequency=Frequency.EACH)
    network.choose("carys", **MONTHLY)
    network.later(days=7)
    network.send("two", items=[second])
    network.time = DUE
    network.work()

    def told(name: str) -> list[list[bool]]:
        return [[title in text_of(mail) for title in ("First story", "Second story")] for mail in network.mails(name)]

    assert told("amina") == [[True, False], [False, True]]
    assert told("ben") == [[False, True], [True, False]]  # the second as it came, the first by the digest
    assert told("carys") == [[True, False], [False, True]]


def test_everybody_gets_what_they_would_have_got_and_no_more(small_network: Network) -> None:
    """By list and by segment of an item: the same digest, several variants."""
    network = small_network
    network.person("ben", tag="north", **MONTHLY)
    network.person("carys", on=("members", "staff"), **MONTHLY)
    network.person("dan", on=("staff",), **MONTHLY)
    network.person("eve", on=("staff",))
    hall, north, rota = (network.item(title) for title in ("A new hall", "Only north", "The rota"))
    network.send("one", items=[hall, north], only={north: "tag 'north'"})
    network.send("two", items=[rota, hall], audience={"lists": ["staff"]}, letter="")
    network.time = DUE
    network.work()

    def told(name: str) -> set[str]:
        (mail,) = network.mails(name)
        return {title for title in ("A new hall", "Only north", "The rota", "Letters") if title in text_of(mail)}

    assert told("ben") == {"A new hall", "Only north", "Letters"}
    assert told("carys") == {"A new hall", "The rota", "Letters"}
    assert told("dan") == {"A new hall", "The rota"}
    (carys,) = network.mails("carys")
    assert text_of(carys).count("* A new hall") == 1
    assert len(network.mails("eve")) == 1  # the issue itself


def test_who_left_paused_or_was_not_there_yet_gets_none_of_it(small_network: Network) -> None:
    network = small_network
    for name in ("amina", "ben", "carys"):
        network.person(name, **MONTHLY)
    network.send("one")
    network.person("dan", **MONTHLY)
    network.leave("ben")
    network.choose("carys", paused_until=date(2027, 1, 1))
    network.time = DUE
    network.work()
    assert [len(network.mails(name)) for name in ("amina", "ben", "carys", "dan")] == [1, 0, 0, 0]
    (digest,) = network.digests()
    assert digest.left_out == {
        "excluded": 0, "without_subscription": 1, "suppressed": 0, "paused": 1, "monthly": 0
    }  # fmt: skip


def test_a_part_for_people_who_left_its_list_is_not_shown_to_them(small_network: Network) -> None:
    network = small_network
    network.person("ben", on=("members", "staff"), **MONTHLY)
    network.send("one", items=[network.item("A new hall")], letter="")
    network.send("two", items=[network.item("The rota")], audience={"lists": ["staff"]}, letter="")
    network.leave("ben", "staff")
    network.time = DUE
    network.work()
    (mail,) = network.mails("ben")
    assert "A new hall" in text_of(mail)
    assert "The rota" not in text_of(mail)


def test_an_issue_for_monthly_readers_alone_is_sent_to_nobody_and_gathered(small_network: Network) -> None:
    network = small_network
    network.person("ben", **MONTHLY)
    assert network.send("one") == 0
    assert network.issue_named("one").state is IssueState.SENT
    network.time = DUE
    network.work()
    assert len(network.mails("ben")) == 1


def test_the_rule_decides_day_and_hour(small_network: Network) -> None:
    network = small_network
    config = network.app.config
    rule = config.digest.model_copy(update={"day": 15, "time": "18:30", "subject": "Digest {month}"})
    network.app.config = config.model_copy(update={"digest": rule})
    network.person("ben", **MONTHLY)
    network.send("one")
    network.time = datetime(2026, 12, 15, 18, 29, tzinfo=UTC)
    network.work()
    assert network.digests() == []
    network.later(minutes=1)
    network.work()
    (mail,) = network.mails("ben")
    assert mail["Subject"] == "Digest November 2026"


def test_a_digest_that_no_worker_was_there_for_waits_for_a_person(small_network: Network) -> None:
    """The grace of every schedule: nobody is surprised by it hours later."""
    network = small_network
    network.person("ben", **MONTHLY)
    soon, later = (network.item(f"Event {d}", starts_on=d) for d in (date(2026, 12, 1), date(2026, 12, 9)))
    network.send("one", items=[soon, later])
    network.time = DUE + timedelta(hours=2)
    network.work()
    (digest,) = network.digests()
    assert digest.state is IssueState.PAUSED
    assert "newsletter issue send digest-2026-11" in (digest.reason or "")
    network.later(days=2)
    network.work()
    assert network.mails("ben") == []
    assert start_issue(network.app, digest.id, approve_as="chair") == 1  # what is over by now is dropped by itself
    network.work()
    (mail,) = network.mails("ben")
    assert "Event 2026-12-09" in text_of(mail)
    assert "Event 2026-12-01" not in text_of(mail)


def test_two_months_that_were_missed_are_two_digests(small_network: Network) -> None:
    network = small_network
    network.person("ben", **MONTHLY)
    network.send("one")
    network.later(days=31)
    network.send("two")
    network.time = datetime(2027, 1, 1, 9, 0, tzinfo=UTC)
    network.work()
    states = [(digest.slug, digest.state) for digest in network.digests()]
    assert states == [("digest-2026-11", IssueState.PAUSED), ("digest-2026-12", IssueState.SENT)]


def test_an_issue_that_is_stopped_waits_for_the_digest_after_it_went_on(small_network: Network) -> None:
    network = small_network
    network.person("amina")
    network.person("ben", **MONTHLY)
    issue_id = network.issue("one")
    start_issue(network.app, issue_id)
    with network.app.database.write() as session:
        session.get_one(Issue, issue_id).state = IssueState.PAUSED
    network.send("two")
    network.time = DUE
    network.work()
    with network.app.database.write() as session:
        session.get_one(Issue, issue_id).state = IssueState.SENDING
    network.time = datetime(2027, 1, 1, 9, 0, tzinfo=UTC)
    network.work()
    assert ["News of one" in text_of(mail) for mail in network.mails("ben")] == [False, True]


def test_what_the_chair_drafts_is_the_chairs(small_network: Network) -> None:
    network = small_network
    network.person("ben", **MONTHLY)
    network.send("one")
    with network.app.database.write() as session:
        draft = draft_digest(network.app, session)
        assert draft is not None
        assert (draft.slug, draft.state) == ("digest-2026-11", IssueState.DRAFT)
        assert draft_digest(network.app, session) is None
        assert find(session, "latest").slug == "one"
    network.time = DUE
    network.work()
    assert network.mails("ben") == []
    assert start_issue(network.app, draft.id, approve_as="chair") == 1


def test_four_eyes_have_seen_each_part_already(small_network: Network) -> None:
    network = small_network
    config = network.app.config
    issue = config.issue.model_copy(update={"approval": "four-eyes"})
    network.app.config = config.model_copy(update={"issue": issue})
    network.person("ben", **MONTHLY)
    network.send("one")
    network.time = DUE
    network.work()
    assert len(network.mails("ben")) == 1


def test_a_long_month_is_told_briefly(small_network: Network) -> None:
    """Or Gmail would cut the mail before its unsubscribe link."""
    network = small_network
    network.person("ben", **MONTHLY)
    for week in range(3):
        network.send(f"week-{week}", items=[network.item(f"Story {week} {n}") for n in range(8)], letter="")
    network.time = DUE
    network.work()
    (mail,) = network.mails("ben")
    text = text_of(mail)
    assert all(f"Story {week} {n}" in text for week in range(3) for n in range(8))
    assert "All about Story" not in text
    assert "https://example.org/story-2-7" in text


def test_a_digest_is_no_issue_for_the_next_draft(small_network: Network) -> None:
    """What the library gained between the last issue and the digest is still new."""
    from newsletter.compose.drafting import Wishes, draft_issue

    network = small_network
    network.person("ben", **MONTHLY)
    network.send("one")
    network.later(days=20)
    story = network.item("Found in between")
    network.time = DUE
    network.work()
    network.later(days=1)
    with network.app.database.write() as session:
        drafted = draft_issue(session, Wishes(), config=network.app.config, actor="chair", now=network.time)
        assert drafted.proposal.item_ids == (story,)


# -- exactly once


def test_a_month_has_one_digest_whatever_is_asked_twice(network: Network) -> None:
    network.person("ben", **MONTHLY)
    network.send("one")
    network.time = DUE
    assert make_due_digests(network.app) == ["digest-2026-11"]
    assert make_due_digests(network.app) == []
    from newsletter.compose.monthly_draft import make_digest

    with pytest.raises(Conflict, match="its digest already"), network.app.database.write() as session:
        make_digest(session, date(2026, 11, 1), [], config=network.app.config, actor="x", now=DUE)


def _make(app_arguments: tuple[Any, ...], barrier: Any, moment: datetime) -> None:
    """Make digests and send them, as a worker process of its own does."""
    from newsletter.worker import Worker

    workspace, config = app_arguments
    app = App(workspace=workspace, config=config, actor="worker", now=lambda: moment)
    barrier.wait()
    Worker(app, lambda _: None).once()
    app.close()


def test_two_workers_at_once_make_one_digest_and_mail_everybody_once(network: Network) -> None:
    names = [f"p{n}" for n in range(6)]
    for name in names:
        network.person(name, **MONTHLY)
    network.send("one")
    network.time = DUE
    network.app.close()
    network.app.__dict__.pop("database", None)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    arguments = (network.app.workspace, network.app.config)
    workers = [context.Process(target=_make, args=(arguments, barrier, DUE)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    network.work()
    assert [digest.slug for digest in network.digests()] == ["digest-2026-11"]
    assert [len(network.mails(name)) for name in names] == [1] * 6


def _die_inside(app_arguments: tuple[Any, ...], moment: datetime, where: str) -> None:
    from newsletter.publishing import start
    from newsletter.worker import Worker

    workspace, config = app_arguments
    app = App(workspace=workspace, config=config, actor="worker", now=lambda: moment)
    module = {"approve": publishing_monthly, "start_issue": None, "note_place": start}[where]
    if module is None:
        make_due_digests(app)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(module, where, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    Worker(app, lambda _: None).once()


@pytest.mark.parametrize("where", ["approve", "start_issue", "note_place"])
def test_a_worker_that_is_killed_leaves_nothing_or_a_schedule(small_network: Network, where: str) -> None:
    """Killed while it makes the digest, between that and its start, and while it is frozen: the next one goes on."""
    network = small_network
    network.person("ben", **MONTHLY)
    network.send("one")
    network.time = DUE
    network.app.close()
    network.app.__dict__.pop("database", None)
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_die_inside, args=((network.app.workspace, network.app.config), DUE, where))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    assert network.mails("ben") == []
    network.work()
    assert [digest.state for digest in network.digests()] == [IssueState.SENT]
    assert len(network.mails("ben")) == 1


def test_an_erased_person_is_owed_nothing(small_network: Network) -> None:
    from sqlalchemy import delete

    from subscribers.tables import Subscriber

    network = small_network
    network.person("amina")
    network.person("ben", **MONTHLY)
    network.send("one")
    assert network.owed() == 1
    with network.app.database.write() as session:
        session.execute(delete(Subscriber).where(Subscriber.address == "ben@reader.example"))
    assert network.owed() == 0


def test_what_two_records_of_one_person_are_owed_comes_once(network: Network) -> None:
    """Under one record ben got one and is owed two, under the other it is the other way round; both are owed three."""
    network.person("ben", **MONTHLY)
    network.person("b.khan")
    for slug in ("one", "two"):
        network.send(slug, items=[network.item(f"Story of {slug}")])
        network.choose("ben", frequency=Frequency.EACH)
        network.choose("b.khan", **MONTHLY)
    network.choose("ben", **MONTHLY)
    network.send("three", items=[network.item("Story of three")])
    with network.app.database.write() as session:
        kept, gone = (people.find(session, f"{name}@reader.example") for name in ("ben", "b.khan"))
        merge_people(session, kept, gone, actor="t", at=network.time)
    assert network.owed() == 1
    network.time = DUE
    network.work()
    texts = [text_of(mail) for mail in network.mails("ben")]
    assert ["Story of three" in text for text in texts] == [False, True]
    assert ["Story of one" in text for text in texts] == [False, False]  # it came to the other address
