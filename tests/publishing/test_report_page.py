"""The page of a report: complete in itself, readable without its charts, and nobody's name can break it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import lxml.html
import pytest

from newsletter.paths import shipped_templates
from newsletter.publishing.report_page import report_page
from newsletter.send.reporting import Bucket, DomainCounts, IssueReport, Person, ReplyGroup, Timeline
from newsletter.send.states import FINAL, TO_DO
from newsletter.tables import DeliveryState as S
from tests.conftest import smallest_config

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
NASTY = "<script>alert(1)</script>\"'&"
COUNTS = {s.value: 0 for s in (*FINAL, *TO_DO)} | {
    "sent": 1_000,
    "held": 1,
    "uncertain": 1,
    "deferred": 1,
    "bounced": 2,
}


def person(state: S, **values: object) -> Person:
    given = {
        "delivery": 17,
        "state": state,
        "address": "jo@example.org",
        "name": "Jo",
        "reason": "why",
        "reply": "554 no",
        "since": NOW,
        "retry_at": NOW + timedelta(hours=1) if state is S.DEFERRED else None,
    }
    return Person(**{**given, **values})  # type: ignore[arg-type]


MINUTES = tuple(Bucket(NOW + timedelta(minutes=n), 500 * (1 - n % 2)) for n in range(3))
REPLIES = (
    ReplyGroup(S.SENT, 250, "2.0.0", None, 1_000, "2.0.0 Ok"),
    ReplyGroup(S.BOUNCED, 550, "5.1.1", "gone", 2, ""),
)
REPORT = IssueReport(
    subject="November news",
    counts={
        "issue": "2026-11", "state": "sending", "reason": None, "planned": 1_005, "rate": 12.5, "started_at": NOW,
        "finished_at": None, **COUNTS,
    },
    domains=(
        DomainCounts("gmail.com", {S.SENT: 900, S.BOUNCED: 2, S.HELD: 1}),
        DomainCounts("police.uk", {S.SENT: 100, S.UNCERTAIN: 1, S.DEFERRED: 1}),
    ),
    replies=REPLIES,
    timeline=Timeline(timedelta(minutes=1), MINUTES),
    people=(person(S.HELD), person(S.UNCERTAIN), person(S.DEFERRED)),
    zone=ZoneInfo("Europe/London"),
)  # fmt: skip


def page(report: IssueReport = REPORT, **organisation: object) -> str:
    given = smallest_config(organisation=organisation).organisation
    return report_page(report, [shipped_templates()], organisation=given, now=NOW)


def tree(html: str) -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring(html)


def test_it_is_complete_in_itself_and_runs_nothing() -> None:
    html = page()
    root = tree(html)
    assert root.xpath("//script | //link | //img | //iframe | //object | //@src | //@href | //form") == []
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_headings_go_down_step_by_step_and_name_their_sections() -> None:
    root = tree(page())
    assert [h.tag for h in root.iter("h1", "h2", "h3")] == ["h1"] + ["h2"] * 7
    for section in root.iter("section"):
        [heading] = root.xpath(f"//*[@id='{section.get('aria-labelledby')}']")
        assert heading.text_content()
    assert root.get("lang") == "en-GB"
    assert root.findtext(".//title") == "Report of 2026-11: November news"


def test_every_chart_has_a_name_a_description_and_a_table() -> None:
    root = tree(page())
    charts = root.xpath("//*[local-name()='svg']")
    assert len(charts) == 3
    for chart in charts:
        assert chart.get("role") == "img"
        for name in chart.get("aria-labelledby").split():
            assert root.xpath(f"//*[@id='{name}']")[0].text_content()
        [section] = chart.xpath("ancestor::section")
        assert section.xpath(".//details//table/caption")
    for table in root.iter("table"):
        assert table.xpath("./caption")
        assert all(head.get("scope") for head in table.iter("th"))


def test_the_tables_say_what_the_charts_draw() -> None:
    root = tree(page())
    rows = {row.xpath("string(th)"): row.xpath("string(td)") for row in root.xpath("//section[1]//tbody/tr")}
    assert rows == {"Sent": "1,000", "Bounced": "2", "Held": "1", "Uncertain": "1", "Deferred": "1", "Planned": "1,005"}
    times = root.xpath("//section[@aria-labelledby='timeline']//tbody/tr")
    assert [(t.xpath("string(th)"), t.xpath("string(td)")) for t in times] == [
        ("09:30", "500"), ("09:31", "0"), ("09:32", "500"),
    ]  # fmt: skip
    domains = root.xpath("//section[@aria-labelledby='domains']//tbody/tr")
    assert [[cell.text_content() for cell in row] for row in domains] == [
        ["gmail.com", "903", "900", "0", "0", "3"],
        ["police.uk", "102", "100", "1", "0", "1"],
    ]


def test_bars_stay_inside_and_nobody_is_drawn_as_nobody() -> None:
    rects = tree(page()).xpath("//*[local-name()='rect']")
    assert rects
    for rect in rects:
        start, width = (float(rect.get(name).rstrip("%")) for name in ("x", "width"))
        assert 0 <= start <= start + width <= 100.001
        assert width > 0.3


@pytest.mark.parametrize("field", ["name", "address", "reason", "reply"])
def test_a_person_cannot_break_the_page(field: str) -> None:
    html = page(replace(REPORT, people=(person(S.HELD, **{field: NASTY}),)))
    assert "<script" not in html
    assert NASTY in tree(html).text_content()


def test_what_others_wrote_cannot_break_the_page() -> None:
    group = ReplyGroup(S.BOUNCED, 550, "5.1.1", NASTY, 2, NASTY)
    nasty = replace(REPORT, subject=NASTY, replies=(group,), domains=(DomainCounts(NASTY, {S.SENT: 1_005}),))
    html = page(nasty, name=NASTY)
    assert "<script" not in html
    assert tree(html).findtext(".//h1") == NASTY


def test_who_needs_somebody_is_named_with_the_command() -> None:
    words = " ".join(tree(page()).xpath("string(//main)").split())
    assert "newsletter issue retry 2026-11 --failed" in words
    assert "newsletter uncertain resolve DELIVERY --resend" in words
    assert "2 November 2026, 10:30" in words  # when the deferred one is tried again
    assert words.count("jo@example.org") == 3


def test_an_issue_without_copies_has_a_page_too() -> None:
    empty = replace(
        REPORT,
        counts={**REPORT.counts, **dict.fromkeys(COUNTS, 0), "planned": 0, "started_at": None, "rate": None},
        domains=(), replies=(), timeline=Timeline(timedelta(seconds=1), ()), people=(),
    )  # fmt: skip
    assert tree(page(empty)).xpath("//*[local-name()='svg']") == []


def palettes() -> Iterator[dict[str, str]]:
    """Yield the colours of the light scheme and of the dark one."""
    for block in re.findall(r":root\{([^}]*--page[^}]*)\}", page()):
        yield dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", block))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours. Source: WCAG 2.2, relative luminance."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_colours_have_contrast_in_both_schemes() -> None:
    found = list(palettes())
    assert len(found) == 2
    for colours in found:
        for text in ("text", "quiet"):
            for ground in ("page", "card", "code"):
                assert contrast(colours[text], colours[ground]) >= 4.5
        for shape in ("good", "bad", "open", "left"):
            assert contrast(colours[shape], colours["card"]) >= 3
