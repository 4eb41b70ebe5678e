"""Personal values: an allow-list of tags, filled once, escaped for where they stand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.compose.content import IssueContent, Letter, Post, Section
from newsletter.render.archive import Surroundings, render_web_version
from newsletter.render.environment import Environment
from newsletter.render.issue import render_issue
from newsletter.render.personal import (
    CLOSE,
    OPEN,
    PersonalValues,
    Slot,
    fill_html,
    fill_subject,
    fill_text,
    split_slots,
    split_tags,
    unresolved_tags,
    unresolved_tags_in_html,
)

CODE = (
    "{{7*7}}",
    "{% for x in y %}",
    "{{ first_name.__class__ }}",
    "{{config}}",
    "{{first_name()}}",
    "{{''.__class__.__mro__[1].__subclasses__()}}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ range(10**9)|list }}",
    "{{address}}",
    "{{unsubscribe_url}}",
    "{{ lipsum(10**6) }}",
    "{# comment #}",
    "${7*7}",
)


def written(content: IssueContent, **fields: object) -> IssueContent:
    return replace(content, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "slot"),
    [
        ("{{first_name}}", Slot("first_name")),
        ("{{first_name|friend}}", Slot("first_name", "friend")),
        ("{{ name | dear member }}", Slot("name", "dear member")),
        ("{{name|}}", Slot("name")),
    ],
)
def test_a_tag_of_the_allow_list_becomes_a_slot(typed: str, slot: Slot) -> None:
    assert list(split_tags(f"Dear {typed},")) == ["Dear ", slot, ","]


@pytest.mark.parametrize("typed", CODE)
def test_anything_else_in_braces_stays_as_it_is(
    typed: str, content: IssueContent, environment: Environment, values: PersonalValues
) -> None:
    letter = Letter(f"<p>{typed.replace('&', '&amp;')}</p>")
    made = render_issue(written(content, subject=typed, letter=letter), environment)
    assert fill_subject(made.subject, values) == typed
    assert typed in " ".join(fill_text(made.text, values).split())


def test_source_text_keeps_its_braces_and_the_chairs_are_filled(
    content: IssueContent, environment: Environment, values: PersonalValues
) -> None:
    blurb = "<p>Hello {{first_name|you}} {{7*7}} {% raw %}</p>"
    posts = (Post("From a feed {{name}}", blurb), Post("Typed", blurb, blurb_is_typed=True))
    made = render_issue(written(content, sections=(Section("n", "News", "cards", posts),)), environment)
    for filled in (fill_html(made.html, values), fill_text(made.text, values)):
        assert "From a feed {{name}}" in filled
        assert "Hello {{first_name|you}} {{7*7}} {% raw %}" in filled
        assert "Hello Zofia {{7*7}} {% raw %}" in filled


def test_values_are_escaped_for_where_they_stand(
    content: IssueContent, environment: Environment, values: PersonalValues
) -> None:
    made = render_issue(written(content, subject="{{first_name|x}}, hello"), environment)
    sharp = replace(values, first_name='<b a="1">&amp; \'x')
    html = fill_html(made.html, sharp)
    assert "<title>&lt;b a=&quot;1&quot;&gt;&amp;amp; &#x27;x, hello</title>" in html
    assert 'aria-label="&lt;b a=&quot;1&quot;&gt;&amp;amp; &#x27;x, hello"' in html
    assert "<b a=" not in html
    assert sharp.first_name in fill_text(made.text, sharp)
    assert fill_subject(made.subject, sharp) == sharp.first_name + ", hello"


def test_values_are_never_scanned_again(
    content: IssueContent, environment: Environment, values: PersonalValues
) -> None:
    made = render_issue(written(content, subject="{{first_name}}"), environment)
    sly = replace(values, first_name=f"{{{{name}}}} {OPEN}unsubscribe_url{CLOSE}")
    assert fill_subject(made.subject, sly) == "{{name}} unsubscribe_url"
    assert "Dear {{name}} unsubscribe_url," in fill_text(made.text, sly)


@pytest.mark.parametrize("value", ["", "  ", "\x00", "\r\n", "\u202e"])
def test_the_fallback_stands_where_a_value_is_empty(
    value: str, content: IssueContent, environment: Environment, values: PersonalValues
) -> None:
    made = render_issue(content, environment)
    assert "Dear friend," in fill_text(made.text, replace(values, first_name=value))


def test_no_content_can_forge_a_slot(content: IssueContent, environment: Environment, values: PersonalValues) -> None:
    forged = f"{OPEN}unsubscribe_url{CLOSE}"
    post = Post(forged, f"<p>{forged}</p>", url=f"https://example.org/{forged}")
    made = render_issue(written(content, subject=forged, sections=(Section("n", "N", "cards", (post,)),)), environment)
    assert made.html.count(str(Slot("unsubscribe_url"))) == 1
    assert made.text.count(str(Slot("unsubscribe_url"))) == 1
    assert fill_subject(made.subject, values) == "unsubscribe_url"


def test_control_and_direction_characters_are_taken_out_of_subject_and_names(
    content: IssueContent, environment: Environment, values: PersonalValues
) -> None:
    made = render_issue(written(content, subject="a\r\nBcc: x@y\x00\u202eb\u2028c"), environment)
    assert fill_subject(made.subject, values) == "a Bcc: x@yb c"


def test_unresolved_tags_are_found_in_text_and_in_addresses() -> None:
    assert unresolved_tags("Dear {{first_name|x}} {{fist_name}} *|FNAME|* {% if %} }}") == [
        "{{fist_name}}",
        "*|FNAME|*",
        "{% if %}",
        "}}",
    ]
    assert unresolved_tags_in_html('<a href="https://x/{{name}}">{{name}}</a>') == ["{{name}}"]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.text(max_size=20))
def test_splitting_gives_back_what_was_stored(before: str, fallback: str) -> None:
    clean = before.replace(OPEN, "").replace(CLOSE, "")
    slot = Slot("name", " ".join(fallback.replace(OPEN, "").replace(CLOSE, "").split()))
    parts = list(split_slots(f"{clean}{slot}{clean}"))
    assert parts == ([clean, slot, clean] if clean else [slot])


def test_the_web_version_holds_nothing_personal(content: IssueContent, environment: Environment) -> None:
    page = render_web_version(content, environment, Surroundings("https://example.org/"))
    assert "Dear friend," in page
    for absent in ("unsubscribe", "preferences", OPEN, CLOSE, "slot"):
        assert absent not in page.lower()
    for present in ("<main>", "<header ", "<footer>", 'content="noindex, nofollow"', "0800 555 0199"):
        assert present in page
    assert page.count("<h1") == 1
