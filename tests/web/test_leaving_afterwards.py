"""What follows a leaving, by the receipt of that same answer alone: taking it back, and saying why."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from newsletter.app import App
from newsletter.web import leaving
from subscribers import consent, one_time, people, suppression
from subscribers import leaving as ending
from subscribers.errors import TokenInvalid
from subscribers.tables import (
    Basis,
    ConsentAction,
    ConsentEvent,
    LeavingReason,
    MailingList,
    OneTimeToken,
    Subscriber,
    Suppression,
    WhyLeft,
)
from subscribers.tokens import unsubscribe_token

States = Callable[[], dict[str, str]]
RECEIPT = re.compile(r'name="receipt" value="([^"]+)"')
PAGE = re.compile(r'name="page" value="([^"]+)"')


@pytest.fixture
def clock(app: App) -> Callable[[timedelta], None]:
    """Return a function that puts the clock forward."""
    start, gone = app.now(), timedelta()

    def forward(by: timedelta) -> None:
        nonlocal gone
        gone += by

    app.now = lambda: start + gone
    return forward


def leave(site: httpx.Client, member, scope: str = "list") -> str:
    answer = site.post(f"/unsubscribe/{member.token}", data={"scope": scope})
    assert answer.status_code == 200
    (receipt,) = set(RECEIPT.findall(answer.text))
    return receipt


def alike(text: str) -> str:
    """Return a page without what is drawn by lot."""
    return PAGE.sub("", RECEIPT.sub("", text))


def press(site: httpx.Client, member, page: str, scope: str = "list") -> str:
    """Press a button of an opened page, or of its answer; return the receipt of that answer."""
    answer = site.post(f"/unsubscribe/{member.token}", data={"scope": scope, "page": page})
    assert set(PAGE.findall(answer.text)) <= {page}
    return RECEIPT.findall(answer.text)[0]


def open_page(site: httpx.Client, member, kind: str = "unsubscribe") -> str:
    (page,) = set(PAGE.findall(site.get(f"/{kind}/{member.token}").text))
    return page


def undo(site: httpx.Client, member, receipt: str) -> httpx.Response:
    answer = site.post(f"/unsubscribe/{member.token}", data={"after": "undo", "receipt": receipt})
    assert answer.status_code == 200
    return answer


def explain(site: httpx.Client, member, receipt: str, **said: str) -> httpx.Response:
    return site.post(f"/unsubscribe/{member.token}", data={"after": "explain", "receipt": receipt, **said})


def lines(app: App) -> list[tuple[int, str, str]]:
    with app.database.read() as session:
        rows = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id)).all()
    return [(row.list_id, row.action.value, row.source) for row in rows]


@pytest.mark.parametrize("scope", ["list", "all"])
def test_undo_restores_exactly_what_that_post_withdrew(app: App, site, member, states: States, scope: str) -> None:
    before = states()
    assert "Everything is as it was" in undo(site, member, leave(site, member, scope)).text
    assert states() == before
    undone = [line for line in lines(app) if line[1] == "undone"]
    assert len(undone) == (1 if scope == "list" else 2)
    assert {source for _, _, source in undone} == {leaving.UNDO_SOURCE}
    with app.database.read() as session:
        assert session.scalars(select(Suppression).where(Suppression.lifted_at.is_(None))).all() == []


def test_undo_of_leaving_all_leaves_alone_what_was_left_before(site, member, states: States) -> None:
    leave(site, member)
    undo(site, member, leave(site, member, "all"))
    assert states() == {"members": "unsubscribed", "partners": "subscribed"}


def test_undo_lifts_no_other_suppression(app: App, site, member, states: States) -> None:
    with app.database.write() as session:
        person = session.get_one(Subscriber, member.id)
        for reason, list_id in ((suppression.COMPLAINT, None), (suppression.UNSUBSCRIBED, member.list_id)):
            suppression.suppress(
                session,
                address_hash=person.address_hash,
                reason=reason,
                list_id=list_id,
                evidence="before",
                at=app.now(),
            )
    undo(site, member, leave(site, member, "all"))
    with app.database.read() as session:
        held = session.scalars(select(Suppression).where(Suppression.lifted_at.is_(None))).all()
        assert sorted(entry.reason for entry in held) == [suppression.COMPLAINT, suppression.UNSUBSCRIBED]
        assert {entry.evidence for entry in held} == {"before"}


def test_an_all_lists_suppression_of_before_is_not_lifted_by_undo(app: App, site, member) -> None:
    leave(site, member, "all")
    second = leave(site, member, "all")
    assert "Nothing was put back" in undo(site, member, second).text
    with app.database.read() as session:
        assert session.scalar(select(Suppression.lifted_at)) is None


def test_a_repeated_post_gives_a_page_of_the_same_form_whose_undo_restores_nothing(site, member, states) -> None:
    first, second = (site.post(f"/unsubscribe/{member.token}", data={"scope": "list"}) for _ in range(2))
    assert alike(first.text) == alike(second.text)
    (receipt,) = set(RECEIPT.findall(second.text))
    assert "Nothing was put back" in undo(site, member, receipt).text
    assert states()["members"] == "unsubscribed"


def test_somebody_deleted_gets_the_same_page(site, member, forget: Callable[[int], None]) -> None:
    known = site.post(f"/unsubscribe/{member.token}", data={"scope": "list"}).text
    forget(member.id)
    gone = site.post(f"/unsubscribe/{member.token}", data={"scope": "list"}).text
    assert alike(known) == alike(gone)
    (receipt,) = set(RECEIPT.findall(gone))
    assert "Nothing was put back" in undo(site, member, receipt).text
    assert "could not keep" in explain(site, member, receipt, why="other").text


def test_what_was_decided_since_stands(app: App, site, member, states: States) -> None:
    """Somebody takes the person off again between the POST and its undo: the undo must not take that back."""
    receipt = leave(site, member)
    with app.database.write() as session:
        act = {"source": "command line", "actor": "admin", "evidence": "telephone", "at": app.now()}
        person, members = session.get_one(Subscriber, member.id), session.get_one(MailingList, member.list_id)
        consent.grant(session, person, members, basis=Basis.CONSENT, **act)
        consent.withdraw(session, person, members, **act)
    assert "Nothing was put back" in undo(site, member, receipt).text
    assert states()["members"] == "unsubscribed"
    assert "undone" not in [action for _, action, _ in lines(app)]


def test_undo_works_for_a_quarter_of_an_hour_and_once(site, member, states: States, clock) -> None:
    receipt = leave(site, member)
    clock(timedelta(minutes=14))
    assert "Everything is as it was" in undo(site, member, receipt).text
    clock(one_time.PRESSED_AGAIN)
    assert "Nothing was put back" in undo(site, member, receipt).text
    late = leave(site, member)
    clock(timedelta(minutes=15))
    assert "Nothing was put back" in undo(site, member, late).text
    assert states()["members"] == "unsubscribed"


@pytest.mark.parametrize("kind", ["unsubscribe", "preferences"])
def test_undo_takes_back_all_that_the_buttons_of_one_page_did(site, member, states: States, kind: str) -> None:
    """This kind, then everything, then undo: the page says that everything is as it was, so it must be."""
    before, page = states(), open_page(site, member, kind)
    press(site, member, page)
    last = press(site, member, page, "all")
    assert set(states().values()) == {"unsubscribed"}
    assert "Everything is as it was" in undo(site, member, last).text
    assert states() == before


@pytest.mark.parametrize("scope", ["list", "all"])
def test_a_double_click_leaves_once_and_can_be_taken_back(app: App, site, member, states: States, scope: str) -> None:
    """A browser shows the answer to the second press alone."""
    before, page = states(), open_page(site, member)
    first, second = (press(site, member, page, scope) for _ in range(2))
    assert first != second
    explain(site, member, second, why="other")
    assert "Everything is as it was" in undo(site, member, second).text
    assert "Everything is as it was" in undo(site, member, second).text  # pressed twice as well
    assert states() == before
    assert len(lines(app)) == 2 + 2 * (1 if scope == "list" else 2)
    with app.database.read() as session:
        assert session.scalars(select(Suppression).where(Suppression.lifted_at.is_(None))).all() == []


def test_leaving_again_by_an_old_page_after_an_undo_can_be_taken_back_too(site, member, states: States) -> None:
    """The button "back" of a browser brings the page with its word."""
    page = open_page(site, member)
    undo(site, member, press(site, member, page))
    again = press(site, member, page)
    assert states()["members"] == "unsubscribed"
    undo(site, member, again)
    assert states()["members"] == "subscribed"


def test_another_page_and_a_word_that_is_none_take_back_nothing_of_it(app: App, site, member, states: States) -> None:
    page = open_page(site, member)
    press(site, member, page)
    with app.database.read() as session:
        kept = str(session.scalars(select(OneTimeToken.payload)).one()["page"])
    assert page not in kept
    for other in (open_page(site, member), kept, page.swapcase(), "", "x" * 5000):
        answer = site.post(f"/unsubscribe/{member.token}", data={"scope": "list", "page": other})
        assert "Nothing was put back" in undo(site, member, RECEIPT.findall(answer.text)[0]).text
    assert states()["members"] == "unsubscribed"


def test_two_undos_at_once_are_one(app: App, serve, member, states: States) -> None:
    with serve(app) as address, httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        receipt = leave(client, member)
        with ThreadPoolExecutor(8) as threads:
            pages = list(threads.map(lambda _n: undo(client, member, receipt).text, range(8)))
    assert all("Everything is as it was" in page for page in pages)
    assert [action for _, action, _ in lines(app)].count("undone") == 1
    assert states()["members"] == "subscribed"


def test_a_receipt_is_good_for_its_own_person_and_purpose_only(app: App, site, member, states: States) -> None:
    receipt = leave(site, member)
    with app.database.write() as session:
        other = people.add(session, pepper=app.keys.pepper, address="other@example.org", at=app.now())
        session.flush()
        token = unsubscribe_token(app.keys.links.current, other.token_id, member.list_id)
        foreign = one_time.mint(
            session, "settings", now=app.now(), lifetime=timedelta(hours=1), subscriber_id=member.id,
            payload={"events": [1], "suppressions": [], "about": 1},
        )  # fmt: skip
    answer = site.post(f"/unsubscribe/{token}", data={"after": "undo", "receipt": receipt})
    assert "Nothing was put back" in answer.text
    assert "Nothing was put back" in undo(site, member, foreign).text
    assert "could not keep" in explain(site, member, foreign, why="other").text
    with app.database.read() as session, pytest.raises(TokenInvalid):
        one_time.look(session, "settings", receipt, now=app.now())
    assert states()["members"] == "unsubscribed"
    assert "Everything is as it was" in undo(site, member, receipt).text  # nothing of that has spent it


def test_a_receipt_with_one_character_changed_restores_nothing(site, member, states: States) -> None:
    receipt = leave(site, member)
    for place in range(len(receipt)):
        bent = receipt[:place] + ("A" if receipt[place] != "A" else "B") + receipt[place + 1 :]
        assert "Nothing was put back" in undo(site, member, bent).text
    assert states()["members"] == "unsubscribed"


def test_a_mail_programs_click_gets_no_receipt(app: App, site, member) -> None:
    answer = site.post(f"/unsubscribe/{member.token}", data={"List-Unsubscribe": "One-Click"})
    assert "receipt" not in answer.text
    with app.database.read() as session:
        assert session.scalar(select(OneTimeToken.id)) is None


def test_the_ledger_cannot_be_made_to_grow_without_end(app: App, site, member, clock) -> None:
    for _ in range(leaving.MOST_UNDOS_A_DAY + 3):
        clock(timedelta(seconds=1))
        undo(site, member, leave(site, member))
    assert [action for _, action, _ in lines(app)].count("undone") == leaving.MOST_UNDOS_A_DAY
    clock(timedelta(days=1))
    assert [action for _, action, _ in lines(app)][-1] == "withdrawn"


def test_a_reason_is_kept_with_the_leaving_and_the_last_word_counts(app: App, site, member) -> None:
    receipt = leave(site, member)
    assert "Thank you" in explain(site, member, receipt, why="too many").text
    said = "Too many\r\n\u202eemails\x00 " + "x" * 600
    assert "Thank you" in explain(site, member, receipt, why="seen by others", words=said).text
    with app.database.read() as session:
        (kept,) = session.scalars(select(LeavingReason)).all()
        event = session.get_one(ConsentEvent, kept.event_id)
    assert (kept.choice, event.action, event.list_id) == (
        WhyLeft.SEEN_BY_OTHERS,
        ConsentAction.WITHDRAWN,
        member.list_id,
    )
    assert kept.words.startswith("Too many emails x")
    assert len(kept.words) == leaving.LONGEST_WORDS


def test_a_reason_given_after_leaving_the_rest_is_kept_too(app: App, site, member) -> None:
    leave(site, member)
    with app.database.write() as session:
        consent.withdraw(
            session, session.get_one(Subscriber, member.id), session.get_one(MailingList, member.other_list_id),
            source="t", actor="t", evidence="t", at=app.now(),
        )  # fmt: skip
    receipt = leave(site, member, "all")  # there was no list left to leave, only the wish to be left alone
    assert "Thank you" in explain(site, member, receipt, words="enough").text


@pytest.mark.parametrize("said", [{}, {"why": "nonsense"}, {"words": " \u202e "}])
def test_nothing_said_is_not_kept(app: App, site, member, said: dict[str, str]) -> None:
    assert "could not keep" in explain(site, member, leave(site, member), **said).text
    with app.database.read() as session:
        assert session.scalar(select(LeavingReason.id)) is None


def test_a_reason_goes_with_an_undo_and_with_an_erasure_and_stays_with_a_merge(app: App, site, member) -> None:
    receipt = leave(site, member)
    explain(site, member, receipt, why="other", words="wrong button")
    undo(site, member, receipt)
    with app.database.read() as session:
        assert session.scalar(select(LeavingReason.id)) is None
    explain(site, member, leave(site, member), why="other", words="still wrong")
    with app.database.write() as session:
        kept = people.add(session, pepper=app.keys.pepper, address="b@example.org", at=app.now())
        ending.merge(session, kept, session.get_one(Subscriber, member.id), actor="tester", at=app.now())
        assert session.scalar(select(LeavingReason.subscriber_id)) == kept.id
        ending.erase(session, kept, evidence="letter", at=app.now())
    with app.database.read() as session:
        assert session.scalar(select(LeavingReason.id)) is None


def test_what_follows_a_leaving_needs_a_known_word(site, member) -> None:
    receipt = leave(site, member)
    answer = site.post(f"/unsubscribe/{member.token}", data={"after": "erase", "receipt": receipt})
    assert answer.status_code == 400


def test_the_pages_after_leaving_show_nobody(site, member, secret_words: tuple[str, ...]) -> None:
    receipt = leave(site, member)
    pages = [
        site.post(f"/unsubscribe/{member.token}", data={"scope": "all"}),
        explain(site, member, receipt, why="other", words="Amina writes"),
        undo(site, member, receipt),
        undo(site, member, receipt),
    ]
    for page in pages:
        text = page.text.replace("mailing lists", "")
        assert not [word for word in secret_words if word in text or word in str(page.headers)]
        assert "set-cookie" not in page.headers
