"""Asking for the link to one's settings: the same answer for everybody, and a link for the address on record alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes, policy

import httpx
import pytest
from sqlalchemy import event, func, select

from newsletter.app import App
from newsletter.asked.answering import Answering
from newsletter.asked.limits import LINKS_PER_HOUR_PER_NETWORK
from newsletter.asked.settings_link import LINK, LINK_FOR
from newsletter.tables import Notice, NoticeKind, WebRequest
from subscribers import consent, lists, one_time, people, suppression
from subscribers.errors import TokenInvalid
from subscribers.leaving import merge
from subscribers.tables import MailingList, OneTimeToken, Subscriber
from tests.web.asked_links import answer, link_in, move_clock, notices

ADDRESSES = ("amina@example.org", " AMINA@Example.ORG ", "nobody@example.org", "no address", "x" * 300, "é@example.org")


def volatile(headers: httpx.Headers) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in ("date",)}


def test_a_newsletters_page_asks_for_a_link_without_showing_anybody(app: App, site, member, secret_words) -> None:
    page = site.get(f"/preferences/{member.token}")
    assert "Email me a link" in page.text
    asked = site.post(f"/preferences/{member.token}")
    for one in (page, asked):
        text = one.text.replace("mailing lists", "")
        assert not [word for word in secret_words if word in text or word in str(one.headers)]
    assert (asked.status_code, "set-cookie" in asked.headers) == (200, False)
    with app.database.read() as session:
        (row,) = session.scalars(select(WebRequest)).all()
    assert row.fields == {"person": member.token_id.hex()}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_opening_either_page_asks_for_nothing(app: App, site, member, method: str) -> None:
    for path in ("/preferences", f"/preferences/{member.token}"):
        assert site.request(method, path).status_code == 200
    with app.database.read() as session:
        assert session.scalar(select(WebRequest.id)) is None


def test_everybody_gets_the_same_bytes_and_runs_the_same_statements(
    app: App, site, member, forget: Callable[[int], None]
) -> None:
    with app.database.write() as session:
        suppression.suppress(
            session, address="amina@example.org", pepper=app.keys.pepper, reason="by hand", evidence="x", at=app.now()
        )
    site.post("/preferences", data={"address": "first@example.org"})  # the first of a network begins its limit
    ran: list[str] = []
    event.listen(app.database.engine, "before_cursor_execute", lambda *a: ran.append(a[2]))
    answers, statements = [], []
    for address in ADDRESSES:
        ran.clear()
        answers.append(site.post("/preferences", data={"address": address}))
        statements.append(tuple(ran))
    ran.clear()
    known = site.post(f"/preferences/{member.token}")
    by_token = tuple(ran)
    forget(member.id)
    ran.clear()
    gone = site.post(f"/preferences/{member.token}")
    by_tokens = {by_token, tuple(ran)}
    assert {(a.status_code, a.text, str(volatile(a.headers))) for a in (*answers, known, gone)} == {
        (200, known.text, str(volatile(known.headers)))
    }
    assert (len(set(statements)), len(by_tokens)) == (1, 1)
    assert "subscribers" not in " ".join((*statements[0], *by_token))


def test_the_link_of_a_merged_record_brings_the_settings_of_the_one_that_is_kept(app: App, site, member) -> None:
    with app.database.write() as session:
        kept = people.add(session, pepper=app.keys.pepper, address="kept@example.org", at=app.now())
        merge(session, kept, session.get_one(Subscriber, member.id), actor="tester", at=app.now())
    site.post(f"/preferences/{member.token}")
    answer(app)
    assert [notice.address for notice in notices(app)] == ["kept@example.org"]


def test_typed_addresses_are_limited_by_network_and_whoever_comes_from_a_mail_is_not(app: App, site, member) -> None:
    """Nobody can have a whole list mailed, and whoever is refused reads it, whichever address they typed."""
    said = [site.post("/preferences", data={"address": f"p{n}@example.org"}) for n in range(LINKS_PER_HOUR_PER_NETWORK)]
    assert {answered.status_code for answered in said} == {200}
    refused = [site.post("/preferences", data={"address": address}) for address in ADDRESSES]
    assert {(answered.status_code, answered.text) for answered in refused} == {(429, refused[0].text)}
    assert "write to us" in refused[0].text
    assert site.post(f"/preferences/{member.token}").status_code == 200
    move_clock(app, app.now() + timedelta(hours=1))
    assert site.post("/preferences", data={"address": ADDRESSES[0]}).status_code == 200


@pytest.mark.parametrize("body", [{}, {"address": ""}, {"address": "  "}, {"other": "x"}])
def test_no_address_is_no_request(site, body: dict[str, str]) -> None:
    assert site.post("/preferences", data=body).status_code == 400


def test_a_wrong_token_asks_for_nothing(app: App, site, member) -> None:
    assert site.post(f"/preferences/{member.token[:-1]}x").status_code == 404
    with app.database.read() as session:
        assert session.scalar(select(WebRequest.id)) is None


def test_the_link_goes_to_the_address_on_record_and_only_its_digest_is_kept(app: App, site, member) -> None:
    site.post(f"/preferences/{member.token}")
    answer(app)
    (notice,) = notices(app)
    assert (notice.kind, notice.address) == (NoticeKind.LINK, "amina@example.org")
    assert notice.expires_at == app.now() + LINK_FOR
    message = message_from_bytes(notice.message, policy=policy.default)
    text = message.get_content()
    assert message["Subject"] == "The link that you asked for"
    assert message["From"].addresses[0].display_name == "Example Network"
    assert not re.search("amina|yusuf|members|partners", text, re.IGNORECASE)
    token = link_in(notice).rpartition("/")[2]
    with app.database.read() as session:
        (stored,) = session.scalars(select(OneTimeToken)).all()
        assert one_time.look(session, LINK, token, now=app.now()).subscriber_id == member.id
    assert token.encode() not in stored.digest
    assert stored.payload == {}


def test_an_address_is_found_however_it_is_written(app: App, site, member) -> None:
    site.post("/preferences", data={"address": " Amina@EXAMPLE.org"})
    answer(app)
    assert [notice.address for notice in notices(app)] == ["amina@example.org"]


@pytest.mark.parametrize("address", ADDRESSES[2:])
def test_an_address_that_is_not_known_gets_nothing(app: App, site, member, address: str) -> None:
    site.post("/preferences", data={"address": address})
    assert answer(app) == []
    assert notices(app) == []


def test_somebody_whom_mail_cannot_reach_is_no_trouble(app: App, site) -> None:
    with app.database.write() as session:
        people.add(session, pepper=app.keys.pepper, address="zoë@example.org", at=app.now())
    site.post("/preferences", data={"address": "zoë@example.org"})
    assert answer(app) == []
    assert notices(app) == []


@pytest.mark.parametrize("fields", [{"person": "zz"}, {"person": 7}, {"address": ["x"]}, {}, {"person": "00" * 16}])
def test_a_row_that_makes_no_sense_is_answered_with_silence(app: App, member, fields) -> None:
    with app.database.write() as session:
        session.add(WebRequest(kind="link", at=app.now(), network="", fields=fields))
    assert answer(app) == []
    assert notices(app) == []


def test_one_link_in_ten_minutes_and_five_a_day(app: App, site, member) -> None:
    """Ask every minute, for a day and a bit, by both ways."""
    start = app.now()
    for minute in [*range(60), *range(24 * 60 - 2, 24 * 60 + 2)]:
        move_clock(app, start + timedelta(minutes=minute))
        site.post(f"/preferences/{member.token}")
        site.post("/preferences", data={"address": "amina@example.org"})
        answer(app)
    minutes = [round((notice.created_at - start).total_seconds() / 60) for notice in notices(app)]
    assert minutes == [0, 10, 20, 30, 40, 24 * 60]


def test_who_unsubscribed_gets_a_link_and_who_complained_gets_neither_mail_nor_token(app: App, site, member) -> None:
    with app.database.write() as session:
        person = session.get_one(Subscriber, member.id)
        consent.withdraw(session, person, None, source="t", actor="t", evidence="t", at=app.now())
    site.post(f"/preferences/{member.token}")
    answer(app)
    assert len(notices(app)) == 1
    with app.database.write() as session:
        suppression.suppress(
            session, address_hash=person.address_hash, reason=suppression.COMPLAINT, evidence="x", at=app.now()
        )
    move_clock(app, app.now() + timedelta(hours=2))
    site.post(f"/preferences/{member.token}")
    answer(app)
    assert len(notices(app)) == 1
    with app.database.read() as session:
        assert session.scalar(select(func.count(OneTimeToken.id))) == 1


@pytest.mark.parametrize("discreet", [False, True])
def test_a_link_is_mailed_in_the_persons_language(app: App, site, member, discreet: bool) -> None:
    email = app.workspace.templates / "email"
    (email / "notices" / "cy").mkdir(parents=True)
    (email / "notices" / "cy" / "settings-link.txt.j2").write_text("Subject: Y ddolen\n\nDyma hi:\n\n{{ url }}\n")
    (email / "words.json").write_text('{"cy": {"discreet_notice": "Helo. Neges fer."}}')
    with app.database.write() as session:
        person = session.get_one(Subscriber, member.id)
        person.language, person.discreet = "cy", discreet
    site.post(f"/preferences/{member.token}")
    answer(app)
    mail = message_from_bytes(notices(app)[0].message, policy=policy.default)
    assert mail["Content-Language"] == "cy"
    assert "Dyma hi:" in mail.get_content()
    assert mail.get_content().startswith("Helo. Neges fer." if discreet else "Dyma hi:")


def test_a_discreet_person_gets_a_link_that_names_nobody(app: App, site, member) -> None:
    with app.database.write() as session:
        session.get_one(Subscriber, member.id).discreet = True
    site.post(f"/preferences/{member.token}")
    answer(app)
    message = message_from_bytes(notices(app)[0].message, policy=policy.default)
    assert "Example Network" not in message.as_string()
    assert message["From"].addresses[0].display_name == "Updates"
    assert message["Reply-To"] is None


def test_a_link_is_no_receipt_and_no_session(app: App, member) -> None:
    with app.database.write() as session:
        token = one_time.mint(session, LINK, now=app.now(), lifetime=LINK_FOR, subscriber_id=member.id)
        for purpose in ("left", "settings", "confirm"):
            with pytest.raises(TokenInvalid):
                one_time.look(session, purpose, token, now=app.now())


def test_a_list_that_is_archived_takes_no_link_away(app: App, site, member) -> None:
    with app.database.write() as session:
        lists.archive(session, session.get_one(MailingList, member.list_id), at=app.now())
    site.post(f"/preferences/{member.token}")
    Answering(app, lambda _words: None).once()
    with app.database.read() as session:
        assert session.scalar(select(func.count(Notice.id))) == 1
