"""The page and the POST behind the unsubscribe link."""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import func, select

from newsletter.app import App
from newsletter.keys import LINKS, load_keys, rotate_key
from newsletter.web import site as web_site
from newsletter.web.leaving import leave_together
from subscribers import consent, lists, people
from subscribers.leaving import merge
from subscribers.tables import (
    Basis,
    ConsentEvent,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
)
from subscribers.tokens import ALL_LISTS, UnsubscribeClaim, unsubscribe_token

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
PAGE = re.compile(r'name="page" value="[^"]+"')  # drawn by lot
States = Callable[[], dict[str, str]]


def link(member: object) -> str:
    return f"/unsubscribe/{member.token}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_opening_the_link_changes_nothing(site: httpx.Client, member, states: States, method: str) -> None:
    before = states()
    for _ in range(3):
        assert site.request(method, link(member)).status_code == 200
    assert states() == before == {"members": "subscribed", "partners": "subscribed"}


def test_a_page_reached_by_a_link_shows_nobody(site: httpx.Client, member, secret_words: tuple[str, ...]) -> None:
    pages = [site.get(link(member)), site.get(f"/preferences/{member.token}"), site.post(link(member), data=ONE_CLICK)]
    for page in pages:
        text = page.text.replace("mailing lists", "")
        assert not [word for word in secret_words if word in text or word in str(page.headers)]


@pytest.fixture
def merged(app: App, member) -> States:
    """The member's record is merged into a second one, and that into a third; tell how the last stands."""
    with app.database.write() as session:
        for address in ("second@example.org", "third@example.org"):
            kept = people.add(session, pepper=app.keys.pepper, address=address, at=app.now())
            gone = session.scalars(select(Subscriber).where(Subscriber.id != kept.id)).one()
            merge(session, kept, gone, actor="tester", at=app.now())
            session.flush()

    def look() -> dict[str, str]:
        with app.database.read() as session:
            rows = session.execute(select(MailingList.name, Subscription.state).join(MailingList))
            return {name: state.value for name, state in rows}

    return look


@pytest.mark.parametrize(
    ("asked", "left"),
    [({"scope": "list"}, {"members"}), (ONE_CLICK, {"members"}), ({"scope": "all"}, {"members", "partners"})],
)
def test_the_link_of_a_record_that_was_merged_into_another_works(site, member, merged: States, asked, left) -> None:
    """Else somebody reads that they are unsubscribed, and is mailed on at their other address."""
    assert set(merged().values()) == {"subscribed"}
    assert site.post(link(member), data=asked).status_code == 200
    assert {name for name, state in merged().items() if state == "unsubscribed"} == left


@pytest.mark.parametrize("asked", [{"scope": "list"}, ONE_CLICK])
def test_the_link_of_a_record_that_was_removed_works_for_whoever_has_the_address_again(
    app: App, site, member, forget, asked: dict[str, str]
) -> None:
    """A spreadsheet brought them back: the link of an older mail must not say that they left while they stay."""
    forget(member.id)
    with app.database.write() as session:
        again, other = (
            people.add(session, pepper=app.keys.pepper, address=f"{name}@example.org", at=app.now())
            for name in ("amina", "other")
        )
        session.flush()
        act = {"basis": Basis.CONSENT, "source": "t", "actor": "t", "evidence": "form", "at": app.now()}
        for one in (again, other):
            consent.grant(session, one, session.get_one(MailingList, member.list_id), **act)
        numbers = [again.id, other.id]
    assert site.post(link(member), data=asked).status_code == 200
    with app.database.read() as session:
        found = [session.get_one(Subscription, (number, member.list_id)).state for number in numbers]
    assert [state.value for state in found] == ["unsubscribed", "subscribed"]


def test_many_clicks_at_once_are_honoured_for_merged_records_too(app: App, member, merged: States) -> None:
    claims = [UnsubscribeClaim(token, member.list_id) for token in (member.token_id, b"x" * 16, member.token_id)]
    with app.database.write() as session:
        leave_together(session, claims, app.now())
    assert merged() == {"members": "unsubscribed", "partners": "subscribed"}
    with app.database.read() as session:
        lines = select(func.count()).where(ConsentEvent.action == "withdrawn")
        assert session.scalar(lines) == 1


def test_the_page_is_the_same_for_somebody_known_and_somebody_deleted(
    site: httpx.Client, member, forget: Callable[[int], None]
) -> None:
    known = PAGE.sub("", site.get(link(member)).text)
    forget(member.id)
    assert PAGE.sub("", site.get(link(member)).text) == known


@pytest.mark.parametrize("multipart", [False, True], ids=["urlencoded", "multipart"])
def test_one_click_leaves_the_list_and_only_it(site: httpx.Client, member, states: States, multipart: bool) -> None:
    if multipart:
        answer = site.post(link(member), files={"List-Unsubscribe": (None, "One-Click")})
    else:
        answer = site.post(link(member), data=ONE_CLICK)
    assert answer.status_code == 200
    assert states() == {"members": "unsubscribed", "partners": "subscribed"}


def test_one_click_needs_no_cookie_and_gives_none_and_does_not_redirect(site: httpx.Client, member) -> None:
    answer = site.post(link(member), data=ONE_CLICK)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "https://mail.google.com", "sec-fetch-site": "cross-site"},
        {"referer": "https://outlook.office.com/mail/", "cookie": "session=somebody-else"},
        {"authorization": "Basic eDp5", "user-agent": ""},
    ],
    ids=["no origin", "null origin", "foreign origin", "referer and cookie", "credentials"],
)
def test_one_click_is_honoured_wherever_it_comes_from(site, member, states: States, headers: dict[str, str]) -> None:
    answer = site.post(link(member), data=ONE_CLICK, headers=headers)
    assert (answer.status_code, answer.history) == (200, [])
    assert not {"set-cookie", "location", "www-authenticate", "refresh"} & set(answer.headers)
    assert states()["members"] == "unsubscribed"


def test_a_post_that_names_both_encodings_of_one_click_in_any_case_is_one_click(site, member, states: States) -> None:
    body = b"list-unsubscribe=ignored&List-Unsubscribe=one-click"
    kind = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
    assert site.post(link(member), content=body, headers=kind).status_code == 200
    assert states()["members"] == "unsubscribed"


def test_one_click_is_not_limited_by_where_it_comes_from(app: App, serve, member) -> None:
    """A mail service posts for all of its members from few machines: three hundred of one, all honoured."""
    with app.database.write() as session:
        tokens = []
        for number in range(300):
            person = people.add(session, pepper=app.keys.pepper, address=f"p{number}@example.org", at=app.now())
            consent.grant(
                session,
                person,
                session.get_one(MailingList, member.list_id),
                basis=Basis.CONSENT,
                source="test",
                actor="tester",
                evidence="form",
                at=app.now(),
            )
            tokens.append(unsubscribe_token(app.keys.links.current, person.token_id, member.list_id))
    with serve(app) as address, httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        assert {client.post(f"/unsubscribe/{token}", data=ONE_CLICK).status_code for token in tokens} == {200}
    with app.database.read() as session:
        left = select(func.count()).where(Subscription.state == SubscriptionState.UNSUBSCRIBED)
        assert session.scalar(left) == 300


def test_it_works_after_the_list_is_archived(app: App, site, member, states: States) -> None:
    with app.database.write() as session:
        lists.archive(session, session.get_one(MailingList, member.list_id), at=app.now())
    assert site.post(link(member), data=ONE_CLICK).status_code == 200
    assert states()["members"] == "unsubscribed"


def test_one_click_twice_is_one_line_in_the_ledger(app: App, site: httpx.Client, member) -> None:
    bodies = {site.post(link(member), data=ONE_CLICK).text for _ in range(3)}
    assert len(bodies) == 1
    with app.database.read() as session:
        lines = session.scalars(select(ConsentEvent).where(ConsentEvent.action == "withdrawn")).all()
    assert [(line.list_id, line.actor) for line in lines] == [(member.list_id, "subscriber")]
    assert "RFC 8058" in lines[0].source


def test_the_answer_comes_after_the_commit(app: App, site: httpx.Client, member) -> None:
    site.post(link(member), data=ONE_CLICK)
    other = sqlite3.connect(app.workspace.database)  # a connection of its own sees only what is committed
    states = other.execute("SELECT state FROM subscriptions WHERE list_id = ?", (member.list_id,)).fetchall()
    other.close()
    assert states == [("unsubscribed",)]


def test_the_button_leaves_the_list(site: httpx.Client, member, states: States) -> None:
    answer = site.post(link(member), data={"scope": "list"})
    assert "You are unsubscribed" in answer.text
    assert states() == {"members": "unsubscribed", "partners": "subscribed"}


def test_the_second_button_leaves_everything_and_is_remembered(app: App, site, member, states: States) -> None:
    assert site.post(link(member), data={"scope": "all"}).status_code == 200
    assert states() == {"members": "unsubscribed", "partners": "unsubscribed"}
    with app.database.read() as session:
        assert session.scalar(select(func.count(Suppression.id)).where(Suppression.lifted_at.is_(None))) == 1


def test_a_token_for_every_list_leaves_every_list(app: App, site, member, states: States) -> None:
    token = unsubscribe_token(app.keys.links.current, member.token_id, ALL_LISTS)
    assert site.post(f"/unsubscribe/{token}", data=ONE_CLICK).status_code == 200
    assert set(states().values()) == {"unsubscribed"}


def test_it_still_answers_when_the_person_is_deleted(site, member, forget: Callable[[int], None]) -> None:
    alive = site.post(link(member), data=ONE_CLICK)
    forget(member.id)
    answer = site.post(link(member), data=ONE_CLICK)
    assert (answer.status_code, answer.text) == (200, alive.text)


def test_it_still_answers_when_the_list_is_gone(app: App, site, member) -> None:
    token = unsubscribe_token(app.keys.links.current, member.token_id, 987_654)
    assert site.post(f"/unsubscribe/{token}", data=ONE_CLICK).status_code == 200


def test_links_from_before_and_after_a_rotation_work_without_a_restart(app: App, site, member, states: States) -> None:
    rotate_key(app.workspace.secrets, LINKS)
    newer = unsubscribe_token(load_keys(app.workspace.secrets).links.current, member.token_id, member.other_list_id)
    assert site.post(link(member), data=ONE_CLICK).status_code == 200
    assert site.post(f"/unsubscribe/{newer}", data=ONE_CLICK).status_code == 200
    assert set(states().values()) == {"unsubscribed"}


def _bent(token: str) -> list[str]:
    raw = base64.urlsafe_b64decode(token[3:] + "=" * (-len(token[3:]) % 4))
    flipped = [raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :] for i in range(len(raw))]
    return ["v1." + base64.urlsafe_b64encode(r).rstrip(b"=").decode() for r in flipped]


def test_a_token_with_one_bit_changed_is_refused_everywhere_alike(site, member, states: States) -> None:
    wrong = [*_bent(member.token), "x", "v1.", "v2" + member.token[2:], member.token + "A", "v1." + "A" * 200]
    pages = {site.get("/nothing-here").text}
    for token in wrong:
        for answer in (
            site.get(f"/unsubscribe/{token}"),
            site.post(f"/unsubscribe/{token}", data=ONE_CLICK),
            site.get(f"/preferences/{token}"),
        ):
            assert answer.status_code == 404
            pages.add(answer.text)
    assert len(pages) == 1
    assert set(states().values()) == {"subscribed"}


@pytest.mark.parametrize("body", [{}, {"List-Unsubscribe": "Maybe"}, {"scope": "everything"}])
def test_a_post_that_asks_for_nothing_known_changes_nothing(site, member, states: States, body) -> None:
    answer = site.post(link(member), data=body)
    assert answer.status_code == 400
    assert "Nothing has changed" in answer.text
    assert set(states().values()) == {"subscribed"}


def test_a_body_that_is_too_large_is_refused(site, member, states: States) -> None:
    answer = site.post(link(member), data={"scope": "list", "more": "x" * 100_000})
    assert answer.status_code == 413
    assert set(states().values()) == {"subscribed"}


def test_a_body_with_too_many_fields_or_a_broken_one_is_refused(site, member, states: States) -> None:
    many = {f"f{n}": "x" for n in range(100)} | ONE_CLICK
    assert site.post(link(member), files={k: (None, v) for k, v in many.items()}).status_code == 400
    kind = {"content-type": "multipart/form-data"}
    assert site.post(link(member), content=b"--x\r\nnonsense", headers=kind).status_code == 400
    assert set(states().values()) == {"subscribed"}


def test_a_database_that_stays_locked_gives_503_and_never_a_false_200(
    app: App, member, serve, states: States, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subscribers.db.BUSY_TIMEOUT_MS", 300)
    fresh = App(workspace=app.workspace, config=app.config, actor="tester", now=app.now)
    holder = sqlite3.connect(app.workspace.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with serve(fresh) as address:
            answer = httpx.post(address + link(member), data=ONE_CLICK, trust_env=False)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "nothing has changed" in answer.text
            holder.execute("ROLLBACK")
            assert httpx.post(address + link(member), data=ONE_CLICK, trust_env=False).status_code == 200
    finally:
        holder.close()
        fresh.close()
    assert states()["members"] == "unsubscribed"


def test_a_full_queue_of_writers_gives_503(app: App, member, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_site, "WRITE_WAIT_SECONDS", 0)
    with serve(app) as address:
        assert httpx.post(address + link(member), data=ONE_CLICK, trust_env=False).status_code in (200, 503)


def test_a_fault_shows_and_logs_nobody(
    app: App, member, serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, secret_words
) -> None:
    def broken(*_a: object, **_k: object) -> None:
        raise RuntimeError("amina@example.org has no row")

    monkeypatch.setattr("newsletter.web.leaving.leave_together", broken)
    with serve(app) as address:
        answer = httpx.post(address + link(member), data=ONE_CLICK, trust_env=False)
    assert answer.status_code == 500
    assert "content-security-policy" in answer.headers
    said = answer.text + caplog.text
    assert "RuntimeError" in caplog.text
    assert not [word for word in (*secret_words, member.token) if word in said]
