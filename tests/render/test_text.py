"""The plain-text part says the same as the HTML, for people and programs that read no HTML."""

from __future__ import annotations

import re
from dataclasses import replace

import lxml.html
import pytest

from newsletter.compose.content import IssueContent, Post, Section
from newsletter.render.environment import Environment
from newsletter.render.issue import RenderedIssue, render_issue
from newsletter.render.personal import PersonalValues, fill_html, fill_text


@pytest.fixture
def text(rendered: RenderedIssue, values: PersonalValues) -> str:
    return fill_text(rendered.text, values)


def blurb(content: IssueContent, environment: Environment, markup: str) -> str:
    post = Post("A post", markup, url="https://example.org/a")
    made = render_issue(replace(content, sections=(Section("n", "News", "cards", (post,)),)), environment)
    return made.text.split("/a\n")[1].split("\n\n\n")[0].strip("\n")


def test_links_are_those_of_the_html_in_the_same_order(
    rendered: RenderedIssue, values: PersonalValues, text: str
) -> None:
    links = [a.get("href") for a in lxml.html.document_fromstring(fill_html(rendered.html, values)).iter("a")]
    wanted = list(dict.fromkeys(link for link in links if link.startswith("http")))
    assert list(dict.fromkeys(re.findall(r"https?://\S+", text))) == wanted


def test_lines_have_at_most_78_characters_unless_an_address_is_longer(text: str) -> None:
    for line in text.splitlines():
        assert len(line) <= 78 or re.fullmatch(r"\s*https?://\S+", line), line


def test_no_markup_no_entity_and_no_trailing_space(text: str) -> None:
    assert not re.search(r"</?[a-z]+[ >]|&[a-z]+;|&#", text)
    assert [line for line in text.splitlines() if line != line.rstrip()] == ["-- "]


def test_footer_comes_after_the_signature_separator(text: str) -> None:
    footer = text.split("\n-- \n")[1]
    for words in ("Unsubscribe:", "Change your preferences:", "1 High Street", "charity number 1234567"):
        assert words in footer


def test_helpline_stands_unaltered_above_the_footer(text: str, content: IssueContent) -> None:
    assert content.sender.helpline in " ".join(text.split("\n-- \n")[0].split())


def test_lists_quotations_and_breaks_keep_their_shape(content: IssueContent, environment: Environment) -> None:
    markup = "<p>One<br>two</p><ul><li>a</li><li>b<ol><li>c</li></ol></li></ul><blockquote><p>said</p></blockquote>"
    assert blurb(content, environment, markup).split("\n") == [
        "  One", "  two", "", "  * a", "", "  * b", "", "    1. c", "", "  > said"
    ]  # fmt: skip


def test_a_link_stands_on_a_line_of_its_own_below_its_paragraph(
    content: IssueContent, environment: Environment
) -> None:
    made = blurb(content, environment, '<p>See <a href="https://example.org/x?a=1&amp;b=2">this</a> now.</p>')
    assert made == "  See this now.\n  https://example.org/x?a=1&b=2"


def test_mail_addresses_and_numbers_are_written_once(content: IssueContent, environment: Environment) -> None:
    markup = (
        '<p><a href="mailto:a@example.org?subject=x">a@example.org</a> or <a href="mailto:b@example.org">Ben</a></p>'
    )
    assert blurb(content, environment, markup) == "  a@example.org or Ben\n  b@example.org"


def test_an_address_with_other_letters_is_the_same_in_both_parts(
    content: IssueContent, environment: Environment
) -> None:
    post = Post("A", "<p><a href='https://example.org/ż?q=ł&amp;b=%20'>x y</a></p>", url="https://bücher.example/café")
    made = render_issue(replace(content, sections=(Section("n", "News", "cards", (post,)),)), environment)
    wanted = ("https://xn--bcher-kva.example/caf%C3%A9", "https://example.org/%C5%BC?q=%C5%82&b=%20")
    links = [a.get("href") for a in lxml.html.document_fromstring(made.html).iter("a")]
    for link in wanted:
        assert link in links
        assert link in made.text.split()


def test_text_without_any_tag_is_a_paragraph(content: IssueContent, environment: Environment) -> None:
    assert blurb(content, environment, "Fish &amp; chips") == "  Fish & chips"
