"""Who comes over from another program comes with name, tags and attributes; who left there stays out here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from newsletter.app import App
from subscribers import consent, people, suppression
from subscribers.errors import InvalidValue
from subscribers.exporting import read_people
from subscribers.imports import batches
from subscribers.imports.importing import ImportResult
from subscribers.imports.peers import State, read_export, stated
from subscribers.imports.tabular import Table
from subscribers.tables import AttributeKind, ConsentAction, ConsentEvent, Subscriber, Subscription, Suppression

Run = Callable[..., ImportResult]

LISTMONK = """uuid,email,name,attributes,status,created_at,updated_at
1b,ann@example.org,Ann Jones,"{""city"": ""Dudley"", ""Age"": 33, ""likes"": [""housing"", ""training""], ""ok"": true}",enabled,2024-05-01 10:00:00.123 +0000 UTC,2024-05-02 10:00:00 +0000 UTC
2b,bob@example.org,Bob,{},blocklisted,2023-01-01 09:00:00 +0000 UTC,2024-05-02 10:00:00 +0000 UTC
3b,cy@example.org,Cy,"{""email"": ""private@example.org"", ""nested"": {""a"": 1}}",enabled,2023-01-01 09:00:00 +0000 UTC,
4b,dee@example.org,Dee,{broken,enabled,2023-01-01 09:00:00 +0000 UTC,
"""  # noqa: E501
MAILCHIMP = (
    '"Email Address","First Name","Last Name",Town,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,LATITUDE,TIMEZONE,'
    "LAST_CHANGED,LEID,EUID,NOTES,TAGS\n"
    'ann@example.org,Ann,Jones,Dudley,4,"2024-01-01 10:00:00",,"2024-01-02 10:00:00",52.5,Nowhere/Land,'
    '"2024-01-03 10:00:00",1,abc,"a private remark","""Press"",""Member, paying"""\n'
)
UNSUBSCRIBED = (
    '"Email Address","First Name",OPTIN_TIME,UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_CAMPAIGN_ID,UNSUB_REASON,LEID,EUID\n'
    'bob@example.org,Bob,"2024-01-01 10:00:00","2025-02-03 11:00:00",Spring,9,"No longer interested",2,def\n'
    'eve@example.org,Eve,"2024-01-01 10:00:00",,,,,3,ghi\n'
)
CLEANED = (
    '"Email Address",OPTIN_TIME,CLEAN_TIME,CLEAN_CAMPAIGN_TITLE,CLEAN_CAMPAIGN_ID,LEID,EUID\n'
    'cy@example.org,"2024-01-01 10:00:00","2025-03-04 12:00:00",Summer,10,4,jkl\n'
)
MAILMAN = (
    'Ann Jones <ann@example.org>\n\n# a remark\nbob@example.org\n"Khan, Cy" <cy@example.org>\n'
    "=?utf-8?q?Zo=C3=AB?= Smith <zoe@example.org>\nant.example.com has no members\n"
)


@pytest.fixture
def bring(run_import: Run, tmp_path: Path, app: App) -> Callable[..., ImportResult]:
    """Import text as an export of a program onto the list `members`."""

    def run(system: str, content: str, *, name: str = "export.csv", state: State | None = None) -> ImportResult:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return run_import(content, name=name, table=read_export(system, path, state))

    return run


def _stored(app: App, at: Any) -> dict[str, Any]:
    with app.database.read() as session:
        return {p.address: p for p in read_people(session, session.scalars(select(Subscriber.id)).all(), now=at)}


def _reasons(app: App) -> dict[str | None, str]:
    with app.database.read() as session:
        return {entry.address: entry.reason for entry in session.scalars(select(Suppression))}


def test_listmonk_brings_typed_attributes_and_leaves_out_the_blocklisted(
    bring: Callable[..., ImportResult], app: App, at: Any
) -> None:
    result = bring("listmonk", LISTMONK)
    assert (result.new, result.suppressed, result.refused) == (2, 1, 1)
    assert result.learnt["age"] == AttributeKind.NUMBER.value
    found = _stored(app, at)
    ann = found["ann@example.org"]
    assert (ann.name, f"{ann.joined_at:%Y-%m-%d}") == ("Ann Jones", "2024-05-01")
    assert ann.attributes == {"city": "Dudley", "age": 33, "likes": ["housing", "training"], "ok": True}
    assert found["cy@example.org"].attributes == {"email": "private@example.org", "nested": '{"a": 1}'}
    assert _reasons(app) == {"bob@example.org": suppression.UNSUBSCRIBED}


def test_of_a_listmonk_export_of_those_who_left_a_list_nobody_joins(
    bring: Callable[..., ImportResult], app: App
) -> None:
    """Whoever is enabled in listmonk may have left this list: the file's name of the filter is all that tells."""
    result = bring("listmonk", LISTMONK, state=State.UNSUBSCRIBED)
    assert (result.new, result.suppressed, result.refused) == (0, 3, 1)


def test_mailchimp_brings_name_tags_and_day_and_not_what_it_guessed(
    bring: Callable[..., ImportResult], app: App, at: Any
) -> None:
    assert bring("mailchimp", MAILCHIMP, name="subscribed_members_export_1.csv").new == 1
    ann = _stored(app, at)["ann@example.org"]
    assert (ann.name, ann.first_name, ann.tags) == ("Ann Jones", "Ann", ("member, paying", "press"))
    assert (ann.attributes, f"{ann.joined_at:%Y-%m-%d}") == ({"town": "Dudley"}, "2024-01-02")


def test_mailchimps_unsubscribed_and_cleaned_are_suppressed_with_their_evidence(
    bring: Callable[..., ImportResult], app: App
) -> None:
    left = bring("mailchimp", UNSUBSCRIBED, name="unsubscribed_members_export_1.csv")
    assert (left.new, left.suppressed, left.refused) == (0, 1, 1)
    assert bring("mailchimp", CLEANED, name="cleaned_members_export_1.csv").suppressed == 1
    assert _reasons(app) == {"bob@example.org": suppression.UNSUBSCRIBED, "cy@example.org": suppression.HARD_BOUNCE}
    with app.database.read() as session:
        entry = session.scalars(select(Suppression).where(Suppression.address == "bob@example.org")).one()
        event = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id)).first()
    assert "Mailchimp: unsubscribed on 2025-02-03 11:00:00 (No longer interested; Spring)" in entry.evidence
    assert "row 2" in entry.evidence
    assert event is not None
    assert (event.action, event.subscriber_id, event.address_hash) == (
        ConsentAction.WITHDRAWN,
        None,
        entry.address_hash,
    )
    assert "Mailchimp: unsubscribed on" in event.evidence


def test_mailmans_members_come_with_decoded_names_and_a_line_that_is_none_is_refused(
    bring: Callable[..., ImportResult], app: App, at: Any
) -> None:
    result = bring("mailman", MAILMAN, name="members.txt", state=State.SUBSCRIBED)
    assert (result.new, result.refused) == (4, 1)
    assert {address: person.name for address, person in _stored(app, at).items()} == {
        "ann@example.org": "Ann Jones",
        "bob@example.org": None,
        "cy@example.org": "Khan, Cy",
        "zoe@example.org": "Zoë Smith",
    }
    bounced = bring("mailman", "dee@example.org\nann@example.org\n", name="bounced.txt", state=State.BOUNCED)
    assert (bounced.suppressed, bounced.new) == (2, 0)
    assert _reasons(app) == dict.fromkeys(("dee@example.org", "ann@example.org"), suppression.HARD_BOUNCE)


@pytest.mark.parametrize(
    ("system", "name", "content", "message"),
    [
        ("mailman", "members.txt", "ann@example.org\n", "switched off"),
        ("listmonk", "people.csv", "email,name\nann@example.org,Ann\n", "no column 'status'"),
        ("mailchimp", "people.csv", "email,name\nann@example.org,Ann\n", "no CSV of an export"),
        ("mailchimp", "nonsubscribed_members_export_1.csv", MAILCHIMP, "never subscribed"),
    ],
)
def test_a_file_that_does_not_say_how_its_people_stand_is_refused(
    tmp_path: Path, system: str, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InvalidValue, match=message):
        read_export(system, path)


def test_any_file_may_be_said_to_hold_people_who_left(run_import: Run, tmp_path: Path, app: App) -> None:
    path = tmp_path / "left.csv"
    path.write_text("email,status\nann@example.org,volunteer\n")
    assert run_import("", name="other.csv", table=stated(Table(path), State.UNSUBSCRIBED)).suppressed == 1
    assert _reasons(app) == {"ann@example.org": suppression.UNSUBSCRIBED}


def test_who_is_on_the_list_and_left_elsewhere_leaves_here_and_a_second_import_adds_nothing(
    run_import: Run, app: App
) -> None:
    run_import("email\nann@example.org\n")
    for _ in range(2):
        run_import("email,status\nann@example.org,unsubscribed\n", name="left.csv")
    with app.database.read() as session:
        actions = session.scalars(select(ConsentEvent.action).order_by(ConsentEvent.id)).all()
        stored = session.scalars(select(Subscription)).one()
        replayed = consent.replay(session.scalars(select(ConsentEvent).order_by(ConsentEvent.id)))
    assert actions == [ConsentAction.GRANTED, ConsentAction.WITHDRAWN]
    assert replayed is not None
    assert (stored.state, stored.since) == (replayed.state, replayed.since)
    assert len(_reasons(app)) == 1


def test_undoing_lifts_what_only_the_file_had_shown(run_import: Run, app: App, at: Any, pepper: bytes) -> None:
    """Bob was reported again by other means since; Ann is where she was before the wrong file."""
    run_import("email\nann@example.org\n")
    wrong = run_import("email,status\nann@example.org,unsubscribed\nbob@example.org,unsubscribed\n", name="left.csv")
    with app.database.write() as session:
        suppression.suppress(
            session, pepper=pepper, address="bob@example.org", reason="unsubscribed", evidence="by letter", at=at
        )
    assert wrong.batch is not None
    with app.database.write() as session:
        found = batches.undo(session, batches.get(session, wrong.batch), actor="t", why="wrong file", at=at)
    assert (found.lifted, found.restored, found.removed) == (1, 1, 0)
    with app.database.read() as session:
        held = session.scalars(select(Suppression.address).where(suppression.active(at))).all()
        ann = people.find(session, "ann@example.org")
        state = session.scalars(select(Subscription.state).where(Subscription.subscriber_id == ann.id)).one()
    assert (held, state.value) == (["bob@example.org"], "subscribed")
