"""Whom a file itself says to have left, or never to have agreed, is put on no list, whatever the column is called."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from newsletter.app import App
from subscribers import consent, exporting, lists, people, suppression
from subscribers.imports.importing import ImportResult
from subscribers.imports.peers import State, read_export, stated
from subscribers.imports.tabular import Table
from subscribers.tables import Subscriber, Suppression

Run = Callable[..., ImportResult]
MAILCHIMP_LEFT = (
    '"Email Address","First Name",UNSUB_TIME,UNSUB_REASON,LEID\n'
    "bob@example.org,Bob,2025-03-01 10:00:00,no longer interested,1\n"
)


def _on_list(app: App) -> set[str]:
    with app.database.read() as session:
        return set(session.scalars(select(Subscriber.address)))


def _reasons(app: App) -> dict[str | None, str]:
    with app.database.read() as session:
        return {row[0]: row[1] for row in session.execute(select(Suppression.address, Suppression.reason))}


@pytest.mark.parametrize(
    ("heading", "value", "came_of_it"),
    [
        ("Status", "pending", "refused"),
        ("Status", "unconfirmed", "refused"),
        ("Subscription status", "lapsed", "refused"),
        ("Email status", "Hard-bounced", "suppressed"),
        ("Email Opt Out", "1", "suppressed"),
        ("Has Opted Out Of Email", "TRUE", "suppressed"),
        ("Do Not Email", "Yes", "suppressed"),
        ("No Bulk Emails (User Opt Out)", "x", "suppressed"),
        ("Do not allow bulk Emails", "Do Not Allow", "suppressed"),
        ("Unsubscribed", "2025-03-01 10:00:00", "suppressed"),
        ("Opted out", "perhaps", "refused"),
        ("Consent", "No", "refused"),
        ("Email opt in", "FALSE", "refused"),
        ("Accepts Email Marketing", "no", "refused"),
    ],
)
def test_who_left_or_never_agreed_stays_out_whatever_the_column_is_called(
    run_import: Run, app: App, heading: str, value: str, came_of_it: str
) -> None:
    result = run_import(f"email,{heading}\nann@example.org,\nbob@example.org,{value}\n")
    assert (result.new, getattr(result, came_of_it)) == (1, 1)
    assert _on_list(app) == {"ann@example.org"}
    assert _reasons(app).keys() == ({"bob@example.org"} if came_of_it == "suppressed" else set())
    if result.errors_file is not None:
        assert value in result.errors_file.read_text(encoding="utf-8-sig").splitlines()[1].split(",")[1:][-1]


@pytest.mark.parametrize(
    ("heading", "value"),
    [
        ("Email Opt Out", "0"),
        ("Do Not Email", "No"),
        ("Do not allow Emails", "Allow"),
        ("Consent", "yes"),
        ("Status", "Subscribed"),
        ("Subscription status", "Active"),
    ],
)
def test_who_did_not_leave_comes(run_import: Run, app: App, heading: str, value: str) -> None:
    assert run_import(f"email,{heading}\nann@example.org,{value}\n").new == 1


def test_every_column_of_leaving_counts(run_import: Run, app: App) -> None:
    """Programs that keep people for a charity have several: any of them is enough."""
    content = "email,Do Not Email,No Bulk Emails (User Opt Out)\na@example.org,Yes,No\nb@example.org,No,Yes\n"
    assert run_import(content + "c@example.org,No,No\n").suppressed == 2
    assert _on_list(app) == {"c@example.org"}


def test_a_column_may_be_said_to_mean_leaving_or_something_else(run_import: Run, app: App) -> None:
    left = run_import("email,Gone\nann@example.org,yes\n", mapping={"Gone": "opted_out"}, dry_run=True)
    assert (left.new, left.suppressed) == (0, 1)
    other = run_import("email,Newsletter\nann@example.org,no\n", mapping={"Newsletter": "editor"})
    assert (other.new, other.mapping) == (1, {"email": "address", "Newsletter": "editor"})


def test_what_is_said_of_a_whole_file_does_not_overrule_its_rows(run_import: Run, tmp_path: Path, app: App) -> None:
    path = tmp_path / "all.csv"
    path.write_text(
        "email,status,do not email\nann@example.org,volunteer,\nbob@example.org,unsubscribed,\n"
        "cy@example.org,pending,\ndi@example.org,,yes\n"
    )
    result = run_import("", name="other.csv", table=stated(Table(path), State.SUBSCRIBED))
    assert (result.new, result.suppressed, result.refused) == (1, 2, 1)
    assert _on_list(app) == {"ann@example.org"}


def test_nor_does_it_overrule_the_day_on_which_somebody_left_mailchimp(
    run_import: Run, tmp_path: Path, app: App
) -> None:
    path = tmp_path / "left.csv"
    path.write_text(MAILCHIMP_LEFT)
    export = read_export("mailchimp", path, State.SUBSCRIBED)
    assert export.holds_leavers
    assert run_import("", name="other.csv", table=export).suppressed == 1
    assert _reasons(app) == {"bob@example.org": suppression.UNSUBSCRIBED}


@pytest.mark.parametrize("left", [True, False])
def test_our_own_export_says_who_left(run_import: Run, app: App, at: Any, left: bool) -> None:
    """Carried to another installation, it brings nobody back; a state that is no attribute either."""
    run_import("email,State\nann@example.org,Ohio\nbob@example.org,Iowa\ncy@example.org,Utah\n")
    act: dict[str, Any] = {"source": "t", "actor": "t", "evidence": "t", "at": at}
    with app.database.write() as session:
        if left:
            consent.withdraw(session, people.find(session, "bob@example.org"), lists.get(session, "members"), **act)
            consent.withdraw(session, people.find(session, "cy@example.org"), None, **act)
        lists.create(session, "elsewhere", at=at)
        file = io.StringIO()
        ids = session.scalars(exporting.select_people(now=at)).all()
        exporting.write_csv(file, exporting.read_people(session, ids, now=at), ["state"])
    with app.database.write() as session:
        session.execute(Suppression.__table__.delete())  # as where nothing is known of them
    result = run_import(file.getvalue(), name="export.csv", list_name="elsewhere", dry_run=True)
    assert (result.changed, result.suppressed) == ((1, 2) if left else (3, 0))
    assert result.learnt == {}
