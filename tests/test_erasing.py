"""After an erasure nothing of a person is left anywhere, but the keyed hash; and nothing brings them back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.audit.log import Action, Wanted, entries
from newsletter.personal_data import erasing, person_requests
from newsletter.personal_data.erasing_files import forget_in_files
from newsletter.personal_data.subject_access import held_about
from newsletter.send.returns import reply_name
from newsletter.tables import (
    ApiAnswer,
    ApiToken,
    Delivery,
    DeliveryState,
    DigestEntry,
    Issue,
    IssueState,
    Notice,
    NoticeKind,
    PersonRequestKind,
    Setting,
    Throttle,
    Variant,
    WebRequest,
    WebRequestKind,
)
from subscribers import (
    attributes,
    consent,
    leaving,
    lists,
    one_time,
    people,
    preferences,
    signing_up,
    suppression,
)  # fmt: skip
from subscribers.addresses import parse_address
from subscribers.bounces.event import ReportKind
from subscribers.bounces.policy import Rule
from subscribers.db import Base
from subscribers.errors import Conflict, InvalidValue, NotFound
from subscribers.imports.importing import ImportResult, import_file
from subscribers.suppression_files import import_suppressions
from subscribers.tables import (
    AttributeKind,
    Basis,
    BounceEvent,
    BounceReport,
    ConsentEvent,
    LeavingReason,
    Subscriber,
    Suppression,
)
from subscribers.tokens import address_hash

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
NEW, OLD, OTHER = "zanzibar.new@quokka-family.example", "zanzibar.old@example.org", "zanzibar.merged@example.net"
OF_NOBODY = {
    "sources", "pictures", "items", "sightings", "blocks", "archive_texts", "workers", "issue_totals", "segments",
    "import_profiles", "import_suppressions",
}  # fmt: skip
CANARIES = ("zanzibar", "quokka", "wombatson", "kookaburra")
ACT = {"source": "form", "actor": "tester", "at": NOW}


def erase_person(app: App, address: str, *, evidence: str) -> erasing.Erased:
    """Erase somebody in a transaction of its own, as the command does."""
    return erasing.erase_address(app, address, evidence=evidence)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.journey)])
def either(request: pytest.FixtureRequest) -> App:
    made: App = request.getfixturevalue("app" if request.param == "sqlite" else "app_on_postgresql")
    made.now = lambda: NOW
    return made


@pytest.fixture
def run_file(either: App, tmp_path: Path) -> Callable[..., ImportResult]:
    """Import rows of address, name and nickname onto the list `members`."""

    def run(*rows: str) -> ImportResult:
        path = tmp_path / "people.csv"
        path.write_text("\n".join(["email,name,nickname,status", *rows]))
        return import_file(
            either.database, path, list_name="members", basis=Basis.CONSENT, evidence="forms", actor="tester",
            pepper=either.keys.pepper, now=NOW, errors_folder=either.workspace.outbox,
        )  # fmt: skip

    return run


@pytest.fixture
def known_everywhere(either: App, run_file: Callable[..., ImportResult]) -> App:
    """A person who left a trace in every table that can hold one, under three addresses; and a neighbour."""
    with either.database.write() as session:
        lists.create(session, "members", at=NOW)
    run_file(
        f"{OLD},Zanzibar Wombatson,kookaburra,", "bob@example.org,Bob Khan,bobby,",
        f"not an address,about {OLD},x,", "another bad one,y,z,",
    )  # fmt: skip
    run_file(f"{OLD},Zanzibar Q Wombatson,kookaburra 2,", f"{OLD} ,,,x,y")
    with either.database.write() as session:
        person = people.find(session, OLD)
        other = people.add(session, pepper=either.keys.pepper, address=OTHER, at=NOW, name="Z Wombatson")
        members = lists.get(session, "members")
        consent.grant(session, other, members, basis=Basis.CONSENT, evidence="a form of Zanzibar", wording="Yes", **ACT)
        consent.withdraw(session, other, None, evidence="letter of Zanzibar", **ACT)
        for address in (OLD, OTHER):
            entry = suppression.suppress(
                session, pepper=either.keys.pepper, address=address, reason="by hand", evidence="Zanzibar rang", at=NOW
            )
            suppression.lift(session, entry, by="tester", why="Zanzibar rang again", at=NOW)
        leaving.merge(session, person, other, actor="tester", at=NOW)
        for entry in suppression.of_address(session, address_hash=person.address_hash, domain="", now=NOW):
            suppression.lift(session, entry, by="tester", why="to go on", at=NOW)
        _sent(session, person, "2026-09")
        people.change_address(session, person, NEW, pepper=either.keys.pepper, at=NOW)
        _sent(session, person, "2026-10")
        people.add_tag(session, person, "kookaburra", at=NOW)
        nickname = attributes.definitions(session).get("nickname") or attributes.declare(
            session, "nickname", AttributeKind.TEXT
        )
        attributes.store(session, person, nickname, attributes.read_values(nickname, "kookaburra 3"))
        _traces(session, either, person)
        either.audit.record(session, Action.LIST_CREATED, "list members")
        suppression.suppress(
            session, pepper=either.keys.pepper, address="bob@example.org", reason="by hand", at=NOW,
            evidence=f"a mail of {NEW.upper()}",
        )  # fmt: skip
    return either


def _sent(session: Session, person: Subscriber, slug: str) -> None:
    issue = Issue(slug=slug, created_at=NOW, edited_at=NOW, edited_by="t", state=IssueState.CANCELLED, planned_at=NOW)
    issue.reason = f"The relay said: 550 <{person.address}> is unknown"
    session.add(issue)
    session.flush()
    variant = Variant(issue_id=issue.id, number=1, subject="", html="", text="", content_hash="", headers={})
    session.add(variant)
    session.flush()
    list_id = lists.get(session, "members").id
    session.add(
        Delivery(
            issue_id=issue.id, subscriber_id=person.id, variant_id=variant.id, list_id=list_id, address=person.address,
            address_hash=person.address_hash, domain=person.domain, token_id=person.token_id, date=NOW,
            slots={"name": "Zanzibar Wombatson", "first_name": "Zanzibar"}, message_id=f"{slug}@example.org",
            state=DeliveryState.BOUNCED, state_at=NOW, reply_text=f"550 {person.address} unknown",
            remote_host=f"mx.{person.domain}",
        )
    )  # fmt: skip
    session.flush()


def _traces(session: Session, app: App, person: Subscriber) -> None:
    report = BounceReport(
        way="pipe", received_at=NOW, raw=b"To: " + NEW.encode(), size=9, sender=OLD, subject="From Zanzibar",
        sender_hash=person.address_hash,
    )  # fmt: skip
    session.add(report)
    session.flush()
    session.add(
        BounceEvent(
            report_id=report.id, kind=ReportKind.BOUNCE, at=NOW, address=NEW, address_hash=person.address_hash,
            domain=person.domain, words=f"{NEW} unknown", rule=Rule.NO_MARK,
            undone_reason="Zanzibar rang",
        )
    )  # fmt: skip
    for kind, dedupe, state in (
        (NoticeKind.LINK, None, DeliveryState.PENDING),
        (NoticeKind.CONFIRMATION, None, DeliveryState.SENT),
        (NoticeKind.REPLY, reply_name(report.id), DeliveryState.PENDING),
    ):
        session.add(
            Notice(
                kind=kind, address=NEW, address_hash=person.address_hash, domain=person.domain, subject="From Zanzibar"
                if kind is NoticeKind.REPLY else "", message=b"Dear Zanzibar", message_id="m", dedupe=dedupe,
                created_at=NOW, expires_at=NOW + timedelta(days=9), state=state, state_at=NOW,
            ) if state is DeliveryState.PENDING else Notice(
                kind=kind, address_hash=person.address_hash, domain=person.domain, subject="", message_id="m",
                created_at=NOW, expires_at=NOW, state=state, state_at=NOW, reply_text="quokka-family said no",
            )
        )  # fmt: skip
    session.add(WebRequest(kind=WebRequestKind.LINK, at=NOW, network="n", fields={"address": f" {NEW.upper()} "}))
    closed = person_requests.receive(
        session, PersonRequestKind.COMPLAINT, contact=f"Zanzibar <{NEW}>", words="of the Wombatsons", way="letter",
        at=NOW, pepper=app.keys.pepper,
    )  # fmt: skip
    person_requests.close(session, closed, outcome=f"wrote to {NEW}", by="tester", at=NOW)
    other = {"contact": "bob@example.org", "words": f"why does {NEW} get it?", "way": "letter"}
    person_requests.receive(session, PersonRequestKind.OTHER, **other, at=NOW, pepper=app.keys.pepper)
    signing_up.note_mailed(session, parse_address(NEW), pepper=app.keys.pepper, now=NOW, until=NOW + timedelta(days=7))
    line = session.scalars(select(ConsentEvent).where(ConsentEvent.subscriber_id == person.id)).first()
    session.add(LeavingReason(subscriber_id=person.id, event_id=line.id, at=NOW, words="too much for Zanzibar"))
    renamed = {preferences.Choice.FIRST_NAME: "Zanzi Wombatson"}
    preferences.change(session, person, renamed, source="settings", actor="subscriber", at=NOW)
    token = ApiToken(name="website", digest=b"d", scopes=[], created_at=NOW, created_by="tester")
    session.add(token)
    session.flush()
    session.add(
        ApiAnswer(
            token_id=token.id, key_digest=b"k", request_digest=b"r", subscriber_id=person.id, at=NOW, status=201,
            document={"address": NEW},
        )
    )  # fmt: skip
    session.add(
        DigestEntry(
            issue_id=session.scalars(select(Issue.id)).first(), subscriber_id=person.id,
            list_id=lists.get(session, "members").id,
        )
    )  # fmt: skip
    one_time.mint(session, "preferences", now=NOW, lifetime=timedelta(days=1), subscriber_id=person.id,
                  payload={"name": "Zanzibar"})  # fmt: skip
    session.add(Setting(name="paused:7", value={"kind": "refusals", "reason": f"550 <{NEW}> no"}))
    session.add(Throttle(name="breaker:x", value={"reply": [f"550 {OLD}"]}))


def cells(app: App) -> Iterator[tuple[str, str]]:
    """Yield every value of every column of every table, as text, and bytes as text too."""
    with app.database.read() as session:
        for table in Base.metadata.sorted_tables:
            for row in session.execute(select(table)):
                for name, value in row._mapping.items():
                    shown = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                    yield f"{table.name}.{name}", shown.casefold()


def empty(app: App) -> set[str]:
    with app.database.read() as session:
        return {table.name for table in Base.metadata.sorted_tables if not session.execute(select(table)).first()}


def found(app: App) -> set[str]:
    return {where for where, text in cells(app) if any(canary in text for canary in CANARIES)}


def test_nothing_of_an_erased_person_is_left_in_any_column_or_file(known_everywhere: App) -> None:
    app = known_everywhere
    assert len(found(app)) > 25  # the canaries are really there
    assert empty(app) <= OF_NOBODY  # a new table either is filled above, or says nothing of anybody
    erased = erase_person(app, NEW, evidence="letter of 2 November")
    assert (found(app), erased.copies, erased.left) == (set(), 2, ())
    for path in app.workspace.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes().decode("latin-1").casefold()
            assert [canary for canary in CANARIES if canary in content] == [], path
    with app.database.read() as session:
        assert people.find(session, "bob@example.org").name == "Bob Khan"
        held = session.scalars(select(Suppression).where(suppression.active(NOW))).all()
        of_theirs = sorted((entry.reason, entry.address) for entry in held if entry.reason != "by hand")
        assert of_theirs == [*[("erased", None)] * 3, ("unsubscribed", None)]
        assert session.scalar(select(func.count()).select_from(ConsentEvent)) == 4  # the lines stay


def test_an_error_file_loses_only_the_rows_about_the_person(known_everywhere: App) -> None:
    (first, second) = sorted(known_everywhere.workspace.outbox.glob("import-*-errors.csv"))
    erase_person(known_everywhere, NEW, evidence="letter")
    with first.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[2] for row in rows[1:]] == ["another bad one"]
    assert first.stat().st_mode & 0o777 == 0o600
    assert not second.exists()


@pytest.mark.parametrize("address", [NEW, OLD, OTHER])
def test_no_address_of_an_erased_person_comes_back(
    known_everywhere: App, run_file: Callable[..., ImportResult], tmp_path: Path, address: str
) -> None:
    """By import, by a file that says that they left, by hand, or by a file of suppressions."""
    app = known_everywhere
    erase_person(app, NEW, evidence="letter")
    assert run_file(f"{address},Zanzibar Wombatson,kookaburra,").suppressed == 1
    assert run_file(f"{address},Zanzibar Wombatson,kookaburra,unsubscribed").suppressed == 1
    listed = tmp_path / "left.csv"
    listed.write_text(f"address\n{address}\n")
    with app.database.write() as session:
        with pytest.raises(Conflict, match="erased"):
            people.add(session, pepper=app.keys.pepper, address=address, at=NOW)
        bob = people.find(session, "bob@example.org")
        with pytest.raises(Conflict, match="suppressed"):
            people.change_address(session, bob, address, pepper=app.keys.pepper, at=NOW)
        suppression.suppress(session, pepper=app.keys.pepper, address=address, reason="by hand", evidence="x", at=NOW)
        import_suppressions(session, listed, pepper=app.keys.pepper, reason="imported", evidence="x", at=NOW)
    assert found(app) == set()


def test_an_address_that_went_over_to_somebody_else_is_theirs(known_everywhere: App) -> None:
    app = known_everywhere
    with app.database.write() as session:
        people.add(session, pepper=app.keys.pepper, address=OLD, at=NOW, name="Somebody Else")
    erase_person(app, NEW, evidence="letter")
    with app.database.read() as session:
        assert people.find(session, OLD).name == "Somebody Else"
        digest = address_hash(app.keys.pepper, OLD)
        held = suppression.of_address(session, address_hash=digest, domain="", now=NOW)
        assert [entry.reason for entry in held] == []


def test_a_person_whose_record_was_removed_is_erased_by_the_address(known_everywhere: App) -> None:
    app = known_everywhere
    with app.database.write() as session:
        leaving.remove(session, people.find(session, NEW), evidence="tidy", at=NOW)
    erased = erase_person(app, NEW, evidence="letter")
    assert erased.copies == 1
    assert [where for where, text in cells(app) if NEW in text] == []


def test_who_is_not_known_at_all_is_told_the_nearest(known_everywhere: App) -> None:
    with pytest.raises(NotFound) as caught:
        erase_person(known_everywhere, NEW.replace("new", "nw"), evidence="letter")
    assert NEW in caught.value.hint


def test_the_evidence_of_an_erasure_may_not_name_the_address(known_everywhere: App) -> None:
    with pytest.raises(InvalidValue, match="evidence"):
        erase_person(known_everywhere, NEW, evidence=f"mail from {NEW.title()}")


def test_what_a_person_must_change_is_named(known_everywhere: App) -> None:
    app = known_everywhere
    from subscribers.tables import Segment

    (app.workspace.outbox / "notes.txt").write_text(f"call {NEW}")
    with app.database.write() as session:
        session.add(Segment(name="one", expression=f"address = '{NEW}'", created_at=NOW, updated_at=NOW))
    erased = erase_person(app, NEW, evidence="letter")
    assert erased.left == ("the segment one",)
    assert forget_in_files(app.workspace.outbox, erased.addresses).left == (app.workspace.outbox / "notes.txt",)


def test_an_erasure_is_recorded_by_its_hash(known_everywhere: App) -> None:
    app = known_everywhere
    erase_person(app, NEW, evidence="letter")
    with app.database.read() as session:
        (entry,), _ = entries(session, Wanted(action=Action.PERSON_ERASED.value))
    assert (entry.person, entry.details) == (address_hash(app.keys.pepper, NEW), {"copies": 2})


def test_a_request_for_access_reaches_everything(known_everywhere: App) -> None:
    app = known_everywhere
    with app.database.write() as session:
        digest = people.find(session, NEW).address_hash
        app.audit.record(session, Action.EXPORT_PERSON, "person", person=digest)
    with app.database.read() as session:
        held = held_about(app, session, f" {NEW.upper()} ")
    text = json.dumps(held, default=str)
    told = (
        "Zanzibar Q Wombatson", "kookaburra 3", "a form of Zanzibar", "letter of Zanzibar", "Zanzibar rang",
        f"550 {OLD} unknown", f"550 {NEW} unknown", f"{NEW} unknown", f"To: {NEW}", "kookaburra 2", "preferences",
        NEW.upper(), "export.person", f"merged with {OTHER}",
    )  # fmt: skip
    assert [words for words in told if words not in text] == []
    assert [copy["issue"] for copy in held["deliveries"]] == ["2026-09", "2026-10"]
    assert {"paused_until", "frequency", "discreet"} <= held.keys()
    assert [len(held[name]) for name in ("notices", "links", "requests", "audit")] == [3, 1, 1, 1]
    assert "Zanzi Wombatson" in text
    assert [len(held[name]) for name in ("sign_ups", "data_requests")] == [1, 1]


def test_access_is_answered_when_the_record_is_gone(known_everywhere: App) -> None:
    """By the hash of the address that is given: first after a removal, then after an erasure."""
    app = known_everywhere
    with app.database.write() as session:
        leaving.remove(session, people.find(session, NEW), evidence="tidy", at=NOW)
    with app.database.read() as session:
        assert [copy["issue"] for copy in held_about(app, session, NEW)["deliveries"]] == ["2026-10"]
    erase_person(app, NEW, evidence="letter")
    with app.database.read() as session:
        held = held_about(app, session, NEW)
        assert [entry["reason"] for entry in held["suppressions"]] == ["unsubscribed", "erased"]
        assert [entry["action"] for entry in held["audit"]] == ["person.erased"]
        assert "wombatson" not in json.dumps(held, default=str).casefold()
        with pytest.raises(NotFound):
            held_about(app, session, "nobody@example.org")


def test_whose_address_ends_or_begins_like_it_loses_nothing(app: App) -> None:
    """Joann's complaint keeps its contact, her consent its evidence, and her row stays in the file of refused ones."""
    app.now = lambda: NOW
    like = ("joann@example.org", "o.ann@example.org", "ann@example.org.uk", "ann@example.org-b.net")
    path = app.workspace.outbox / "import-1-errors.csv"
    path.write_text("row,reason,address\n" + "".join(f"{n},no name,{address}\n" for n, address in enumerate(like)))
    with app.database.write() as session:
        members = lists.create(session, "members", at=NOW)
        for address in ("ann@example.org", *like):
            person = people.add(session, pepper=app.keys.pepper, address=address, at=NOW)
            consent.grant(session, person, members, basis=Basis.CONSENT, evidence=f"form of <{address}>.", **ACT)
        for address in like:
            person_requests.receive(
                session, PersonRequestKind.COMPLAINT, contact=address, words=f"{address}, ann@example.org",
                way="letter", at=NOW, pepper=app.keys.pepper,
            )  # fmt: skip
    erase_person(app, "ann@example.org", evidence="letter")
    with app.database.read() as session:
        kept = session.scalars(select(ConsentEvent.evidence).order_by(ConsentEvent.id)).all()
        assert kept == ["", *[f"form of <{address}>." for address in like]]
        told = [(one.contact, one.words) for one in person_requests.listed(session)]
        assert told == [(address, f"{address}, (erased)") for address in like]
    assert [line.rpartition(",")[2] for line in path.read_text("utf-8-sig").splitlines()[1:]] == list(like)


def test_an_api_answer_about_somebody_without_a_record_forgets_the_address(known_everywhere: App) -> None:
    """A program suppressed the address: nobody's record would take the kept answer with it."""
    app, address = known_everywhere, "zanzibar.nobody@example.net"
    with app.database.write() as session:
        suppression.suppress(
            session, pepper=app.keys.pepper, address=address, reason="by hand", evidence="e", at=NOW
        )  # fmt: skip
        token = session.scalars(select(ApiToken.id)).first()
        session.add(
            ApiAnswer(
                token_id=token, key_digest=b"k2", request_digest=b"r2", at=NOW, status=201,
                document={"address": address, "evidence": f"call of {address}"},
            )
        )  # fmt: skip
    erase_person(app, address, evidence="letter")
    assert [where for where, text in cells(app) if "zanzibar.nobody" in text] == []
    with app.database.read() as session:  # the key stays used: the same request again must not run again
        assert len(session.scalars(select(ApiAnswer)).all()) == 2


def test_an_open_complaint_can_still_be_answered_and_closing_it_forgets_whom(known_everywhere: App) -> None:
    """Also one that no worker has taken from the site yet."""
    app = known_everywhere
    with app.database.write() as session:
        request = person_requests.receive(
            session, PersonRequestKind.COMPLAINT, contact=f"{NEW}, evenings", words="I am Zanzibar", way="letter",
            at=NOW, pepper=app.keys.pepper,
        )  # fmt: skip
        number = request.id
        typed = {"kind": "access", "contact": NEW, "words": ""}
        session.add(WebRequest(kind=WebRequestKind.REQUEST, at=NOW, network="n", fields=typed))
    erased = erase_person(app, NEW, evidence="letter")
    assert [words for words in erased.left if f"requests close {number}" in words] != []
    assert found(app) == {"person_requests.contact", "person_requests.words", "web_requests.fields"}
    with app.database.write() as session:
        person_requests.close(
            session, person_requests.get(session, number), outcome=f"Wrote to {NEW}, evenings", by="tester", at=NOW
        )
    assert found(app) == {"web_requests.fields"}


@pytest.mark.parametrize("of", ["a sign-up", "a request of the site", "a letter"])
def test_somebody_without_a_record_is_told_and_erased(either: App, of: str) -> None:
    app, pepper = either, either.keys.pepper
    with app.database.write() as session:
        if of == "a sign-up":
            signing_up.note_mailed(session, parse_address(NEW), pepper=pepper, now=NOW, until=NOW + timedelta(days=7))
        elif of == "a request of the site":
            session.add(WebRequest(kind=WebRequestKind.LINK, at=NOW, network="n", fields={"email": NEW.upper()}))
        else:
            made = person_requests.receive(
                session, PersonRequestKind.ACCESS, contact=f"<{NEW}>", words="", way="letter", at=NOW, pepper=pepper
            )
            person_requests.close(session, made, outcome="told", by="tester", at=NOW)
    with app.database.read() as session:
        held = held_about(app, session, NEW)
    assert (held["state"], len(held["sign_ups"] + held["requests"] + held["data_requests"])) == ("no record", 1)
    erase_person(app, NEW, evidence="telephone")
    assert found(app) == set()


def test_the_word_erased_is_for_erasures_alone(app: App, tmp_path: Path) -> None:
    """By hand or from a file it would let a later restore erase the whole record of somebody who never asked."""
    app.now = lambda: NOW
    listed = tmp_path / "left.csv"
    listed.write_text("address,reason\nann@example.org,Erased\ngone@example.net,erased\n")
    with app.database.write() as session:
        people.add(session, pepper=app.keys.pepper, address="ann@example.org", at=NOW)
        with pytest.raises(InvalidValue, match="erase"):
            suppression.suppress(
                session, pepper=app.keys.pepper, address="ann@example.org", reason="erased ", evidence="x", at=NOW
            )
        result = import_suppressions(
            session, listed, pepper=app.keys.pepper, reason="imported", evidence="x", at=NOW
        )  # fmt: skip
        assert (result.added, [number for number, _ in result.refused]) == (1, [2])
        (entry,) = session.scalars(select(Suppression)).all()
        assert (entry.reason, entry.address) == ("erased", None)
        assert suppression.is_erased(session, address_hash(app.keys.pepper, "gone@example.net"), NOW)
