"""Who is found by programs: filters, segments, and pages that neither repeat nor lose anybody."""

from __future__ import annotations

import http.client
from urllib.parse import quote

import httpx
import pytest

from newsletter.app import App
from subscribers import segments
from subscribers.tables import Subscriber
from tests.web.api_client import (
    NOW,
    READ_WRITE,
    Caller,
    caller,
    counted,
    kind,
    leave,
    put,
)


def test_people_are_found_by_list_state_segment_and_part_of_an_address(app: App, editor: Caller) -> None:
    ann = put(app, "ann@example.org", "members", name="Ann Jones", tags=("press",))
    bob = put(app, "bob@example.net", "events")
    cat = put(app, "cat@example.org")
    leave(app, put(app, "dan@example.org", "members"), "members")

    def ids(**filters: str) -> list[int]:
        return [each["id"] for each in editor.all("/subscribers", **filters)]

    assert ids() == [ann, bob, cat, cat + 1]
    assert ids(list="members") == [ann, cat + 1]
    assert ids(list="members", state="subscribed") == [ann]
    assert ids(state="unsubscribed") == [cat + 1]
    assert ids(state="none") == [cat]
    assert ids(search="JONES") == [ann]
    assert ids(search="example.net") == [bob]
    assert ids(search="%") == []
    assert ids(segment="tag 'press' or list 'events'") == [ann, bob]
    assert [each["address"] for each in editor("POST", "/lookup", json={"address": "ANN@example.org"}).json()] == [
        "ann@example.org"
    ]
    assert editor("POST", "/lookup", json={"address": "nobody@example.org"}).json() == []


@pytest.mark.parametrize(
    "segment",
    [
        "' or 1=1 --",
        "town = 'x'; drop table subscribers",
        "(" * 7_000,
        "not " * 1_900,
        "x",
        "tag 'a' " + "or tag 'a'" * 700,
        "id = 1",
        "address = 'a' union select 1",
        "segment 'circle-a'",
        "key like '%'",
        "town = \u2018x\u2019",
        "name = 'a' or",
        "issue '2026-10' sent",
    ],
)
def test_a_segment_that_is_none_is_refused_in_words(app: App, editor: Caller, segment: str) -> None:
    with app.database.write() as session:
        segments.create(session, "circle-a", "tag 'x'", at=NOW)
        segments.create(session, "circle-b", "segment 'circle-a'", at=NOW)
        segments.get(session, "circle-a").expression = "segment 'circle-b'"
    answer = editor("GET", "/subscribers", params={"segment": segment})
    assert (answer.status_code, kind(answer)) == (422, "segment"), answer.text
    assert "newsletter " not in answer.text  # no hint for a command line


def test_ten_thousand_clauses_are_refused_before_they_are_read(app: App, editor: Caller) -> None:
    """By the server's own bound on a head, by the length of a filter, or by the size of what it names."""
    url = httpx.URL(editor.site.base_url)
    connection = http.client.HTTPConnection(url.host, url.port)
    text = quote(" or ".join(["tag 'a'"] * 10_000))
    connection.request(
        "GET", f"/api/v1/subscribers?segment={text}", headers={"Authorization": f"Bearer {editor.token}"}
    )
    assert connection.getresponse().status == 400
    connection.close()
    assert editor("GET", "/subscribers", params={"segment": "tag 'a' or " * 730 + "tag 'a'"}).status_code == 422
    with app.database.write() as session:
        segments.create(session, "many", " or ".join(["tag 'a'"] * 400), at=NOW)
    named = " or ".join(["segment 'many'"] * 25)
    assert kind(editor("GET", "/subscribers", params={"segment": named})) == "segment"
    assert editor("GET", "/subscribers", params={"segment": "many"}).json() == []


def test_paging_repeats_and_loses_nobody_while_people_come_and_go(app: App, editor: Caller) -> None:
    first = [put(app, f"a{number}@example.org", "members") for number in range(10)]
    answer = editor("GET", "/subscribers", params={"limit": 4, "list": "members"})
    seen = [each["id"] for each in answer.json()]
    with app.database.write() as session:
        session.delete(session.get_one(Subscriber, first[1]))
        session.delete(session.get_one(Subscriber, first[3]))  # the one that the cursor names
    put(app, "a-new@example.org", "members")
    while "next" in answer.links:
        url = httpx.URL(answer.links["next"]["url"])
        answer = editor("GET", url.path.removeprefix("/api/v1"), params=url.params)
        seen += [each["id"] for each in answer.json()]
    assert len(seen) == len(set(seen))
    assert set(first) - set(seen) == set()
    assert seen[-1] > first[-1]


def test_a_cursor_is_for_one_question_and_one_token(app: App, editor: Caller) -> None:
    for number in range(3):
        put(app, f"a{number}@example.org", "members")
    answer = editor("GET", "/subscribers", params={"limit": 1, "list": "members"})
    cursor = httpx.URL(answer.links["next"]["url"]).params["cursor"]
    assert editor("GET", "/subscribers", params={"limit": 2, "list": "members", "cursor": cursor}).status_code == 200
    other = caller(app, editor.site, *READ_WRITE, name="other")
    swapped = cursor[:5] + ("A" if cursor[5] != "A" else "B") + cursor[6:]
    for who, given in (
        (editor, {"list": "events", "cursor": cursor}),
        (editor, {"cursor": cursor}),
        (other, {"list": "members", "cursor": cursor}),
        (editor, {"list": "members", "cursor": swapped}),
        (editor, {"list": "members", "cursor": "AAAA"}),
        (editor, {"list": "members", "cursor": "a" * 33}),
    ):
        refused = who("GET", "/subscribers", params=given)
        assert (refused.status_code, kind(refused)) == (422, "cursor"), given


def test_a_hundred_people_are_read_by_a_fixed_number_of_statements(app: App, editor: Caller) -> None:
    editor("GET", "/subscribers")

    def needed() -> int:
        statements: list[str] = []
        with counted(app, statements):
            assert editor("GET", "/subscribers", params={"limit": 100, "list": "members"}).status_code == 200
        return len(statements)

    put(app, "first@example.org", "members", tags=("x",))
    few = needed()
    for number in range(120):
        put(app, f"a{number}@example.org", "members", "events", tags=("x", "y"))
    assert needed() == few <= 10
