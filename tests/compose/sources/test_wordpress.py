"""WordPress: posts of the REST API with embedded media and terms, page after page, over the web and from a file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from newsletter.compose.sources.wordpress import api_url, fetch_wordpress, read_wordpress
from newsletter.errors import SourceError


def post(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "id": number, "date": "2026-10-01T10:00:00", "date_gmt": "2026-10-01T09:00:00", "status": "publish",
        "type": "post",
        "guid": {"rendered": f"https://e.org/?p={number}"}, "link": f"https://e.org/post-{number}/",
        "title": {"rendered": f"Police &#038; council &#8211; part {number}"},
        "excerpt": {"rendered": "<p>We met on Monday [&hellip;]</p>\n", "protected": False},
        "content": {"rendered": "<p>We met on Monday and <a href='/x'>talked</a>.</p>", "protected": False},
        "_embedded": {
            "author": [{"name": "Jo Bloggs"}],
            "wp:featuredmedia": [{
                "source_url": "https://e.org/wp-content/a.jpg", "alt_text": "Two people talking",
                "mime_type": "image/jpeg",
                "caption": {"rendered": "<p>The meeting. Photo by Sam Smith</p>"},
            }],
            "wp:term": [[{"taxonomy": "category", "name": "News &amp; views"}],
                        [{"taxonomy": "post_tag", "name": "Dudley"}]],
        },
        **changed,
    }  # fmt: skip


def read(*posts: Any):  # type: ignore[no-untyped-def]
    return read_wordpress([json.dumps(list(posts)).encode()], url=None)


def test_a_post_is_told_whole() -> None:
    item = read(post(7)).items[0]
    assert (item.guid, item.kind, item.url) == ("https://e.org/?p=7", "post", "https://e.org/post-7/")
    assert item.title == "Police & council – part 7"
    assert (item.summary, item.truncated) == ("We met on Monday", True)
    assert item.published == datetime(2026, 10, 1, 9, 0, tzinfo=UTC)
    assert (item.authors, item.categories) == (("Jo Bloggs",), ("News & views", "Dudley"))
    assert (item.image_url, item.image_alt) == ("https://e.org/wp-content/a.jpg", "Two people talking")
    assert item.image_credit == "Photo by Sam Smith"
    assert item.body_html == '<p>We met on Monday and <a href="https://e.org/x">talked</a>.</p>'


def test_drafts_and_protected_posts_are_left_out() -> None:
    reading = read(post(1, status="draft"), post(2, content={"rendered": "", "protected": True}), post(3))
    assert [item.url for item in reading.items] == ["https://e.org/post-3/"]


def test_a_post_without_embedded_parts_still_gives_what_it_has() -> None:
    item = read(post(1, _embedded=None, date_gmt=None)).items[0]
    assert (item.authors, item.categories, item.image_url) == ((), (), None)
    assert str(item.published) == "2026-10-01"


def test_filed_as_resources_makes_a_resource() -> None:
    embedded = {"wp:term": [[{"taxonomy": "category", "name": "Resources"}]]}
    assert read(post(1, _embedded=embedded)).items[0].kind == "resource"


@pytest.mark.parametrize("document", ['{"code": "rest_no_route", "message": "No route"}', "[", "3", '"x"'])
def test_what_is_no_list_of_posts_is_an_error_in_words(document: str) -> None:
    with pytest.raises(SourceError):
        read_wordpress([document.encode()], url=None)


def test_nonsense_inside_a_list_of_posts_costs_only_itself() -> None:
    reading = read(3, None, {}, post(1, title=None, excerpt=[], content=5, _embedded=[], link={}), post(2))
    assert [item.url for item in reading.items] == ["https://e.org/post-2/"]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://e.org", "https://e.org/wp-json/wp/v2/posts?per_page=20&_embed=1&page=1"),
        ("https://e.org/blog/", "https://e.org/blog/wp-json/wp/v2/posts?per_page=20&_embed=1&page=1"),
        ("https://e.org/wp-json", "https://e.org/wp-json/wp/v2/posts?per_page=20&_embed=1&page=1"),
        (
            "https://e.org/wp-json/wp/v2/posts?categories=4&page=9",
            "https://e.org/wp-json/wp/v2/posts?per_page=20&_embed=1&categories=4&page=1",
        ),
        (
            "https://e.org/?rest_route=/wp/v2/pages",
            "https://e.org/?per_page=20&_embed=1&rest_route=%2Fwp%2Fv2%2Fpages&page=1",
        ),
    ],
)
def test_a_site_or_a_collection_leads_to_its_posts(location: str, expected: str) -> None:
    assert api_url(location) == expected


async def test_all_pages_are_read_in_order(site: Any, fetcher: Any) -> None:
    for page in (1, 2, 3):
        body = json.dumps([post(page * 10 + n) for n in range(2)]).encode()
        site.say(f"/wp-json/wp/v2/posts?per_page=20&_embed=1&page={page}", body, X_WP_TotalPages="3", ETag='"e"')
    reading = await fetch_wordpress(site.url("/"), fetcher)
    assert [item.url for item in reading.items] == [f"https://e.org/post-{n}/" for n in (10, 11, 20, 21, 30, 31)]
    assert reading.problems == ()
    assert reading.etag == '"e"'


async def test_a_later_page_that_fails_costs_only_itself(site: Any, fetcher: Any) -> None:
    body = json.dumps([post(1)]).encode()
    site.say("/wp-json/wp/v2/posts?per_page=20&_embed=1&page=1", body, X_WP_TotalPages="2")
    reading = await fetch_wordpress(site.url("/"), fetcher)
    assert len(reading.items) == 1
    assert "Page 2 was not read" in reading.problems[0]


async def test_a_site_without_rewritten_addresses_is_asked_the_plain_way(site: Any, fetcher: Any) -> None:
    plain = "/?per_page=20&_embed=1&rest_route=%2Fwp%2Fv2%2Fposts&page=1"
    site.say(plain, json.dumps([post(1)]).encode())
    assert len((await fetch_wordpress(site.url("/"), fetcher)).items) == 1


async def test_not_more_than_200_posts_are_asked_for(site: Any, fetcher: Any) -> None:
    for page in range(1, 12):
        body = json.dumps([post(page * 100 + n, content={"rendered": "x"}) for n in range(20)]).encode()
        site.say(f"/wp-json/wp/v2/posts?per_page=20&_embed=1&page={page}", body, X_WP_TotalPages="40")
    reading = await fetch_wordpress(site.url("/"), fetcher)
    assert len(reading.items) == 200
    assert len(site.asked) == 10
    assert "Only the first 200 posts" in reading.problems[0]


async def test_all_pages_share_the_bytes_of_one_fetch(site: Any, fetcher: Any) -> None:
    def page(number: int) -> bytes:
        body = json.dumps([{"id": number, "title": {"rendered": f"P{number}"}, "content": {"rendered": "x" * 400_000}}])
        found: bytes = site.response(body.encode(), X_WP_TotalPages="9")
        return found

    for number in range(1, 10):
        site.answers[f"/wp-json/wp/v2/posts?per_page=20&_embed=1&page={number}"] = page(number)
    reading = await fetch_wordpress(site.url("/"), fetcher)
    assert [item.title for item in reading.items] == ["P1", "P2", "P3", "P4"]
    assert reading.problems == ("Page 5 was not read: the pages together are larger than 2 MB.",)
