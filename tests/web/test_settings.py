"""The settings of one person: opened once by a mailed link, saved by the session of the page, told in words."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import httpx
import pytest
from sqlalchemy import func, select

from newsletter.app import App
from newsletter.web import settings_pages
from subscribers import consent, lists, one_time, people, suppression
from subscribers.tables import (
    ConsentEvent,
    Frequency,
    MailingList,
    OneTimeToken,
    PreferenceChange,
    Subscriber,
    Suppression,
)
from tests.web.asked_links import SESSION, Visitor, answer, link_in, mint_link, move_clock, notices
from tests.web.catalogues import write_catalogues

States = Callable[[], dict[str, str]]


@pytest.fixture
def open_list(app: App, member) -> int:
    """A list that anybody may join, beside the two that the member is on."""
    with app.database.write() as session:
        made = lists.create(session, "events", title="Events & “more”", description="What is on.", at=app.now())
        made.open = True
        return made.id


@pytest.fixture
def visitor(app: App, site: httpx.Client, member, open_list) -> Visitor:
    return Visitor(app, site, member.id)


def person(app: App, member) -> Subscriber:
    with app.database.read() as session:
        return session.get_one(Subscriber, member.id)


def changes(app: App) -> list[tuple[str, str | None, str | None, str, str]]:
    with app.database.read() as session:
        rows = session.scalars(select(PreferenceChange).order_by(PreferenceChange.id))
        return [(row.field, row.before, row.after, row.source, row.actor) for row in rows]


def ledger(app: App, list_id: int) -> list[ConsentEvent]:
    with app.database.read() as session:
        wanted = select(ConsentEvent).where(ConsentEvent.list_id == list_id).order_by(ConsentEvent.id)
        return list(session.scalars(wanted))


# -- the link


def test_a_mailed_link_opens_the_page_once(app: App, site: httpx.Client, member, secret_words) -> None:
    site.post(f"/preferences/{member.token}")
    answer(app)
    path = link_in(notices(app)[0])
    for method in ("GET", "HEAD", "GET"):  # what scanners do
        opened = site.request(method, path)
        assert opened.status_code == 200
        assert not [word for word in secret_words if word in opened.text.replace("mailing lists", "")]
    assert "Amina Yusuf" in site.post(path).text
    assert site.get(path).status_code == 404
    move_clock(app, app.now() + one_time.PRESSED_AGAIN)
    assert site.post(path).status_code == 404


def test_a_double_click_shows_the_settings_all_the_same(app: App, site: httpx.Client, member) -> None:
    """A browser shows the answer to the second press alone; a third, later, is told that the link is over."""
    path, start = mint_link(app, member.id), app.now()
    site.post(path)
    for seconds, status in ((9, 200), (10, 404)):
        move_clock(app, start + timedelta(seconds=seconds))
        pressed = site.post(path)
        assert pressed.status_code == status
        assert ("Amina Yusuf" in pressed.text) is (status == 200)


def test_the_link_and_its_page_are_over_in_time(app: App, site: httpx.Client, member) -> None:
    start, path = app.now(), mint_link(app, member.id)
    visitor = Visitor(app, site, member.id)
    move_clock(app, start + timedelta(minutes=29))
    assert visitor.save(name="A").status_code == 200
    move_clock(app, start + timedelta(minutes=30))
    assert visitor.save(name="B").status_code == 404
    move_clock(app, start + timedelta(minutes=60))
    assert site.post(path).status_code == site.get(path).status_code == 404
    assert person(app, member).name == "A"


def test_every_token_that_is_not_good_gets_the_same_page(app: App, site: httpx.Client, member) -> None:
    used, good, later = (mint_link(app, member.id) for _ in range(3))
    site.post(used)
    move_clock(app, app.now() + timedelta(minutes=1))
    session = Visitor(app, site, member.id).session
    token = good.rpartition("/")[2]
    bent = [f"/settings/{token[:n]}{'A' if token[n] != 'A' else 'B'}{token[n + 1 :]}" for n in range(len(token))]
    others = [f"/settings/{text}" for text in ("x", "A" * 4000, "%00", member.token, session)]
    answers = [site.request(method, path) for path in (used, *bent, *others) for method in ("GET", "POST")]
    move_clock(app, app.now() + timedelta(hours=1))
    answers += [site.get(later), site.post(later), site.post(good, data={"session": session, "do": "save"})]
    assert {a.status_code for a in answers} == {404}
    assert len({a.text for a in answers}) == 1


def test_a_token_of_another_purpose_opens_nothing_and_none_of_ours_opens_another_door(
    app: App, site: httpx.Client, member, states: States
) -> None:
    visitor = Visitor(app, site, member.id)
    link = mint_link(app, member.id).rpartition("/")[2]
    receipt = site.post(f"/unsubscribe/{member.token}", data={"scope": "list"}).text.split('name="receipt" value="')[1]
    receipt = receipt.partition('"')[0]
    for foreign in (link, receipt, member.token):
        assert site.post(visitor.path, data={"session": foreign, "do": "erase"}).status_code == 404
    for foreign in (link, visitor.session):
        undone = site.post(f"/unsubscribe/{member.token}", data={"after": "undo", "receipt": foreign})
        assert "Nothing was put back" in undone.text
        assert site.post(f"/unsubscribe/{foreign}", data={"scope": "all"}).status_code == 404
        assert site.post(f"/preferences/{foreign}").status_code == 404
    assert states() == {"members": "unsubscribed", "partners": "subscribed"}
    assert person(app, member)


@pytest.mark.parametrize("where", ["app", "app_on_postgresql"])
def test_of_several_posts_with_one_link_one_opens_the_page(request, serve, monkeypatch, where: str) -> None:
    monkeypatch.setattr(one_time, "PRESSED_AGAIN", timedelta(0))
    app = request.getfixturevalue(where)
    with app.database.write() as session:
        made = people.add(session, pepper=app.keys.pepper, address="amina@example.org", at=app.now())
        session.flush()
        number = made.id
    path = mint_link(app, number)
    with serve(app) as address, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _n: httpx.post(address + path, trust_env=False, timeout=30), range(8)))
    assert sorted(a.status_code for a in answers) == [200, *[404] * 7]
    with app.database.read() as session:
        opened = select(func.count()).where(OneTimeToken.purpose == settings_pages.SESSION)
        assert session.scalar(opened) == 1


def test_the_page_comes_from_no_other_site_and_sets_no_cookie(app: App, visitor: Visitor, member) -> None:
    fields = {"session": visitor.session, "do": "erase"}
    foreign = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    assert visitor.site.post(visitor.path, data=fields, headers=foreign).status_code == 400
    move_clock(app, app.now() + timedelta(minutes=1))
    assert visitor.site.post(visitor.path, data={"do": "erase"}).status_code == 404  # nothing a browser adds by itself
    assert "set-cookie" not in visitor.page.headers
    assert visitor.page.headers["cache-control"] == "no-store"
    assert person(app, member)
    ours = {"sec-fetch-site": "same-origin", "origin": "null"}
    assert visitor.site.post(visitor.path, data={**fields, "do": "back"}, headers=ours).status_code == 200


@pytest.mark.parametrize("asked", ["", "nonsense", "ERASE"])
def test_a_form_that_asks_for_nothing_known_changes_nothing(app: App, visitor: Visitor, member, asked: str) -> None:
    assert visitor.do(asked).status_code == 400
    assert visitor.do("download", **{"as": "exe"}).status_code == 400
    assert person(app, member)


# -- what is saved


def test_the_page_shows_the_address_masked_and_nothing_of_others(app: App, visitor: Visitor, member) -> None:
    assert "a***@example.org" in visitor.page.text
    for page in (visitor.page, visitor.save(), visitor.do("ask to erase"), visitor.do("leave all")):
        assert "amina@example.org" not in page.text
        assert "amina@" not in str(page.headers)


def test_each_choice_is_stored_told_and_written_down(app: App, visitor: Visitor, member) -> None:
    page = visitor.save(
        name="Amina Khan", first_name="Mina", frequency="monthly", discreet="yes", paused_until="2026-12-24"
    )
    for words in (
        "Your name is now “Amina Khan”.",
        "Our emails now greet you as “Mina”.",
        "We send you nothing before Thursday, 24 December 2026.",
        "You now get one email a month instead of each issue.",
        "Our emails to you are now discreet.",
    ):
        assert words in page.text
    after = person(app, member)
    assert (after.name, after.first_name) == ("Amina Khan", "Mina")
    assert (after.paused_until, after.frequency, after.discreet) == (date(2026, 12, 24), Frequency.MONTHLY, True)
    page = visitor.save(name="", first_name="", paused_until="")
    for words in ("We hold no name of you", "without a name", "The pause is over", "each issue", "no longer discreet"):
        assert words in page.text
    assert (person(app, member).name, person(app, member).paused_until) == (None, None)
    written = changes(app)
    assert len(written) == 10
    assert {(source, actor) for *_, source, actor in written} == {("settings page", "subscriber")}
    assert ("frequency", "each", "monthly", "settings page", "subscriber") in written
    assert ("discreet", "yes", "no", "settings page", "subscriber") in written


def test_a_form_that_changes_nothing_writes_nothing(app: App, visitor: Visitor, states: States) -> None:
    before = states()
    page = visitor.save()
    assert "Saved:" not in page.text
    assert changes(app) == []
    assert states() == before


@pytest.mark.parametrize("day", ["2026-11-02", "2025-01-01", "2027-12-01", "tomorrow", "24.13.2026", "x" * 999])
def test_a_pause_that_makes_no_sense_saves_nothing_and_shows_what_was_typed(
    app: App, visitor: Visitor, member, open_list, states: States, day: str
) -> None:
    page = visitor.save(paused_until=day, name="New Name", list=[str(open_list)], frequency="monthly", discreet="yes")
    assert page.status_code == 422
    assert re.findall(r'value="([^"]*)" checked', page.text) == [str(open_list), "monthly", "yes"]
    assert "Nothing was saved yet" in page.text
    assert 'aria-invalid="true"' in page.text
    assert 'value="New Name"' in page.text
    assert person(app, member).name == "Amina Yusuf"
    assert states() == {"members": "subscribed", "partners": "subscribed"}


def test_a_name_that_is_too_long_is_marked(visitor: Visitor) -> None:
    page = visitor.save(name="n" * 201, first_name="f" * 101)
    assert page.status_code == 422
    assert page.text.count('aria-invalid="true"') == 2


def test_a_pause_that_is_over_is_not_shown_and_not_told_as_a_change(app: App, site, member) -> None:
    with app.database.write() as session:
        session.get_one(Subscriber, member.id).paused_until = date(2026, 10, 1)
    visitor = Visitor(app, site, member.id)
    assert "2026-10-01" not in visitor.page.text
    assert "Saved:" not in visitor.save().text


def test_hostile_names_are_words_on_the_page(visitor: Visitor) -> None:
    hostile = '"><script>alert(1)</script>{{ 7*7 }}%(x)s'
    page = visitor.save(name=hostile)
    assert "<script>alert" not in page.text
    assert html.escape(hostile) in page.text.replace("&#34;", "&quot;")


# -- lists


def test_joining_an_open_list_keeps_the_words_that_were_agreed_to(app: App, visitor: Visitor, open_list) -> None:
    page = visitor.save(list=["1", "2", str(open_list)])
    assert "You are now on the list “Events &amp; “more””." in page.text
    (line,) = ledger(app, open_list)
    assert (
        line.wording == "I would like to get “Events & “more”” from Example Network by email. I can stop at any time."
    )
    assert html.escape(line.wording) in page.text
    assert line.wording_hash == consent.hash_wording(line.wording)
    assert (line.action, line.basis, line.actor, line.source) == ("granted", "consent", "subscriber", "settings page")


def test_leaving_withdraws_and_an_open_list_can_be_joined_again(app: App, visitor: Visitor, open_list, states) -> None:
    visitor.save(list=["1", "2", str(open_list)])
    page = visitor.save(list=["1"])
    assert states() == {"members": "subscribed", "partners": "unsubscribed", "events": "unsubscribed"}
    assert "You have left the list “Partners”." in page.text
    assert "You left it on Monday, 2 November 2026." in page.text
    assert "Partners”" not in visitor.save().text  # it is not open: whoever has left does not see it
    visitor.save(list=["1", str(open_list)])
    assert states()["events"] == "subscribed"


def test_a_list_that_is_not_open_cannot_be_joined_by_any_form(app: App, visitor: Visitor, states: States) -> None:
    with app.database.write() as session:
        closed = lists.create(session, "inner-circle", title="Inner circle", at=app.now())
        old = lists.create(session, "old", title="Old", at=app.now())
        old.open, old.archived_at = True, app.now()
        numbers = [str(closed.id), str(old.id)]
    assert "Inner circle" not in visitor.page.text
    page = visitor.save(list=["1", "2", *numbers, "999", "x"], shown=f"1,2,{','.join(numbers)},999,x")
    assert page.status_code == 200
    assert states() == {"members": "subscribed", "partners": "subscribed"}


def test_a_list_that_the_form_did_not_show_is_left_alone(app: App, visitor: Visitor, states: States) -> None:
    visitor.save(list=[], shown="2")
    assert states() == {"members": "subscribed", "partners": "unsubscribed"}
    visitor.do("save", frequency="each")
    assert states()["members"] == "subscribed"


def test_joining_ends_the_own_wish_to_get_nothing_and_no_other_suppression(
    app: App, visitor: Visitor, member, open_list, states: States
) -> None:
    assert "You have left every list" in visitor.do("leave all").text
    assert set(states().values()) == {"unsubscribed"}
    visitor.page = visitor.do("back")
    assert "You are now on the list" in visitor.save(list=[str(open_list)]).text
    with app.database.read() as session:
        (entry,) = session.scalars(select(Suppression)).all()
    assert (entry.lifted_by, entry.reason) == ("subscriber", suppression.UNSUBSCRIBED)
    assert states() == {"members": "unsubscribed", "partners": "unsubscribed", "events": "subscribed"}


@pytest.mark.parametrize("reason", [suppression.COMPLAINT, suppression.HARD_BOUNCE, suppression.BY_HAND])
def test_nobody_joins_while_another_suppression_stands(
    app: App, visitor: Visitor, member, open_list, states: States, reason: str
) -> None:
    with app.database.write() as session:
        digest = session.get_one(Subscriber, member.id).address_hash
        suppression.suppress(session, address_hash=digest, reason=reason, evidence="x", at=app.now())
    page = visitor.save(list=["1", "2", str(open_list)])
    assert "We could not put you on the list" in page.text
    assert "events" not in states()
    with app.database.read() as session:
        assert session.scalar(select(Suppression.lifted_at)) is None


def test_many_lists_fit_into_one_form(app: App, site, member, states: States) -> None:
    with app.database.write() as session:
        for number in range(120):
            lists.create(session, f"l{number}", title=f"List {number}", at=app.now()).open = True
    visitor = Visitor(app, site, member.id)
    with app.database.read() as session:
        everything = [str(number) for number in session.scalars(select(MailingList.id))]
    assert visitor.save(list=everything).status_code == 200
    assert len([state for state in states().values() if state == "subscribed"]) == 122


# -- language


def test_a_language_is_chosen_among_those_of_the_site(app: App, serve, member) -> None:
    write_catalogues(app.workspace.templates)
    with serve(app) as address, httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        visitor = Visitor(app, client, member.id)
        assert '<option value="ar" lang="ar">' in visitor.page.text
        page = visitor.save(language="ar")
        assert page.headers["content-language"] == "ar"
        assert person(app, member).language == "ar"
        assert Visitor(app, client, member.id).page.headers["content-language"] == "ar"


def test_where_the_site_has_one_language_there_is_nothing_to_choose(app: App, visitor: Visitor, member) -> None:
    assert 'name="language"' not in visitor.page.text
    with app.database.write() as session:
        session.get_one(Subscriber, member.id).language = "pl"
    page = visitor.save()
    assert '<option value="pl" lang="pl" selected>polski</option>' in page.text
    assert person(app, member).language == "pl"


def test_words_that_were_agreed_to_are_kept_in_the_language_in_which_they_were_shown(
    app: App, serve, member, open_list
) -> None:
    write_catalogues(app.workspace.templates)
    with app.database.write() as session:
        session.get_one(Subscriber, member.id).language = "ar"
    with serve(app) as address, httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        visitor = Visitor(app, client, member.id)
        visitor.save(list=["1", "2", str(open_list)], language="en-GB")
        shown = visitor.do("back").text
    (line,) = ledger(app, open_list)
    assert line.wording is not None
    assert not line.wording.startswith("I would like")
    assert "I would like to get" in shown


# -- own data, erasure, the end


@pytest.mark.parametrize("kind", ["json", "html"])
def test_own_data_is_a_file_that_nothing_keeps(app: App, visitor: Visitor, kind: str) -> None:
    visitor.save(frequency="monthly")
    file = visitor.do("download", **{"as": kind})
    assert file.status_code == 200
    assert file.headers["content-disposition"] == f'attachment; filename="my-data.{kind}"'
    assert file.headers["cache-control"] == "no-store"
    assert "sandbox" in file.headers["content-security-policy"]
    if kind == "json":
        held = json.loads(file.text)
        assert (held["address"], held["frequency"], held["paused_until"]) == ("amina@example.org", "monthly", None)
        assert [line["list"] for line in held["ledger"]] == ["members", "partners"]
        assert [one["field"] for one in held["choices"]] == ["frequency"]
        assert "deliveries" in held
    else:
        assert "What is held about amina@example.org" in file.text


def test_being_erased_is_asked_once_more_and_then_done_at_once(app: App, visitor: Visitor, member) -> None:
    asked = visitor.do("ask to erase")
    assert "What stays" in asked.text
    assert person(app, member)
    done = visitor.do("erase")
    assert "You have been erased" in done.text
    with app.database.read() as session:
        assert session.get(Subscriber, member.id) is None
        (entry,) = session.scalars(select(Suppression)).all()
        assert session.scalar(select(PreferenceChange.id)) is None
        assert session.scalar(select(OneTimeToken.id)) is None
    assert (entry.reason, entry.address) == (suppression.ERASED, None)
    assert visitor.do("back").status_code == 404


def test_closing_ends_the_session(app: App, visitor: Visitor, member) -> None:
    for _ in range(2):  # a double click
        assert "Your settings are closed" in visitor.do("close").text
    for what in ("save", "back", "download", "erase"):
        assert visitor.do(what, **{"as": "json"}).status_code == 404
    assert person(app, member)


def test_erasing_by_a_double_click_does_not_read_as_if_nothing_was_done(app: App, visitor: Visitor, member) -> None:
    visitor.do("erase")
    again = visitor.do("erase")
    assert again.status_code == 404
    assert "If you have pressed its button before, you have been erased" in again.text
    assert "Nothing has been changed" not in again.text


def test_saving_what_is_saved_already_says_so(app: App, visitor: Visitor, member) -> None:
    assert "Your name is now “A”." in visitor.save(name="A").text
    again = visitor.save(name="A")
    assert "Your settings are saved. They are as you see them below." in again.text
    assert "Your settings are saved" not in visitor.do("back").text
    assert len(changes(app)) == 1


def test_no_page_but_a_download_holds_the_session_of_somebody_else(app: App, site, visitor: Visitor) -> None:
    with app.database.write() as session:
        other = people.add(session, pepper=app.keys.pepper, address="other@example.org", at=app.now())
        session.flush()
        number = other.id
    theirs = Visitor(app, site, number)
    theirs.save(name="Other", list=None)
    assert theirs.session != visitor.session
    assert "Amina Yusuf" in visitor.do("back").text
    assert SESSION.findall(visitor.page.text)[0] == visitor.session


def test_a_page_that_cannot_be_shown_spends_no_link(app: App, site, member, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mint_link(app, member.id)
    monkeypatch.setattr(settings_pages, "settings_of", lambda *_a, **_k: 1 / 0)
    assert site.post(path).status_code == 500
    monkeypatch.undo()
    assert site.post(path).status_code == 200


def test_sessions_are_stored_as_digests_only(app: App, visitor: Visitor) -> None:
    with app.database.read() as session:
        assert one_time.look(session, settings_pages.SESSION, visitor.session, now=app.now())
        raw = session.connection().exec_driver_sql("SELECT * FROM one_time_tokens").fetchall()
    assert visitor.session not in str(raw)
