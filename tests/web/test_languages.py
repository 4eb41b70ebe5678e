"""The site speaks the language that is asked for, and only languages that a person has reviewed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import httpx
import pytest
from babel.messages.pofile import read_po
from jinja2 import Environment
from lxml import html

from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.errors import TemplateError
from newsletter.paths import shipped_templates
from newsletter.web import notices
from newsletter.web.catalogues import is_reviewed, read_catalogues
from newsletter.web.languages import Wanted, choose, keep, languages_of, name_of, read_accepted, words_in
from newsletter.web.pages import load_pages
from tests.conftest import smallest_config
from tests.web.asked_links import SESSION
from tests.web.catalogues import ARABIC, LONG, arabic, texts, write_catalogues
from tests.web.conftest import OF_AN_ISSUE, running

OFFERED = ("en-GB", "ar", "cy")
SHIPPED = sorted((shipped_templates() / "web").glob("*.html.j2"))
LINKED = ("/preferences", "/preferences/x")
OF_ISSUES = "issue.html.j2"  # in the language of the issue, whose words have a file of their own


@pytest.fixture
def config() -> Config:
    return smallest_config(archive={"enabled": True})


@pytest.fixture
def speaking(app: App) -> Iterator[httpx.Client]:
    """The site with both test languages offered."""
    write_catalogues(app.workspace.templates)
    with running(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("", ()),
        ("cy", ("cy",)),
        ("en;q=0.5, cy-GB, ar;q=0.9", ("cy-GB", "ar", "en")),
        ("cy;q=0, *, en;q=2, ar;level=1, <x>, pl;q=0.1", ("pl",)),
        (",".join(["x"] * 30), ("x",) * 20),
    ],
)
def test_the_browsers_languages_are_read_best_first(header: str, tags: tuple[str, ...]) -> None:
    assert read_accepted(header) == tags


@pytest.mark.parametrize(
    ("wanted", "person", "chosen"),
    [
        (Wanted("cy", ("ar",)), "ar", ("cy", "cy")),
        (Wanted("CY", ()), "", ("cy", "cy")),
        (Wanted("pl", ("ar",)), "", ("ar", "")),
        (Wanted("", ("ar",)), "cy", ("cy", "")),
        (Wanted("", ("pl", "cy-GB")), "ur", ("cy", "")),
        (Wanted("", ()), "", ("cy", "")),
        (Wanted("", ("en-US",)), "", ("en-GB", "")),
    ],
)
def test_the_address_decides_then_the_person_the_browser_the_organisation(
    wanted: Wanted, person: str, chosen: tuple[str, str]
) -> None:
    assert choose(wanted, person, "cy", OFFERED) == chosen


def test_english_is_spoken_where_the_organisations_language_is_not_offered() -> None:
    assert choose(Wanted(), "", "ur", OFFERED) == ("en-GB", "")
    assert languages_of({}, "ur").offered == ("en-GB",)
    assert languages_of({}, "en-US").offered == ("en-US",)


def test_the_language_asked_for_stays_in_links_and_forms_of_our_own() -> None:
    page = (
        '<a href="../x/1">a</a><form action="../y#z"><a href="?q=1"></a><a href="?lang=ar"></a><a href="#c"></a>'
        '<a href="https://example.org/"></a><a href="mailto:a@example.org"></a><a href="//host/"></a><form action="">'
    )
    kept = keep(page, "cy")
    assert re.findall('(?:href|action)="([^"]*)"', kept) == [
        "../x/1?lang=cy",
        "../y?lang=cy#z",
        "?q=1&amp;lang=cy",
        "?lang=ar",
        "#c",
        "https://example.org/",
        "mailto:a@example.org",
        "//host/",
        "",
    ]
    assert keep(page, "") == page


def test_a_language_is_named_as_its_speakers_do() -> None:
    assert [name_of(tag) for tag in ("cy", "ar", "en-GB", "xx")] == ["Cymraeg", "العربية", "English", "xx"]


def test_dates_are_in_the_language_of_the_page(app: App) -> None:
    write_catalogues(app.workspace.templates)
    languages = languages_of(read_catalogues(app.template_folders), "en-GB")
    day = date(2026, 12, 3)
    assert words_in(languages, "en-GB")["long_day"](day) == "Thursday, 3 December 2026"  # type: ignore[operator]
    assert "ديسمبر" in words_in(languages, ARABIC)["long_day"](day)  # type: ignore[operator]


def test_a_page_is_in_the_language_asked_for_and_read_its_way(speaking: httpx.Client, member) -> None:
    answer = speaking.get(f"/unsubscribe/{member.token}?lang=ar")
    page = html.fromstring(answer.content)
    assert (page.get("lang"), page.get("dir")) == ("ar", "rtl")
    assert answer.headers["content-language"] == "ar"
    assert answer.headers["vary"] == "Accept-Language"
    assert page.findtext(".//h1") == arabic("Stop these emails?")


def test_the_browsers_language_is_spoken(speaking: httpx.Client, member) -> None:
    answer = speaking.get(f"/preferences/{member.token}", headers={"accept-language": "ar-SA,en;q=0.5"})
    assert answer.headers["content-language"] == "ar"
    assert "?lang=ar" not in answer.text  # the next page is asked for by the same browser


def test_a_page_links_to_itself_in_the_other_languages_and_never_the_answer_of_a_form(
    speaking: httpx.Client, member
) -> None:
    answer = speaking.get(f"/unsubscribe/{member.token}?from=mail&lang=ar")
    links = html.fromstring(answer.content).findall(".//footer//li/a")
    assert [(link.get("href"), link.get("hreflang")) for link in links] == [
        ("?from=mail&lang=en-GB", "en-GB"),
        ("?from=mail&lang=eo", "eo"),
    ]
    done = speaking.post(f"/unsubscribe/{member.token}?lang=ar", data={"scope": "list"})
    assert done.headers["content-language"] == "ar"
    assert "hreflang" not in done.text


def test_a_language_that_nobody_offers_and_a_hostile_one_are_english(speaking: httpx.Client, member) -> None:
    for asked in ("pl", "%3Cscript%3E", "ar%22onload", "%00", "x" * 5000, "&".join(["lang=pl"] * 100)):
        answer = speaking.get(f"/unsubscribe/{member.token}?lang={asked}")
        assert (answer.status_code, answer.headers["content-language"]) == (200, "en-GB")
        assert "onload" not in answer.text.replace("%22onload", "")
        assert answer.text.count("<script>") == 1  # ours


@pytest.mark.parametrize("head", ["", "# DRAFT: not offered\n# Reviewed-by: A. N. Other", "# Reviewed-by:"])
def test_a_catalogue_that_nobody_reviewed_is_not_offered(app: App, head: str) -> None:
    write_catalogues(app.workspace.templates, head=head)
    assert load_pages(app.template_folders, app.config.organisation, web=app.config.web).languages.offered == ("en-GB",)


def test_every_catalogue_that_ships_says_whether_it_was_reviewed() -> None:
    shipped = sorted((shipped_templates() / "web" / "translations").glob("*.po"))
    assert shipped
    for path in shipped:
        with path.open("rb") as file:
            catalog = read_po(file, abort_invalid=True)
        head = str(catalog.header_comment)
        assert is_reviewed(catalog) != ("DRAFT" in head), path
        assert [e for message in catalog if message.string for e in message.check(catalog)] == [], path


def test_a_message_with_other_placeholders_and_a_doubtful_one_are_shown_in_english(app: App) -> None:
    write_catalogues(app.workspace.templates)
    path = app.workspace.templates / "web" / "translations" / "ar.po"
    path.write_text(
        path.read_text()
        .replace("%(number)s", "%(nummer)s")
        .replace("%(nummer)s", "%(number)s", 1)
        .replace('msgid "Unsubscribe"', '#, fuzzy\nmsgid "Unsubscribe"')
    )
    translations = read_catalogues(app.template_folders)["ar"].translations
    assert translations.gettext("charity number %(number)s") == "charity number %(number)s"
    assert translations.gettext("Unsubscribe") == "Unsubscribe"
    assert translations.gettext("Email settings") == arabic("Email settings")


@pytest.mark.parametrize(("name", "content"), [("ar", b"no catalogue"), ("ar", b"\xff"), ("no language", b"")])
def test_a_catalogue_that_cannot_be_read_is_told_with_its_path(app: App, name: str, content: bytes) -> None:
    folder = app.workspace.templates / "web" / "translations"
    folder.mkdir(parents=True)
    (folder / f"{name}.po").write_bytes(content)
    with pytest.raises(TemplateError, match=f"{name}.po"):
        read_catalogues(app.template_folders)


def unmarked(source: str) -> list[str]:
    """Return the words of a template that no translator is handed, with those of its spoken attributes."""
    outside, depth, words = "", 0, []
    for _, kind, value in Environment(extensions=["jinja2.ext.i18n"]).lex(source):
        if kind == "name" and value == "trans":
            depth += 1
        elif kind == "name" and value == "endtrans":
            depth -= 1
        elif kind == "data" and depth == 0:
            outside += value
        elif kind in ("variable_begin", "block_begin"):
            outside += "\x00"  # whatever it shows is no word of the template
    for attribute in re.findall(r'(?:aria-label|alt|title|placeholder)="([^"]*)"', outside):
        words.append(attribute)
    words += re.sub(r"<!--.*?-->|<[^>]*>", "\n", outside, flags=re.DOTALL).split("\n")
    return [word for word in words if re.search(r"[A-Za-z]{2}", word)]


@pytest.mark.parametrize("path", [p for p in SHIPPED if p.name != OF_ISSUES], ids=lambda p: p.name)
def test_every_word_of_a_page_is_marked_for_translators(path: Path) -> None:
    assert unmarked(path.read_text()) == []


def test_words_that_are_not_marked_are_found() -> None:
    source = '<h1>Plain words</h1><p aria-label="Spoken">{{ _("Marked") }}{% trans %}Also{% endtrans %} and more</p>'
    assert unmarked(source) == ["Spoken", "Plain words", "\x00\x00\x00 and more"]


def test_every_notice_is_marked_for_translators() -> None:
    known = texts()
    for notice in notices.BY_STATUS.values():
        assert all(text in known for text in (notice.heading, *notice.lines))


def test_no_english_is_left_on_a_page_in_another_language(speaking: httpx.Client, member, pages) -> None:
    answers = [speaking.get(path, params={"lang": "ar"}) for name, path in pages.items() if name not in OF_AN_ISSUE]
    answers += [speaking.post(f"/unsubscribe/{member.token}?lang=ar", data={"scope": s}) for s in ("list", "all", "x")]
    settings = speaking.post(f"{pages['settings']}?lang=ar")
    session = SESSION.findall(settings.text)[0]
    asked = [{"do": d, "session": session} for d in ("save", "leave all", "ask to erase", "x", "close")]
    answers += [settings, *(speaking.post(f"{pages['settings']}?lang=ar", data=fields) for fields in asked)]
    answers += [speaking.post(path, params={"lang": "ar"}, data={"address": "x@example.org"}) for path in LINKED]
    content = ("Example Network", "news@example.org", "1 High Street, Dudley DY1 1AA", "November for friend")
    content += ("What is on", "For all", "GMT", "Library, Mill Lane", "Bring letters.", "Ask anything.")
    content += ("Amina Yusuf", "Amina", "Members", "Partners", "Esperanto", "English", "JSON")
    answered = [re.sub(r"\S+@example\.org", "", answer.text) for answer in answers]
    assert [english_in(text, *content) for text in answered] == [[] for _ in answered]


def english_in(page: str, *allowed: str) -> list[str]:
    """Return the Latin words of a page's text that are not *allowed*, nor in an element of another language."""
    root = html.fromstring(page)
    for element in [*root.iter("style", "script"), *root.xpath("//footer//a[@hreflang]")]:
        element.drop_tree()
    said = " ".join(["\n".join(root.itertext()), *root.xpath("//@aria-label | //@alt | //@placeholder | //@title")])
    for known in allowed:
        said = said.replace(known, "")
    return re.findall(r"[A-Za-z]{2,}", said)


def test_the_long_language_is_longer_and_has_the_same_tags(speaking: httpx.Client, member) -> None:
    english, longer = (speaking.get(f"/unsubscribe/{member.token}?lang={tag}").text for tag in ("en-GB", LONG))
    assert len(longer) > len(english) + 300
    assert [e.tag for e in html.fromstring(longer).iter("p", "h1", "h2", "button")] == [
        e.tag for e in html.fromstring(english).iter("p", "h1", "h2", "button")
    ]
