"""Feeds: RSS, Atom and JSON Feed become items; bombs, broken and endless ones cost little and lose nothing whole."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime

import pytest

from newsletter.compose.sources.feed import read_feed
from newsletter.errors import SourceError

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:media="http://search.yahoo.com/mrss/"
 xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>Blog</title><link>https://e.org/</link>
<item><title>Bread &amp;amp; roses</title><link>/2026/bread/?utm_source=feed</link>
 <guid isPermaLink="false">https://e.org/?p=1</guid><pubDate>Mon, 02 Nov 2026 10:00:00 +0100</pubDate>
 <dc:creator>Jo Bloggs</dc:creator><category>News</category><category>Training</category>
 <description>&lt;p&gt;We baked [&amp;hellip;]&lt;/p&gt;</description>
 <content:encoded><![CDATA[<figure><img src="/a.jpg" alt="A loaf on a table">
 <figcaption>Loaf. Photo by Sam Smith</figcaption></figure><p>We baked <b>bread</b>.</p>
 <script>alert(1)</script>]]></content:encoded></item>
<item><title>Guide to baking</title><link>https://e.org/guide.pdf</link><pubDate>2026-11-01</pubDate></item>
<item><title>With a thumbnail</title><media:content url="https://e.org/t.png" medium="image">
 <media:credit>Ann</media:credit></media:content></item>
</channel></rss>"""

ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title><entry><id>tag:e.org,2026:1</id>
<title type="html">A &lt;em&gt;new&lt;/em&gt; start</title><link rel="alternate" href="https://e.org/new"/>
<published>2026-10-01T09:00:00+01:00</published><updated>2026-10-05T09:00:00Z</updated><author><name>N N</name></author>
<summary>Short.</summary><content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Long.</p></div></content>
</entry></feed>"""


def read(text: str, **options: object):  # type: ignore[no-untyped-def]
    return read_feed(text.encode(), url="https://e.org/feed/", **options)  # type: ignore[arg-type]


def items_xml(count: int) -> str:
    items = "".join(f"<item><title>Title {n}</title><guid>{n}</guid></item>" for n in range(count))
    return f"<rss version='2.0'><channel><title>x</title>{items}</channel></rss>"


def test_an_rss_item_is_told_whole() -> None:
    item = read(RSS).items[0]
    assert item.guid == "https://e.org/?p=1"
    assert (item.title, item.summary, item.truncated) == ("Bread & roses", "We baked", True)
    assert item.url == "https://e.org/2026/bread/"
    assert item.published == datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
    assert (item.authors, item.categories) == (("Jo Bloggs",), ("News", "Training"))
    assert item.image_url == "https://e.org/a.jpg"
    assert (item.image_alt, item.image_credit) == ("A loaf on a table", "Photo by Sam Smith")
    assert item.body_html == "<p>We baked <b>bread</b>.</p>"


def test_a_document_is_a_resource_and_a_date_without_a_clock_stays_a_date() -> None:
    item = read(RSS).items[1]
    assert item.kind == "resource"
    assert item.published == date(2026, 11, 1)


def test_what_a_feed_does_not_state_stays_empty() -> None:
    item = read(RSS).items[2]
    assert (item.published, item.url, item.image_alt) == (None, None, None)
    assert (item.image_url, item.image_credit) == ("https://e.org/t.png", "Ann")


def test_an_atom_entry_is_told_whole() -> None:
    item = read(ATOM).items[0]
    assert (item.guid, item.title, item.summary) == ("tag:e.org,2026:1", "A new start", "Short.")
    assert item.published == datetime(2026, 10, 1, 8, 0, tzinfo=UTC)
    assert (item.authors, item.url, item.body_html) == (("N N",), "https://e.org/new", "<p>Long.</p>")


def test_a_json_feed_is_told_whole_and_cannot_name_a_file() -> None:
    entry = {
        "id": "1", "url": "https://e.org/x?utm_medium=feed", "title": "T", "content_html": "<p>Words</p>",
        "date_published": "2026-10-01T09:00:00Z", "authors": [{"name": "N"}], "tags": ["A"], "image": "file:///etc/passwd",
    }  # fmt: skip
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "items": [entry, {"id": 2}, "nonsense", {"content_text": "a<b"}],
    }
    reading = read_feed(json.dumps(feed).encode(), url=None)
    first, second = reading.items
    assert (first.url, first.authors, first.categories, first.image_url) == ("https://e.org/x", ("N",), ("A",), None)
    assert first.published == datetime(2026, 10, 1, 9, 0, tzinfo=UTC)
    assert second.summary == "a<b"
    assert reading.problems == ("An item with neither title nor text was left out.",)


def test_a_feed_of_300_000_items_gives_its_first_200_fast() -> None:
    body = items_xml(300_000).encode()
    started = time.monotonic()
    reading = read_feed(body, url=None)
    assert time.monotonic() - started < 2
    assert [item.title for item in reading.items[::199]] == ["Title 0", "Title 199"]
    assert reading.problems == ("Only the first 200 items were read; the feed holds more.",)


@pytest.mark.parametrize(
    "end", ["<item><title>Half a ti", "<item><title>x</title>", "<item", "<item><title><![CDATA[x"]
)
def test_a_truncated_feed_keeps_its_whole_items_and_says_so(end: str) -> None:
    whole = items_xml(3).removesuffix("</channel></rss>")
    reading = read(whole + end)
    assert [item.title for item in reading.items] == ["Title 0", "Title 1", "Title 2"]
    assert "ends early" in reading.problems[0]


def test_a_feed_that_ends_within_its_first_item_is_an_error() -> None:
    with pytest.raises(SourceError, match="before its first item is complete"):
        read("<rss><channel><item><title>x")


def test_a_damaged_middle_keeps_what_is_before_it_and_names_the_line() -> None:
    reading = read(items_xml(2).replace("</channel>", "\n<item><title>x</wrong></item></channel>"))
    assert len(reading.items) == 2
    assert "damaged at line 2" in reading.problems[0]


def test_unescaped_ampersands_and_html_entities_are_mended() -> None:
    reading = read("<rss><channel><item><title>Fish & chips&nbsp;now &copy; &bogus;</title></item></channel></rss>")
    assert reading.items[0].title == "Fish & chips now © &bogus;"
    assert "were mended" in reading.problems[0]


LAUGHS = (
    "<!DOCTYPE l [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {chr(98 + i)} '{'&' + chr(97 + i) + ';' * 1}'>" for i in range(9))
    + "]>"
)


@pytest.mark.parametrize(
    "bomb",
    [
        f"<?xml version='1.0'?>{LAUGHS}<rss><channel><item><title>&j;</title></item></channel></rss>",
        "<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><rss><channel><item><title>&x;</title></item></channel></rss>",
        "<!DOCTYPE r SYSTEM 'http://example.org/x.dtd'><rss/>",
        "<!DOCTYPE html><html><body>Not a feed</body></html>",
        "<!doctype html><html><br><p>Not even XML</html>",
    ],
    ids=["laughs", "external", "dtd", "page", "html"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_doctype_is_refused_in_every_encoding(bomb: str, encoding: str) -> None:
    with pytest.raises(SourceError, match=r"DOCTYPE|no XML"):
        read_feed(bomb.encode(encoding), url=None)


def test_absurd_nesting_is_refused_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(SourceError, match="100 deep"):
        read("<rss><channel><item>" + "<b>" * 200_000)
    assert time.monotonic() - started < 1


def test_absurd_numbers_of_elements_are_refused() -> None:
    with pytest.raises(SourceError, match="60,000 elements"):
        read("<rss><channel>" + "<x/>" * 70_000 + "</channel></rss>")


@pytest.mark.parametrize("body", [b"", b"hello", b"\x00\x01", b"{", b'{"items": 3}', b"<html><body/></html>"])
def test_what_is_no_feed_is_an_error_in_words(body: bytes) -> None:
    with pytest.raises(SourceError, match=r"^It is "):
        read_feed(body, url=None)


def test_a_feed_without_items_is_no_error() -> None:
    assert read("<rss version='2.0'><channel><title>x</title></channel></rss>").items == ()


@pytest.mark.parametrize(
    ("encoding", "declared", "content_type"),
    [("windows-1252", "windows-1252", ""), ("windows-1252", "", "text/xml; charset=windows-1252"),
     ("utf-16", "utf-16", ""), ("windows-1252", "utf-8", ""), ("utf-8", "no-such-encoding", "")],
)  # fmt: skip
def test_declared_and_wrongly_declared_encodings_are_read(encoding: str, declared: str, content_type: str) -> None:
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    text = f"{head}<rss><channel><item><title>Café – “naïve”</title></item></channel></rss>"
    reading = read_feed(text.encode(encoding), url=None, content_type=content_type)
    assert reading.items[0].title == "Café – “naïve”"


def test_a_title_with_controls_and_bidi_marks_is_one_honest_line() -> None:
    reading = read("<rss><channel><item><title>Pay\u202e gpj.exe\r\nBcc: x\x0b</title></item></channel></rss>")
    assert reading.items[0].title == "Pay gpj.exe Bcc: x"


def test_items_without_a_guid_get_a_stable_one() -> None:
    text = "<rss><channel><item><title>A</title><description>b</description></item></channel></rss>"
    assert read(text).items[0].guid == read(text).items[0].guid
