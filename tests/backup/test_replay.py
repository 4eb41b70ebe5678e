"""A database that was put back learns what changed since: who left stays out, who was erased is gone again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from newsletter.app import App
from newsletter.personal_data.erasing import erase_person
from newsletter.personal_data.never_mail import Applied, apply
from newsletter.send.ended_records import merge_people, remove_person
from subscribers import lists, people, suppression
from subscribers.tables import MailingList, Subscriber, Subscription, SubscriptionState, Suppression
from tests.backup.changes import copy_sqlite, join, keep, kinds, leave, suppress
from tests.conftest import NOW

LATER = NOW + timedelta(days=3)


@pytest.fixture
def put_back(app: App) -> Callable[[], Callable[[], Applied]]:
    """Copy the database now; what is returned puts that copy back and applies the file."""

    def copy() -> Callable[[], Applied]:
        path = app.workspace.root / "old"
        copy_sqlite(app.workspace.database, path)

        def back() -> Applied:
            keep(app)
            app.database.close()
            copy_sqlite(path, app.workspace.database)
            with app.database.write() as session:
                return apply(session, [app.workspace.never_mail], app.keys.pepper, at=LATER)

        return back

    return copy


def standing(app: App, name: str, list_name: str = "members") -> SubscriptionState | None:
    with app.database.read() as session:
        person = people.find_or_none(session, f"{name}@example.com")
        if person is None:
            return None
        stored = session.get(Subscription, (person.id, lists.get(session, list_name).id))
        return stored.state if stored else None


def reasons(app: App, name: str) -> list[str]:
    """Why somebody is not mailed, by address alone: as an import asks."""
    from subscribers.addresses import parse_address
    from subscribers.tokens import address_hash

    digest = address_hash(app.keys.pepper, parse_address(f"{name}@example.com").key)
    with app.database.read() as session:
        entries = suppression.of_address(session, address_hash=digest, domain="example.com", now=LATER)
        return [entry.reason for entry in entries]


def test_whoever_left_since_stays_out(app: App, put_back) -> None:
    join(app, "ann", "bob", "cid")
    back = put_back()
    leave(app, "ann", "members")
    leave(app, "bob")
    suppress(app, "cid", "complaint")
    replayed = back().replayed
    assert (replayed.left, replayed.suppressed) == (2, 2)
    assert standing(app, "ann") == standing(app, "bob") == SubscriptionState.UNSUBSCRIBED
    assert (reasons(app, "ann"), reasons(app, "bob"), reasons(app, "cid")) == ([], ["unsubscribed"], ["complaint"])


def test_whoever_joined_and_left_since_stays_out_of_that_list(app: App, put_back) -> None:
    join(app, "ann")
    back = put_back()
    join(app, "new")
    leave(app, "new", "members")
    back()
    assert reasons(app, "new") == ["unsubscribed"]


def test_whoever_left_and_came_back_is_not_dropped(app: App, put_back) -> None:
    join(app, "ann")
    back = put_back()
    leave(app, "ann", "members")
    join(app, "ann")
    assert back().replayed.left == 0
    assert standing(app, "ann") is SubscriptionState.SUBSCRIBED


def test_what_the_copy_knows_better_is_left_alone(app: App, put_back) -> None:
    """She left and came back before the copy was made: the old line of the file changes nothing."""
    join(app, "ann")
    leave(app, "ann", "members")
    keep(app)
    join(app, "ann")
    back = put_back()
    assert back().replayed.changes == 0
    assert standing(app, "ann") is SubscriptionState.SUBSCRIBED


def test_the_erased_are_gone_again_whatever_their_address_was(app: App, put_back) -> None:
    join(app, "ann", "bob")
    back = put_back()
    with app.database.write() as session:
        ann, bob = (people.find(session, f"{name}@example.com") for name in ("ann", "bob"))
        erase_person(session, ann, evidence="letter", at=NOW)
        people.change_address(session, bob, "robert@example.com", pepper=app.keys.pepper, at=NOW)
        erase_person(session, bob, evidence="letter", at=NOW)
    assert back().replayed.erased == 2
    with app.database.read() as session:
        assert session.scalars(select(Subscriber)).all() == []
        assert {entry.address for entry in session.scalars(select(Suppression))} == {None}
    assert (reasons(app, "ann"), reasons(app, "robert"), reasons(app, "bob")) == (["erased"],) * 3


def test_whoever_changed_their_address_and_left_is_out_under_the_old_one(app: App, put_back) -> None:
    join(app, "bob")
    back = put_back()
    with app.database.write() as session:
        bob = people.find(session, "bob@example.com")
        people.change_address(session, bob, "robert@example.com", pepper=app.keys.pepper, at=NOW)
    leave(app, "robert")
    back()
    assert standing(app, "bob") is SubscriptionState.UNSUBSCRIBED
    assert "unsubscribed" in reasons(app, "bob")


def test_a_removed_record_is_removed_again_and_a_lifted_entry_lifted(app: App, put_back) -> None:
    join(app, "ann", "bob")
    suppress(app, "bob")
    back = put_back()
    with app.database.write() as session:
        remove_person(session, people.find(session, "ann@example.com"), evidence="twice", at=NOW)
        for entry in session.scalars(select(Suppression)).all():
            suppression.lift(session, entry, by="t", why="works", at=NOW)
    replayed = back().replayed
    assert (replayed.removed, replayed.lifted) == (1, 1)
    assert standing(app, "ann") is None
    assert reasons(app, "bob") == []


def test_whoever_had_the_address_of_a_removed_record_before_is_not_removed_with_it(app: App, put_back) -> None:
    """A link of the removed record means whoever has its address; the record itself is not that person."""
    join(app, "ann")
    back = put_back()
    with app.database.write() as session:
        ann = people.find(session, "ann@example.com")
        people.change_address(session, ann, "new@example.com", pepper=app.keys.pepper, at=NOW)
    join(app, "ann")
    with app.database.write() as session:
        remove_person(session, people.find(session, "ann@example.com"), evidence="twice", at=NOW)
    assert back().replayed.removed == 0
    assert standing(app, "ann") is SubscriptionState.SUBSCRIBED


def test_a_merge_is_done_again_so_that_nobody_loses_a_list(app: App, put_back) -> None:
    join(app, "ann")
    join(app, "old", list_name="events")
    back = put_back()
    with app.database.write() as session:
        kept, gone = (people.find(session, f"{name}@example.com") for name in ("ann", "old"))
        merge_people(session, kept, gone, actor="t", at=NOW)
    replayed = back().replayed
    assert (replayed.merged, replayed.removed) == (1, 0)
    assert standing(app, "ann", "events") is SubscriptionState.SUBSCRIBED
    assert standing(app, "old") is None


def test_whoever_was_merged_into_a_newer_record_and_left_is_out(app: App, put_back) -> None:
    """The newer record is not in the copy; the one that is stands for it."""
    join(app, "old")
    back = put_back()
    join(app, "ann")
    with app.database.write() as session:
        kept, gone = (people.find(session, f"{name}@example.com") for name in ("ann", "old"))
        merge_people(session, kept, gone, actor="t", at=NOW)
    leave(app, "ann", "members")
    back()
    assert standing(app, "old") is SubscriptionState.UNSUBSCRIBED


def test_a_list_that_the_copy_does_not_know_is_made_again_with_nobody_on_it(app: App, put_back) -> None:
    join(app, "ann")
    back = put_back()
    join(app, "ann", list_name="events")
    leave(app, "ann", "events")
    assert back().replayed.lists_made == ["events"]
    with app.database.read() as session:
        assert not session.scalars(select(MailingList).where(MailingList.name == "events")).one().open
    assert standing(app, "ann", "events") is SubscriptionState.UNSUBSCRIBED


def test_a_second_time_changes_nothing_and_a_damaged_line_is_numbered(app: App, put_back) -> None:
    join(app, "ann", "bob")
    back = put_back()
    leave(app, "ann", "members")
    leave(app, "bob", "members")
    keep(app)
    path = app.workspace.never_mail
    damaged = path.read_bytes().replace(b'"left"', b'"LEFT"', 1)
    path.write_bytes(damaged)
    applied = back()
    assert (applied.damaged, applied.replayed.left) == ((2,), 1)
    with app.database.write() as session:
        assert apply(session, [path], app.keys.pepper, at=LATER).replayed.changes == 0


def test_an_entry_that_is_over_by_now_is_not_put_back(app: App, put_back) -> None:
    join(app, "ann")
    back = put_back()
    with app.database.write() as session:
        suppression.suppress(
            session, pepper=app.keys.pepper, address="ann@example.com", reason="soft bounces", evidence="e", at=NOW,
            expires_at=NOW + timedelta(days=1),
        )  # fmt: skip
    assert back().replayed.suppressed == 0


def test_the_file_goes_on_after_what_it_gave_back(app: App, put_back) -> None:
    join(app, "ann", "bob")
    back = put_back()
    leave(app, "ann", "members")
    back()
    keep(app, compare=True)
    before = len(kinds(app))
    leave(app, "bob", "members")
    assert keep(app).appended >= 1
    assert kinds(app)[before:].count("left") == 1
    assert keep(app).appended == 0


def test_whoever_chose_discreet_mail_since_is_not_shown(app: App, put_back) -> None:
    """A plain mail can endanger them. Whoever ended it since keeps it: that shows nobody."""
    join(app, "ann", "bob", "cid", "dee")
    choose(app, "bob", discreet=True)
    back = put_back()
    choose(app, "ann", discreet=True)
    choose(app, "bob", discreet=False)
    choose(app, "cid", discreet=True)
    choose(app, "cid", discreet=False)
    replayed = back().replayed
    assert replayed.discreet == 1
    with app.database.read() as session:
        held = {name: people.find(session, f"{name}@example.com").discreet for name in ("ann", "bob", "cid", "dee")}
    assert held == {"ann": True, "bob": True, "cid": False, "dee": False}
    with app.database.write() as session:
        assert apply(session, [app.workspace.never_mail], app.keys.pepper, at=LATER).replayed.changes == 0


def choose(app: App, name: str, *, discreet: bool) -> None:
    with app.database.write() as session:
        people.find(session, f"{name}@example.com").discreet = discreet
