"""A token for one list neither sees nor touches people of others, whichever way it asks."""

from __future__ import annotations

import httpx
import pytest

from newsletter import api_tokens
from newsletter.api_tokens import Scope
from newsletter.app import App
from newsletter.errors import InvalidValue
from subscribers import lists, segments, suppression
from tests.web.api_client import GROUND, NOW, Caller, asking, caller, direct, kind, leave, make_lists, put

ALL_BUT_ERASE = tuple(scope for scope in Scope if scope is not Scope.SUBSCRIBERS_ERASE)


@pytest.fixture
def police(app: App, site: httpx.Client) -> Caller:
    """A program for the list `police`, where there is a list of `survivors` too."""
    make_lists(app, "police", "survivors")
    put(app, "own@example.org", "police")  # 1
    put(app, "both@example.org", "police", "survivors")  # 2
    put(app, "other@example.org", "survivors", name="Other Person", tags=("secret",))  # 3
    put(app, "nowhere@example.org")  # 4
    return caller(app, site, *ALL_BUT_ERASE, name="police", only=("police",))


def test_it_finds_people_of_its_list_only(police: Caller) -> None:
    assert [each["id"] for each in police.all("/subscribers", limit=1)] == [1, 2]
    assert police("GET", "/subscribers", params={"search": "other"}).json() == []
    assert police("GET", "/subscribers", params={"segment": "tag 'secret'"}).json() == []
    assert police("GET", "/subscribers", params={"state": "none"}).json() == []
    assert police("POST", "/lookup", json={"address": "other@example.org"}).json() == []


def test_it_is_told_of_no_other_list(app: App, police: Caller) -> None:
    """Neither by name nor by a state that another list gives."""
    leave(app, 2, "police")
    shown = police("GET", "/subscribers/2").json()
    assert (shown["lists"], shown["state"]) == ([], "unsubscribed")
    assert [each["list"] for each in shown["subscriptions"]] == ["police"]
    assert [each["id"] for each in police("GET", "/subscribers", params={"state": "subscribed"}).json()] == [1]
    assert [each["id"] for each in police("GET", "/subscribers", params={"state": "unsubscribed"}).json()] == [2]
    assert [each["name"] for each in police("GET", "/lists").json()] == ["police"]


@pytest.mark.parametrize(
    "segment",
    [
        "list 'survivors'",
        "not list 'survivors'",
        "list = 'survivors'",
        "list != 'survivors'",
        "list in ('police', 'survivors')",
        "list is set",
        "list is missing",
        "consent = 'consent'",
        "consent is set",
        "tag 'x' or (tag 'y' and not list 'survivors')",
        "segment 'named'",
        "named",
        "issue '2026-11' sent",
    ],
)
def test_no_segment_is_a_way_around(app: App, police: Caller, segment: str) -> None:
    with app.database.write() as session:
        segments.create(session, "named", "tag 'x' or list 'survivors'", at=NOW)
    answer = police("GET", "/subscribers", params={"segment": segment})
    assert (answer.status_code, kind(answer)) == (422, "segment")
    assert "survivors" not in answer.text


def test_its_own_list_may_stand_in_a_segment(police: Caller) -> None:
    for segment in ("list 'police'", "list = 'police'", "list in ('police')", "not list any ('police')"):
        assert police("GET", "/subscribers", params={"segment": segment}).status_code == 200, segment


def test_somebody_of_another_list_is_nobody(police: Caller) -> None:
    """Byte for byte the same as an id that never was, for every method."""
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "X"}),
        ("POST", "/subscribe", {"list": "police", **GROUND}),
        ("POST", "/unsubscribe", {"list": "police"}),
    ):
        given = {"json": body} if body else {}
        answers = [
            police(method, f"/subscribers/{number}{path}", headers={"if-match": "*"}, **given) for number in (3, 4, 99)
        ]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert len({answer.content for answer in answers}) == 1


def test_a_list_that_it_is_not_for_is_no_list(police: Caller) -> None:
    for name in ("survivors", "no-such-list"):
        answers = [
            police("GET", "/subscribers", params={"list": name}),
            police("POST", "/subscribers", json=asking("a@example.org", "police", name)),
            police("POST", "/subscribers/1/subscribe", json={"list": name, **GROUND}),
            police("POST", "/subscribers/1/unsubscribe", json={"list": name}),
            police("POST", "/suppressions", json={"address": "a@example.org", "evidence": "x", "list": name}),
        ]
        assert [(answer.status_code, kind(answer)) for answer in answers] == [(422, "invalid")] * 5
        assert all(name not in answer.text for answer in answers)
        assert police("GET", f"/lists/{name}").status_code == 404


def test_it_can_only_ask_new_people_and_learns_nothing_by_it(police: Caller) -> None:
    for who in ("other", "own", "unknown"):
        address = f"{who}@example.org"
        refused = police("POST", "/subscribers", json=direct(address, "police"))
        assert (refused.status_code, kind(refused)) == (403, "confirmation-required")
        answer = police("POST", "/subscribers", json=asking(address, "police"))
        assert (answer.status_code, answer.content) == (202, b'{"state":"asked"}')


def test_what_reaches_every_list_is_refused(app: App, police: Caller) -> None:
    assert kind(police("POST", "/subscribers/1/unsubscribe", json={})) == "list-required"
    assert kind(police("POST", "/suppressions", json={"address": "a@example.org", "evidence": "x"})) == "list-required"
    with app.database.write() as session, pytest.raises(InvalidValue, match="subscribers:erase"):
        api_tokens.create(
            session,
            "x",
            scopes=[Scope.SUBSCRIBERS_ERASE],
            lists=[lists.get(session, "police")],
            by="tester",
            now=NOW,
        )


def test_it_sees_suppressions_of_its_list_only(app: App, police: Caller) -> None:
    with app.database.write() as session:
        suppression.suppress(session, domain="example.net", reason="by hand", evidence="all", at=NOW)
        suppression.suppress(session, domain="example.net", reason="by hand", evidence="other", at=NOW, list_id=2)
    made = police("POST", "/suppressions", json={"domain": "example.com", "evidence": "x", "list": "police"})
    assert made.status_code == 201
    assert [each["address"] for each in police.all("/suppressions")] == ["*@example.com"]
