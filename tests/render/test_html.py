"""What mail programs need of the HTML, each point a rule."""

from __future__ import annotations

import itertools
import re
import socket
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import lxml.html
import pytest

from newsletter.compose.content import Event, Image, IssueContent, Letter, Post, Section
from newsletter.errors import TemplateError
from newsletter.paths import shipped_templates
from newsletter.render import html as html_module
from newsletter.render.environment import Environment, make_environment
from newsletter.render.inline import inline_css
from newsletter.render.issue import RenderedIssue, render_issue
from newsletter.render.personal import PersonalValues, fill_html
from newsletter.render.view import Tokens, view_of, without_unwanted

CSS = shipped_templates() / "email" / "css"
MSO = re.compile(r"<!--\[if mso\]>.*?<!\[endif\]-->", re.DOTALL)
STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)


@pytest.fixture
def html(rendered: RenderedIssue, values: PersonalValues) -> str:
    return fill_html(rendered.html, values)


@pytest.fixture
def root(html: str) -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring(html)


@pytest.fixture
def before(content: IssueContent, environment: Environment) -> str:
    """The document as it goes into premailer."""
    clean = without_unwanted(content)
    tokens = Tokens(clean)
    return html_module.template_html(view_of(clean, environment, tokens), environment, tokens)


def one_post(content: IssueContent, **fields: object) -> IssueContent:
    post = Post(**{"title": "A post", "blurb_html": "<p>Words.</p>", **fields})  # type: ignore[arg-type]
    return replace(content, sections=(Section("news", "News", "cards", (post,)),))


def test_document_begins_with_the_html5_doctype(html: str) -> None:
    assert html.startswith("<!DOCTYPE html>")


def test_lang_and_dir_stand_on_html_and_on_the_only_child_of_body(root: lxml.html.HtmlElement) -> None:
    children = [c for c in root.find("body") if isinstance(c.tag, str)]
    assert [c.tag for c in children] == ["div"]
    for element in (root, children[0]):
        assert (element.get("lang"), element.get("dir")) == ("en-GB", "ltr")
    assert children[0].get("role") == "article"
    assert children[0].get("aria-label") == root.find("head/title").text
    assert root.find("body").get("xml:lang") == "en-GB"


def test_head_says_how_to_show_it(root: lxml.html.HtmlElement) -> None:
    metas = {m.get("name"): m.get("content") for m in root.iter("meta") if m.get("name")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == metas["supported-color-schemes"] == "light dark"
    assert {"x-apple-disable-message-reformatting", "format-detection"} <= set(metas)


def test_nothing_active_or_foreign_is_in_it(root: lxml.html.HtmlElement, html: str) -> None:
    for tag in ("script", "link", "form", "svg", "iframe", "object", "th"):
        assert not list(root.iter(tag)), tag
    assert "url(" not in html
    assert "data:" not in html


def test_no_template_syntax_or_control_character_is_left(html: str) -> None:
    assert not re.search(r"\{\{|\{%|\*\||\bundefined\b|>None<", html)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", html)


def test_three_kept_style_blocks_come_out_byte_for_byte(before: str, html: str) -> None:
    given = [STYLE.search(block)[0] for block in re.findall(r"<style data-premailer.*?</style>", before, re.DOTALL)]  # type: ignore[index]
    kept = STYLE.findall(MSO.sub("", html))
    assert len(kept) == 3
    assert kept == [STYLE.findall(block)[0] for block in given]


def test_mso_comments_come_out_byte_for_byte_and_balance(before: str, html: str) -> None:
    assert MSO.findall(before) == MSO.findall(html)
    joined = "".join(MSO.findall(html))
    for tag in ("table", "tr", "td"):
        assert len(re.findall(f"<{tag}[ >]", joined)) == joined.count(f"</{tag}>") == 1


def test_inlining_changes_no_text_and_no_element(before: str, content: IssueContent, environment: Environment) -> None:
    after = inline_css(before)
    one, other = (lxml.html.document_fromstring(MSO.sub("", d)).find("body") for d in (before, after))
    assert "".join(one.itertext()) == "".join(other.itertext())
    assert [e.tag for e in one.iter()] == [e.tag for e in other.iter()]
    assert [i.get("width") for i in one.iter("img")] == [i.get("width") for i in other.iter("img")]


def test_colours_have_six_digits(html: str) -> None:
    assert not re.search(r"#[0-9a-fA-F]{3}(?![0-9a-fA-F])", re.sub(r"&#\d+;", "", html))


def test_every_table_is_for_layout_only_and_no_deeper_than_three(root: lxml.html.HtmlElement) -> None:
    for table in root.iter("table"):
        assert (table.get("role"), table.get("cellpadding"), table.get("cellspacing"), table.get("border")) == (
            "presentation",
            "0",
            "0",
            "0",
        )
        assert table.get("dir") == "ltr"
        assert len(list(table.iterancestors("table"))) <= 1  # with the ghost table around them: three


def test_padding_stands_on_cells_and_margins_on_paragraphs(root: lxml.html.HtmlElement) -> None:
    for element in root.find("body").iter("table", "div"):
        style = element.get("style") or ""
        assert not re.search(r"padding(-\w+)?:\s*[1-9]", style), style
        assert not re.search(r"margin:\s*[1-9]", style), style


def test_every_picture_has_an_integer_width_that_is_its_largest(root: lxml.html.HtmlElement) -> None:
    pictures = list(root.iter("img"))
    assert len(pictures) == 7
    for picture in pictures:
        width, style = picture.get("width"), picture.get("style").replace(" ", "")
        assert width.isdigit()
        assert picture.get("height").isdigit()
        assert picture.get("alt")
        for part in ("display:block", "border:0", "width:100%", f"max-width:{width}px", "height:auto"):
            assert part in style
        assert "dm-" in picture.get("class")


def test_a_picture_wider_than_its_place_shrinks_in_proportion(content: IssueContent, environment: Environment) -> None:
    image = Image("https://news.example.org/media/x.jpg", 1104, 620, "A hall")
    assert 'width="536" height="301"' in render_issue(one_post(content, image=image), environment).html


def first_of(content: IssueContent, kind: type[Any]) -> Any:
    return next(b for section in content.sections for b in section.blocks if isinstance(b, kind))


def section_of(content: IssueContent, layout: Literal["events", "resources"], block: Any) -> IssueContent:
    return replace(content, sections=(Section("one", "One", layout, (block,)),))


def test_an_event_shows_its_picture_above_its_date(content: IssueContent, environment: Environment) -> None:
    image = Image("https://news.example.org/media/hall.jpg", 536, 300, "A hall", credit="Jo Smith")
    pictured = section_of(content, "events", replace(first_of(content, Event), image=image))
    root = lxml.html.fromstring(render_issue(pictured, environment).html)
    (picture,) = root.xpath("//img[@alt='A hall']")
    assert (picture.get("width"), picture.get("height")) == ("536", "300")
    cell = picture.getparent()
    assert "Jo Smith" in cell.text_content()
    assert cell.get("colspan") == "2"
    assert first_of(content, Event).title in cell.getparent().getnext().text_content()


def test_a_resource_shows_its_cover_beside_its_words(content: IssueContent, environment: Environment) -> None:
    image = Image("https://news.example.org/media/cover.jpg", 500, 707, "The cover", credit="Jo Smith")
    resource = replace(first_of(content, Post), image=image)
    html = render_issue(section_of(content, "resources", resource), environment).html
    (picture,) = lxml.html.fromstring(html).xpath("//img[@alt='The cover']")
    assert (picture.get("width"), picture.get("height")) == ("144", "204")
    cover, words = (e for e in picture.getparent().getparent().getparent() if e.tag == "div")
    assert "Jo Smith" in cover.text_content()
    assert resource.title in words.text_content()
    for part, width in ((cover, 160), (words, 376)):
        style = part.get("style").replace(" ", "")
        assert all(rule in style for rule in ("display:inline-block", "width:100%", f"max-width:{width}px"))
    assert '</div><!--[if mso]></td><td width="376" valign="top"><![endif]--><div' in html


def test_layout_is_fluid_with_a_ghost_table_of_600(html: str) -> None:
    assert re.search(r"max-width:\s*600px", html)
    assert 'width="600"' in MSO.findall(html)[1]


def test_type_is_large_enough_and_lines_are_apart(html: str) -> None:
    body = html[html.index("<body") :]
    sizes = [int(s) for s in re.findall(r"font-size:\s*(\d+)px", body)]
    assert all(size >= 14 or size == 1 for size in sizes)
    cells = re.findall(r"font-size:\s*(16)px; line-height:\s*(\d+)px", body)
    assert cells
    assert all(int(height) / int(size) >= 1.5 for size, height in cells)


def test_headings_begin_with_one_h1_and_skip_no_level(root: lxml.html.HtmlElement) -> None:
    levels = [int(h.tag[1]) for h in root.iter("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_every_link_is_whole_and_unlike_the_others_by_name(root: lxml.html.HtmlElement) -> None:
    names: dict[str, set[str]] = {}
    for link in root.iter("a"):
        assert link.get("href").startswith(("https://", "tel:"))
        text, label = link.text_content().strip(), link.get("aria-label") or ""
        assert label.startswith(text) or not label
        assert not link.get("role")
        names.setdefault(label or text, set()).add(link.get("href"))
    assert all(len(targets) == 1 for name, targets in names.items() if name != "full report")


def test_button_is_a_coloured_cell_with_padding_in_the_link(root: lxml.html.HtmlElement) -> None:
    button = next(a for a in root.iter("a") if a.text == "Read more")
    cell = button.getparent()
    assert cell.get("bgcolor") == "#0d4f73"
    assert "mso-padding-alt:11px 22px" in cell.get("style")
    assert "display:inline-block" in button.get("style").replace(" ", "")


def test_preheader_is_hidden_and_padded(root: lxml.html.HtmlElement, content: IssueContent) -> None:
    first, second = root.find("body")[0][:2]
    assert first.text_content() == content.preheader
    assert second.get("aria-hidden") == "true"
    for element in (first, second):
        assert "display:none" in element.get("style").replace(" ", "")
        assert "mso-hide:all" in element.get("style")


def test_footer_holds_what_the_law_and_readers_want(root: lxml.html.HtmlElement, values: PersonalValues) -> None:
    text = " ".join(root.text_content().split())
    for words in (
        "You receive this email because",
        "1 High Street, Dudley DY1 1AA",
        "Registered charity number 1234567",
    ):
        assert words in text
    targets = {a.text_content(): a.get("href") for a in root.iter("a")}
    assert targets["Unsubscribe"] == values.unsubscribe_url
    assert targets["Change your preferences"] == values.preferences_url
    assert targets["Complaints and your data"] == "https://news.example.org/requests"
    assert targets["View this email in your browser"].endswith("/view/2026-11-abcdefghijklmnop")


def test_helpline_is_real_text_with_a_telephone_link_above_the_footer(html: str, root: lxml.html.HtmlElement) -> None:
    phone = next(a for a in root.iter("a") if a.get("href").startswith("tel:"))
    assert phone.get("href") == "tel:08005550199"
    assert phone.getparent().get("dir") == "ltr"
    assert phone.getparent().getparent().text_content() == (
        "Anyone can call the helpline free on 0800 555 0199, day and night."
    )
    assert html.index("tel:") < html.index("You receive this email")


def test_size_of_a_full_issue_is_far_below_gmails_limit(html: str) -> None:
    assert len(html.encode()) < 42_000
    assert sum(len(block.encode()) for block in STYLE.findall(html)) < 16_000


def test_kept_styles_have_no_nested_rule_no_comment_and_spaced_important() -> None:
    for name in ("keep-mobile.css", "keep-dark.css", "keep-ogs.css"):
        text = (CSS / name).read_text()
        assert "/*" not in text
        assert not re.search(r"@media[^{]*\{[^@]*@", text)
        assert not re.search(r"\S!important", text)
        assert ("[" in text) == (name == "keep-ogs.css")


def test_inlined_style_sheet_holds_plain_class_rules_only() -> None:
    """Anything cleverer is what premailer loses in silence."""
    for line in (CSS / "inline.css").read_text().splitlines():
        selector, _, rest = re.sub(r"\{\{.*?\}\}", "x", line).partition("{")
        assert re.fullmatch(r"\.[a-z0-9-]+ ", selector), line
        assert "!important" not in rest
        assert not re.search(r"[@*\[]|\([^)]*,", rest)


def test_rendering_opens_no_socket(
    content: IssueContent, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("rendering opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    link = '<p>Hello</p><link rel="stylesheet" href="http://127.0.0.1:9/x.css">'
    assert "127.0.0.1" not in render_issue(one_post(content, blurb_html=link), environment).html
    assert inline_css('<html><head><link rel="stylesheet" href="http://127.0.0.1:9/"></head><body>a</body></html>')


def test_same_content_gives_the_same_characters(content: IssueContent, rendered: RenderedIssue) -> None:
    assert render_issue(content, make_environment([shipped_templates()])) == rendered


def test_emoji_and_arabic_survive(content: IssueContent, environment: Environment) -> None:
    assert "قاعة 🎉 Łódź" in render_issue(one_post(content, title="قاعة 🎉 Łódź"), environment).html


def test_a_section_without_blocks_vanishes_with_its_heading(content: IssueContent, environment: Environment) -> None:
    empty = replace(content, sections=(Section("x", "Nothing here", "cards", ()), *content.sections))
    made = render_issue(empty, environment)
    assert "Nothing here" not in made.html + made.text


def test_an_item_without_a_link_has_a_card_without_a_button(content: IssueContent, environment: Environment) -> None:
    made = render_issue(one_post(content, url=None), environment)
    assert "A post" in made.html
    assert "Read more" not in made.html
    assert 'class="button' not in made.html


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            Event(
                "E",
                "",
                datetime(2026, 7, 2, 13, tzinfo=UTC),
                datetime(2026, 7, 2, 15, tzinfo=UTC),
                None,
                None,
                "Europe/London",
            ),
            "Thursday 2 July 2026, 14:00 to 16:00 BST",
        ),
        (Event("E", "", starts_on=date(2026, 11, 12)), "Thursday 12 November 2026, all day"),
        (
            Event("E", "", starts_on=date(2026, 11, 12), ends_on=date(2026, 11, 14)),
            "Thursday 12 November 2026 to Saturday 14 November 2026, all day",
        ),
        (
            Event(
                "E",
                "",
                datetime(2026, 11, 12, 9, tzinfo=UTC),
                datetime(2026, 11, 13, 12, tzinfo=UTC),
                None,
                None,
                "Europe/London",
            ),
            "Thursday 12 November 2026, 09:00 to Friday 13 November 2026, 12:00 GMT",
        ),
        (Event("E", ""), "Date to be confirmed"),
    ],
)
def test_an_event_says_when_with_its_zone(
    event: Event, words: str, content: IssueContent, environment: Environment
) -> None:
    made = render_issue(replace(content, sections=(Section("e", "Events", "events", (event,)),)), environment)
    assert words in made.html
    assert words in " ".join(made.text.split())


def test_right_to_left_mirrors_every_table_and_side(content: IssueContent, environment: Environment) -> None:
    letter = Letter("<ul><li>واحد</li></ul><blockquote>اثنان</blockquote>")
    html = render_issue(replace(content, language="ar", direction="rtl", letter=letter), environment).html
    root = lxml.html.document_fromstring(html)
    assert all(table.get("dir") == "rtl" for table in root.iter("table"))
    assert all('dir="rtl"' in comment for comment in MSO.findall(html) if "<table" in comment)
    body = html[html.index("<body") :]
    assert not re.search(r"text-align:\s*left|padding-left:\s*24px|border-left", body)
    assert re.search(r"text-align:\s*right", body)
    assert re.search(r"padding-right:\s*24px", body)
    assert "Tahoma" in body


ALLOWED = {"body", "div", "table", "tr", "td", "p", "a", "h1", "h2", "h3", "img", "span", "strong"} | {
    "em", "br", "ul", "ol", "li", "blockquote"
}  # fmt: skip
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='data:text/html,x'>x</a>",
    "<iframe src=//evil.example></iframe>",
    "<style>*{display:none}</style>",
    "<p style='position:fixed' onclick='x()' class='dm-bg'>t</p>",
    "<form action=//evil.example><input></form>",
    "</td></tr></table><h1>out</h1>",
    "<!--[if mso]><v:rect></v:rect><![endif]-->",
)


@pytest.mark.parametrize("markup", HOSTILE)
def test_hostile_markup_comes_out_as_text_or_not_at_all(
    markup: str, content: IssueContent, environment: Environment
) -> None:
    """Cleaning comes before rendering; rendering does not rely on it."""
    hostile = one_post(content, title=markup, blurb_html=markup, authors=(markup,))
    html = render_issue(hostile, environment).html
    root = lxml.html.document_fromstring(MSO.sub("", html))
    body = root.find("body")
    assert {e.tag for e in body.iter() if isinstance(e.tag, str)} <= ALLOWED
    assert len(list(root.iter("h1"))) == 1
    for element in body.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on"), name
            assert not value.strip().lower().startswith(("javascript:", "data:"))
    assert MSO.findall(html) == MSO.findall(render_issue(one_post(content), environment).html)


@pytest.mark.parametrize(
    ("broken", "line"),
    [("{% if x %}\n{{ y }", 2), ("a\n{{ nothing_of_this_name }}\n", 2), ("{{ subject.upper( }}", 1)],
)
def test_a_broken_template_names_file_line_and_cause(
    broken: str, line: int, content: IssueContent, tmp_path: Path
) -> None:
    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "issue.txt.j2").write_text(broken)
    with pytest.raises(TemplateError, match=rf"issue\.txt\.j2, line {line}: ."):
        render_issue(content, make_environment([tmp_path, shipped_templates()]))


@pytest.mark.parametrize(
    "attack", ["{{ subject.__class__.__mro__ }}", "{{ sections.append(1) }}", "{{ [].__class__ }}"]
)
def test_templates_are_sandboxed(attack: str, content: IssueContent, tmp_path: Path) -> None:
    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "issue.txt.j2").write_text(attack)
    with pytest.raises(TemplateError):
        render_issue(content, make_environment([tmp_path, shipped_templates()]))


def test_an_override_may_hold_one_colour_only(content: IssueContent, tmp_path: Path) -> None:
    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "theme.json").write_text('{"accent": "#123456"}')
    html = render_issue(content, make_environment([tmp_path, shipped_templates()])).html
    assert "#123456" in html
    assert "#0d4f73" not in html


def test_a_broken_theme_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "theme.json").write_text('{"accent": ')
    with pytest.raises(TemplateError, match=r"theme\.json cannot be read"):
        make_environment([tmp_path, shipped_templates()])


@pytest.mark.parametrize("css", ['.a { content: "\\0001a"; }', "@media screen{@media print{.a{color:red}}}"])
def test_a_style_sheet_that_premailer_cannot_read_is_told(css: str) -> None:
    with pytest.raises(TemplateError, match="cannot be inlined"):
        inline_css(f"<html><head><style>{css}</style></head><body><p class='a'>x</p></body></html>")


def test_nothing_in_the_pipeline_is_left_unused(content: IssueContent) -> None:
    """Every class that the templates use has a rule, a dark colour or a phone rule."""
    used: set[str] = set()
    for path in (shipped_templates() / "email").glob("*.j2"):
        for value in re.findall(r'class="([^"]*)"', re.sub(r"\{\{.*?\}\}", " ", path.read_text())):
            used |= set(value.split())
    known = set(re.findall(r"\.([a-z][a-z0-9-]*)", "".join(path.read_text() for path in CSS.glob("*.css"))))
    assert used <= known


def test_every_language_has_every_word_that_the_templates_use(environment: Environment) -> None:
    texts = [path.read_text() for path in (shipped_templates() / "email").glob("*.j2")]
    used = {word for text in texts for word in re.findall(r"words\.([a-z_]+)", text)}
    english = environment.words("en-GB")
    assert used <= set(english)
    for language in ("cy", "pl", "ar"):
        words = environment.words(language)
        assert set(words) == set(english)
        assert [key for key in words if words[key] == english[key]] == []


def test_a_summary_that_its_source_cut_ends_in_an_ellipsis(content: IssueContent, environment: Environment) -> None:
    for blurb, shown in (("<p>And then</p>", "And then…"), ("Cut...", "Cut..."), ("<p>Cut…</p>", "Cut…"), ("", "")):
        made = render_issue(one_post(content, blurb_html=blurb, truncated=True), environment)
        text = lxml.html.document_fromstring(made.html).text_content()
        assert shown in text
        assert text.count("…") == shown.count("…")


def test_the_helpline_number_is_linked_where_it_stands_however_it_is_spaced(
    content: IssueContent, environment: Environment
) -> None:
    sender = replace(content.sender, helpline="Call 0808 157 0192. In danger: 999.", helpline_phone="08081570192")
    html = render_issue(replace(content, sender=sender), environment).html
    assert re.search(r'href="tel:08081570192"[^>]*>0808 157 0192</a></span>\. In danger: 999\.</p>', html)


def test_links_of_an_event_that_repeats_are_told_apart_by_their_day(
    content: IssueContent, environment: Environment
) -> None:
    days = [Event("Drop-in", "", starts_on=date(2026, 11, d), url="https://a.org/", calendar_url=f"https://b.org/{d}")
            for d in (12, 19)]  # fmt: skip
    html = render_issue(replace(content, sections=(Section("e", "E", "events", tuple(days)),)), environment).html
    labels = re.findall(r'aria-label="(Add to calendar[^"]*)"', html)
    assert labels == [f"Add to calendar: Drop-in, Thursday {d} November 2026" for d in (12, 19)]


def test_days_of_one_month_share_a_tile(content: IssueContent, environment: Environment) -> None:
    event = Event("Conference", "", starts_on=date(2026, 12, 17), ends_on=date(2026, 12, 18))
    html = render_issue(replace(content, sections=(Section("e", "E", "events", (event,)),)), environment).html
    assert re.search(r'class="tile-days dm-text"[^>]*>17–18</p>', html)
