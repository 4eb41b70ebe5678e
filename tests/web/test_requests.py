"""Complaints and requests about one's own data: from the page, through the worker, to the list of what is open."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from newsletter.app import App
from newsletter.asked.answering import Answering
from newsletter.asked.limits import REQUEST_NETWORK, forget_full
from newsletter.cli.main import cli
from newsletter.doctor.findings import Level
from newsletter.doctor.requests import check_requests
from newsletter.errors import Conflict, NotFound
from newsletter.personal_data import person_requests, retention
from newsletter.personal_data.erasing import erase_person
from newsletter.personal_data.person_requests import LONGEST_WORDS
from newsletter.personal_data.subject_access import held_about
from newsletter.send.alerts import current_causes
from newsletter.tables import PersonRequest, PersonRequestKind, Throttle, WebRequest
from newsletter.web.sign_up_form import TRAP
from subscribers.errors import InvalidValue
from subscribers.tables import Subscriber

CANARY = "amina@example.org"
ASKED = {"kind": "access", "contact": CANARY, "words": "What do you hold?"}


def answer(app: App) -> None:
    Answering(app, lambda words: pytest.fail(words)).once()


def kept(app: App) -> list[PersonRequest]:
    with app.database.read() as session:
        return list(person_requests.listed(session, closed=True))


def received(app: App, kind: PersonRequestKind = PersonRequestKind.ACCESS, contact: str = CANARY) -> int:
    with app.database.write() as session:
        made = person_requests.receive(
            session, kind, contact=contact, words="words", way="letter", at=app.now(), pepper=app.keys.pepper
        )
        return made.id


def test_a_request_of_the_page_becomes_a_line_of_the_list(app: App, site: httpx.Client) -> None:
    page = site.post("/requests", data=ASKED)
    assert page.status_code == 200
    assert CANARY not in page.text
    answer(app)
    (request,) = kept(app)
    assert (request.kind, request.contact, request.words, request.way) == (
        "access",
        CANARY,
        "What do you hold?",
        "site",
    )
    assert request.received_at == app.now()
    with app.database.read() as session:
        assert [row.fields for row in session.scalars(select(WebRequest))] == [{}]


def test_asking_for_the_page_changes_nothing_and_everybody_gets_the_same_answer(app: App, site: httpx.Client) -> None:
    assert site.get("/requests").status_code == site.head("/requests").status_code == 200
    answers = {
        site.post("/requests", data={**ASKED, "contact": who}).text for who in (CANARY, "nobody@x.org", "0121 1")
    }
    assert len(answers) == 1
    assert kept(app) == []  # the site only writes down


@pytest.mark.parametrize("missing", [{"contact": " "}, {"kind": ""}, {"kind": "gift"}])
def test_what_cannot_be_answered_is_told(app: App, site: httpx.Client, missing: dict[str, str]) -> None:
    assert site.post("/requests", data={**ASKED, **missing}).status_code == 400
    with app.database.read() as session:
        assert session.scalar(select(WebRequest)) is None


def test_a_machine_that_fills_in_everything_is_dropped_with_the_same_answer(app: App, site: httpx.Client) -> None:
    assert site.post("/requests", data={**ASKED, TRAP: "x"}).text == site.post("/requests", data=ASKED).text
    answer(app)
    assert len(kept(app)) == 1


def test_a_network_that_asks_too_often_is_told_of_another_way(app: App, site: httpx.Client) -> None:
    """Nobody is dropped in silence; that a worker takes each at once changes nothing."""
    for _ in range(10):
        assert site.post("/requests", data=ASKED).status_code == 200
        answer(app)
    refused = site.post("/requests", data=ASKED)
    assert refused.status_code == 429
    assert app.config.organisation.from_address in refused.text
    answer(app)
    assert len(kept(app)) == 10
    later = app.now() + timedelta(hours=1, minutes=1)
    app.now = lambda: later
    assert site.post("/requests", data=ASKED).status_code == 200
    with app.database.write() as session:
        forget_full(session, later + timedelta(hours=2))
        assert session.scalars(select(Throttle.name).where(Throttle.name.startswith(REQUEST_NETWORK))).all() == []


def test_many_networks_together_cannot_bury_the_list(
    app: App, site: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newsletter.asked.limits.REQUESTS_PER_HOUR", 3)
    senders = [{"x-forwarded-for": f"198.51.{number}.7"} for number in range(4)]
    told = [site.post("/requests", data=ASKED, headers=sender).status_code for sender in senders]
    assert told == [200, 200, 200, 429]


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u0639", "\u0a2a"])
def test_the_longest_words_are_taken_in_every_script(app: App, site: httpx.Client, letter: str) -> None:
    assert site.post("/requests", data={**ASKED, "words": letter * LONGEST_WORDS}).status_code == 200
    answer(app)
    assert kept(app)[0].words == letter * LONGEST_WORDS


def test_one_that_waited_for_days_is_kept_and_counts_from_the_day_it_came(app: App, site: httpx.Client) -> None:
    """While no worker ran nobody was told anything: a complaint that is forgotten then breaks the law."""
    came = app.now()
    assert site.post("/requests", data=ASKED).status_code == 200
    app.now = lambda: came + timedelta(days=20)
    (rule,) = [rule for rule in retention.rules(app) if rule.name == "requests"]
    with app.database.write() as session:
        assert rule.count(session) == 0
        assert rule.find(session, 10) == []
    answer(app)
    (request,) = kept(app)
    assert (request.contact, request.received_at, request.due_on) == (CANARY, came, date(2026, 12, 2))
    with app.database.write() as session:
        assert rule.count(session) == 1  # what is done goes


def test_an_erasure_leaves_a_complaint_that_no_worker_has_taken_yet(app: App, site: httpx.Client, member) -> None:
    """Whoever complains and has themselves erased is still owed an answer."""
    site.post("/requests", data={**ASKED, "kind": "complaint"})
    with app.database.write() as session:
        erase_person(session, session.get_one(Subscriber, member.id), evidence="their request", at=app.now())
    answer(app)
    assert [(request.kind, request.contact) for request in kept(app)] == [("complaint", CANARY)]


@pytest.mark.parametrize("database", ["app", pytest.param("app_on_postgresql", marks=pytest.mark.journey)])
def test_words_of_a_stranger_steer_no_terminal_and_stop_no_worker(
    request: pytest.FixtureRequest, serve, database: str
) -> None:
    """PostgreSQL stores no NUL: the request would wait for ever."""
    app: App = request.getfixturevalue(database)
    words = "<b>x</b>\x1b[31m\r\nin two\x00 lines\u202e"
    with serve(app) as address:
        httpx.post(f"{address}/requests", data={**ASKED, "words": words, "contact": "a\r\nb\x00"}, trust_env=False)
    answer(app)
    assert [(one.contact, one.words) for one in kept(app)] == [("a b", "<b>x</b>[31m\nin two lines")]


@pytest.mark.parametrize(
    ("kind", "due"), [("complaint", date(2026, 12, 2)), ("access", date(2026, 12, 2)), ("erasure", date(2026, 12, 2))]
)
def test_each_has_the_day_by_which_the_law_wants_it_answered(app: App, kind: str, due: date) -> None:
    """From 2 November: 30 days for a complaint's acknowledgement, a month for the rest."""
    assert person_requests.due_on(PersonRequestKind(kind), datetime(2026, 11, 2, 9, 30, tzinfo=UTC)) == due
    assert person_requests.due_on(PersonRequestKind.ACCESS, datetime(2027, 1, 31, tzinfo=UTC)) == date(2027, 2, 28)


def test_a_complaint_that_is_acknowledged_is_due_again(app: App) -> None:
    number = received(app, PersonRequestKind.COMPLAINT)
    later = app.now() + timedelta(days=3)
    with app.database.write() as session:
        request = person_requests.get(session, number)
        person_requests.acknowledge(session, request, by="chair", at=later)
        assert request.due_on == (later + timedelta(days=30)).date()
        with pytest.raises(Conflict, match="acknowledged"):
            person_requests.acknowledge(session, request, by="chair", at=later)
        with pytest.raises(InvalidValue, match="came of"):
            person_requests.close(session, request, outcome=" ", by="chair", at=later)
        person_requests.close(session, request, outcome="answered", by="chair", at=later)
        with pytest.raises(Conflict, match="closed"):
            person_requests.close(session, request, outcome="again", by="chair", at=later)


def test_the_chair_is_told_without_who_or_what(app: App) -> None:
    number = received(app)

    def causes() -> list[object]:
        with app.database.read() as session:
            return [cause for cause in current_causes(session, app.now(), app.config) if cause.template == "request"]

    (cause,) = causes()
    assert str(number) in repr(cause)
    assert CANARY not in repr(cause)
    assert "words" not in repr(cause)
    with app.database.write() as session:
        person_requests.acknowledge(session, person_requests.get(session, number), by="chair", at=app.now())
    assert causes() == []


def test_doctor_names_what_is_late(app: App) -> None:
    assert [finding.level for finding in check_requests(app.database, app.now())] == [Level.OK]
    number = received(app)
    for days, words in ((25, "within 7 days"), (40, f"Request {number}")):
        (finding,) = check_requests(app.database, app.now() + timedelta(days=days))
        assert finding.level is Level.WARN
        assert words in finding.message


def test_an_erasure_blanks_what_is_closed_and_access_shows_it(app: App, member) -> None:
    number = received(app)
    with app.database.write() as session:
        request = person_requests.get(session, number)
        person_requests.close(session, request, outcome="sent", by="chair", at=app.now())
    with app.database.read() as session:
        assert [each["kind"] for each in held_about(app, session, CANARY)["data_requests"]] == ["access"]
    with app.database.write() as session:
        erase_person(session, session.get_one(Subscriber, member.id), evidence="their request", at=app.now())
    (request,) = kept(app)
    assert (request.contact, request.words) == ("", "")


def test_closed_ones_are_forgotten_in_time_and_open_ones_never(app: App) -> None:
    first, second = received(app), received(app, contact="0121 496 0000")
    with app.database.write() as session:
        long_ago = app.now() - timedelta(days=800)
        person_requests.close(session, person_requests.get(session, first), outcome="done", by="chair", at=long_ago)
    (rule,) = [rule for rule in retention.rules(app) if rule.name == "closed-requests"]
    with app.database.write() as session:
        assert rule.count(session) == 1
        assert rule.forget(session, rule.find(session, 10)) == 1
    assert [request.id for request in kept(app)] == [second]


def test_the_commands_work_through_the_list(tmp_path) -> None:
    folder = str(tmp_path / "ws")
    runner = CliRunner()

    def run(*words: str) -> Any:
        done = runner.invoke(cli, ["--workspace", folder, "--json", "--as", "chair", "requests", *words])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert runner.invoke(cli, ["init", folder]).exit_code == 0
    made = run(
        "add", "complaint", "--contact", "1 High Street, Dudley", "--words", "Too many emails", "--way", "letter"
    )
    assert [each["id"] for each in run("list")] == [made["id"]] == [1]
    assert run("show", "1")["words"] == "Too many emails"
    assert run("acknowledge", "1")["acknowledged_by"] == "chair"
    assert run("close", "1", "--outcome", "fewer emails")["outcome"] == "fewer emails"
    assert run("list") == []
    assert [each["closed_by"] for each in run("list", "--all")] == ["chair"]
    unknown = runner.invoke(cli, ["--workspace", folder, "requests", "show", "9"])
    assert isinstance(unknown.exception, NotFound)
    audit = runner.invoke(cli, ["--workspace", folder, "--json", "audit", "list"])
    assert {"request.added", "request.acknowledged", "request.closed"} <= {
        entry["action"] for entry in json.loads(audit.stdout)
    }
    assert "High Street" not in audit.stdout
