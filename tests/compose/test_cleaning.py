"""Cleaning: nothing that runs, tracks, hides or deceives comes through; words and honest links do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.compose.cleaning import (
    canonical_url,
    clean_html,
    clean_line,
    markdown_html,
    normal_title,
    plain_text,
    summary_of,
)

HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<iframe src=//x></iframe>",
    "<a href='javascript:alert(1)'>x</a>", "<a href='JaVa\tScRiPt:alert(1)'>x</a>", "<a href='data:text/html,x'>x</a>",
    "<a href='vbscript:x'>x</a>", "<math><mtext></mtext><script>alert(1)</script></math>", "<style>*{x:y}</style>",
    "<form action=//x><input name=y></form>", "<object data=x></object>", "<embed src=x>", "<base href=//x>",
    "<meta http-equiv=refresh content='0;url=//x'>", "<link rel=stylesheet href=//x>",
    "<p style='x:y' class=z id=w>t</p>",
    "<video><source src=//x></video>", "<template><script>alert(1)</script></template>", "<!--[if mso]><x><![endif]-->",
    "<a href='https://e.org' onclick=alert(1) target=_blank>x</a>",
    "<noscript><p title='</noscript><img src=x onerror=1>'>",
    "<textarea></textarea><script>alert(1)</script>", "<p>{{7*7}}{% raw %}</p>",
]  # fmt: skip


@pytest.mark.parametrize("markup", HOSTILE)
def test_hostile_markup_leaves_no_active_part(markup: str) -> None:
    cleaned = clean_html(markup, base="https://example.org/")
    lowered = cleaned.lower()
    for forbidden in ("<script", "<img", "<svg", "<iframe", "javascript:", "vbscript:", "data:", "onerror", "onclick",
                      "onload", "<style", "style=", "class=", "<form", "<input", "<object", "<embed", "<base", "<meta",
                      "<link", "<!--", "target=", "<video", "alert("):  # fmt: skip
        assert forbidden not in lowered


def test_template_code_in_a_post_stays_words() -> None:
    assert clean_html("<p>{{7*7}}</p>") == "<p>{{7*7}}</p>"


def test_relative_and_schemeless_links_are_resolved_and_tracking_is_dropped() -> None:
    cleaned = clean_html('<a href="/a?utm_source=x&b=1#f">x</a> <a href="//other.org/">y</a>', base="https://e.org/p/")
    assert cleaned == '<a href="https://e.org/a?b=1">x</a> <a href="https://other.org/">y</a>'


def test_a_link_without_a_base_to_resolve_against_becomes_words() -> None:
    assert clean_html('<p><a href="/a">x</a></p>') == "<p>x</p>"


def test_a_mail_link_keeps_its_address_only() -> None:
    assert clean_html('<a href="mailto:a@b.org?bcc=all@c.org">x</a>') == '<a href="mailto:a@b.org">x</a>'
    assert clean_html('<a href="mailto:a@b.org,c@d.org">x</a>') == "x"


def test_bidi_and_control_characters_are_stripped() -> None:
    assert clean_line("a\u202eb\u2066c\x00d\x85e\u200bf\u00adg\ud800h") == "abcdefgh"
    assert clean_line("  two\n words\t here ") == "two words here"
    assert "\u202e" not in clean_html("<p>a\u202eb</p>")


def test_plain_text_keeps_words_and_breaks_lines_at_blocks() -> None:
    assert plain_text("<p>Bread &amp; roses</p><ul><li>one<li>two</ul><script>no</script>") == "Bread & roses\none\ntwo"


def test_a_first_level_heading_becomes_a_second_as_the_mail_has_its_own() -> None:
    assert clean_html("<h1>A</h1>") == "<h2>A</h2>"


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("HTTPS://Example.ORG:443/a?utm_campaign=x&fbclid=1&b=2#top", "https://example.org/a?b=2"),
        ("http://example.org:80", "http://example.org/"),
        ("https://example.org:8443/x", "https://example.org:8443/x"),
        ("https://user:pass@example.org/", "https://example.org/"),
        ("https://exämple.org/ü", "https://xn--exmple-cua.org/%C3%BC"),
        ("https://example.org/?sig=a%2Fb&x", "https://example.org/?sig=a%2Fb&x"),
        ("javascript:alert(1)", None), ("data:text/html,x", None), ("file:///etc/passwd", None),
        ("//example.org", None),
        ("https://", None), ("http://[::1", None), ("https://exa mple.org/", None), ("", None), (None, None),
        ("https://example.org:99999/", None), ("java\nscript:alert(1)", None),
    ],
)  # fmt: skip
def test_an_address_has_one_canonical_form_or_none(given_url: str | None, expected: str | None) -> None:
    assert canonical_url(given_url) == expected


@given(st.text(max_size=60))
def test_whatever_is_given_as_an_address_never_fails_and_is_stable(text: str) -> None:
    for url in (canonical_url(text), canonical_url(f"https://example.org/{text}")):
        if url is not None:
            assert url.startswith(("http://", "https://"))
            assert canonical_url(url) == url


@given(st.text(max_size=200))
def test_whatever_is_given_as_markup_never_fails_and_cleaning_again_changes_nothing(text: str) -> None:
    cleaned = clean_html(text)
    assert clean_html(cleaned) == cleaned


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>Begun [&hellip;]</p>", ("Begun", True)), ("Begun...", ("Begun", True)), ("Begun […]", ("Begun", True)),
        ("Begun … Continue reading &rarr;", ("Begun", True)), ("Begun. Read more »", ("Begun.", True)),
        ("All of it. The post Title appeared first on Blog.", ("All of it.", False)),
        ("All of it.", ("All of it.", False)),
        ("Read more about it here.", ("Read more about it here.", False)),
    ],
)  # fmt: skip
def test_a_summary_says_whether_its_source_cut_it(markup: str, expected: tuple[str, bool]) -> None:
    assert summary_of(markup) == expected


def test_a_long_text_is_cut_at_a_word_and_said_to_be() -> None:
    summary, truncated = summary_of("word " * 400)
    assert truncated
    assert len(summary) <= 600
    assert summary.endswith("word")


def test_titles_are_compared_without_case_punctuation_and_entities() -> None:
    assert normal_title("WMASN &amp; Friends – the “Best”!") == normal_title("wmasn & friends: THE best")


def test_markdown_is_rendered_and_cleaned() -> None:
    assert markdown_html("**Hi** <script>x</script>[l](javascript:x)\n\n- a") == (
        "<p><strong>Hi</strong> [l](javascript:x)</p>\n<ul>\n<li>a</li>\n</ul>"
    )
