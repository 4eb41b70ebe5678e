"""Each rule has an issue that breaks it; the sample breaks none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import pytest

from newsletter.compose.content import Button, Event, Image, IssueContent, Letter, Post, Quote, Section
from newsletter.preflight import IssueFacts, RenderedVariant, Report, check
from newsletter.preflight.holidays import holiday_name
from newsletter.preflight.registry import registered
from newsletter.render.environment import Environment
from newsletter.render.issue import RenderedIssue, render_issue

WEB = "https://news.example.org"
START = datetime(2026, 11, 12, 14, tzinfo=UTC)
Spoil = Callable[[IssueContent], IssueContent]


def fields(**changed: Any) -> Spoil:
    return lambda content: replace(content, **changed)


def sender(**changed: Any) -> Spoil:
    return lambda content: replace(content, sender=replace(content.sender, **changed))


def blocks(*made: Any) -> Spoil:
    return lambda content: replace(content, sections=(Section("news", "News", "cards", made),))


def letter(body: str) -> Spoil:
    return lambda content: replace(content, letter=Letter(body))


def post(**changed: Any) -> Spoil:
    return blocks(Post(**{"title": "A post", "blurb_html": "<p>Words.</p>", "url": "https://example.org/a", **changed}))


def event(**changed: Any) -> Spoil:
    return blocks(
        Event(**{"title": "An event", "blurb_html": "", "starts": START, "timezone": "Europe/London", **changed})
    )


def picture(**changed: Any) -> Spoil:
    return post(image=Image(**{"url": f"{WEB}/media/a.jpg", "width": 536, "height": 301, "alt": "A hall", **changed}))


def link(target: str, words: str = "the plan") -> Spoil:
    return letter(f'<p>Read <a href="{target}">{words}</a>.</p>')


def instead(old: str, new: str, part: str = "html") -> Callable[[RenderedIssue], RenderedIssue]:
    """Spoil the rendering, as an override of a template would."""

    def spoil(rendered: RenderedIssue) -> RenderedIssue:
        before = getattr(rendered, part)
        assert old in before
        return replace(rendered, **{part: before.replace(old, new)})

    return spoil


BY_CONTENT: list[tuple[str, Spoil]] = [
    ("empty-subject", fields(subject="  ")),
    ("no-sender", sender(from_address="")),
    ("no-reply-address", sender(reply_to="no-reply@example.org")),
    ("no-reply-address", sender(from_address="donotreply@example.org")),
    ("unresolved-tag", fields(subject="Dear {{fist_name}}")),
    ("unresolved-tag", fields(preheader="{{ x }}")),
    ("unresolved-tag", letter("<p>Dear {{surname|friend}},</p>")),
    ("unresolved-tag", letter('<p><a href="https://example.org/{{name}}">x y</a></p>')),
    ("unresolved-tag", letter("<p>*|FNAME|*</p>")),
    ("unresolved-tag", post(blurb_html="<p>{% if x %}</p>", blurb_is_typed=True)),
    ("unresolved-tag", post(title="For {{town}}", title_is_typed=True)),
    ("unresolved-tag", blocks(Quote("{{name}}"))),
    ("unresolved-tag", blocks(Button("{{go}}", "https://example.org/"))),
    ("tag-without-fallback", letter("<p>Dear {{first_name}},</p>")),
    ("tag-in-source-text", post(blurb_html="<p>Write {{first_name|x}} there.</p>")),
    ("long-subject", fields(subject="x " * 31)),
    ("shouting-subject", fields(subject="READ THIS NOW")),
    ("shouting-subject", fields(subject="Great news!!")),
    ("shouting-subject", fields(subject="News 🎉🎉")),
    ("repeated-subject", fields(subject="October news")),
    ("preheader", fields(preheader="")),
    ("preheader", fields(preheader="Too short")),
    ("preheader", fields(preheader="x" * 111)),
    ("preheader", lambda content: replace(content, preheader=content.subject)),
    ("missing-postal-address", sender(postal_address=" ")),
    ("missing-view-link", fields(view_url="")),
    ("empty-issue", fields(letter=None, sections=())),
    ("language", fields(language="und?")),
    ("language", fields(language="ar")),
    ("script-of-text", fields(language="ar", direction="rtl")),
    ("untranslated-words", fields(language="so")),
    ("empty-link", blocks(Button("Go", ""))),
    ("empty-link", blocks(Button("Go", "#top"))),
    ("empty-link", blocks(Button("Go", "/relative"))),
    ("empty-link", blocks(Button("Go", "javascript:alert(1)"))),
    ("empty-link", blocks(Button("Go", "https:///"))),
    ("local-link", link("http://localhost:8000/x")),
    ("local-link", link("https://127.0.0.1/x")),
    ("local-link", link("https://[::1]/x")),
    ("local-link", link("https://192.168.1.9/x")),
    ("local-link", link("https://intranet/x")),
    ("local-link", link("https://staging.example.org/x")),
    ("http-link-of-ours", link("http://news.example.org/x")),
    ("http-link", link("http://example.com/x")),
    ("vague-link", link("https://example.org/x", "click here")),
    ("same-words-two-addresses", letter('<p><a href="https://a.org/">Form</a> <a href="https://b.org/">form</a></p>')),
    ("bare-address", link("https://example.org/x", "https://example.org/x")),
    ("disguised-link", link("https://evil.example.net/x", "bank.example.org")),
    ("shortened-link", link("https://bit.ly/x")),
    (
        "mixed-campaign-marks",
        letter('<p><a href="https://a.org/?utm_campaign=1">A</a> <a href="https://b.org/?utm_campaign=2">B</a></p>'),
    ),
    ("many-links", letter("".join(f'<p><a href="https://example.org/{n}">Page {n}</a></p>' for n in range(45)))),
    ("file-link", post(url="https://example.org/guide.pdf")),
    ("picture-without-alt", picture(alt="")),
    ("picture-without-width", picture(width=0)),
    ("picture-address", picture(url="media/a.jpg")),
    ("picture-address", picture(url="cid:logo")),
    ("poor-alt", picture(alt="IMG_2041.jpg")),
    ("poor-alt", picture(alt="x" * 126)),
    ("large-picture", picture(url=f"{WEB}/media/large.jpg")),
    ("picture-without-credit", picture()),
    ("past-event", event(starts=datetime(2026, 11, 2, 9, tzinfo=UTC))),
    ("past-event", event(starts=None, starts_on=date(2026, 11, 1))),
    ("cancelled-event", event(cancelled=True)),
    ("event-ends-before-start", event(ends=datetime(2026, 11, 12, 13, tzinfo=UTC))),
    ("event-ends-before-start", event(starts=None, starts_on=date(2026, 12, 2), ends_on=date(2026, 12, 1))),
    ("event-without-zone", event(timezone=None)),
    ("event-without-zone", event(timezone="Customized Time Zone")),
    ("event-without-zone", event(starts=datetime(2026, 11, 12, 14))),  # noqa: DTZ001
    ("event-without-date", event(starts=None)),
    ("events-at-one-time", blocks(*(Event(t, "", START, timezone="Europe/London") for t in "AB"))),
    ("event-on-unusual-day", event(starts=None, starts_on=date(2026, 12, 25))),
    ("used-in-last-issue", post(title="An old story")),
    ("personal-detail", letter("<p>Maria, aged 14, told us.</p>")),
    ("personal-detail", letter("<p>Ring 07700 900123.</p>")),
    ("too-large", letter("<p>word word</p>" * 2500)),
    ("heavy", letter("<p>word word</p>" * 650)),
    ("direction-of-words", fields(language="ar", direction="rtl", subject="شبكة الأمان في دادلي")),
]

MARK = "\ufdd0unsubscribe_url\ufdd1"
BY_RENDERING: list[tuple[str, Callable[[RenderedIssue], RenderedIssue]]] = [
    ("missing-unsubscribe", instead(MARK, "https://example.org/")),
    ("missing-unsubscribe", instead(MARK, "", "text")),
    ("missing-preferences", instead("\ufdd0preferences_url\ufdd1", "https://example.org/")),
    ("missing-complaints", instead("/requests", "/other")),
    ("missing-postal-address", instead("1 High Street", "2 High Street")),
    ("missing-postal-address", instead("1 High Street", "2 High Street", "text")),
    ("missing-view-link", instead("/view/2026-11-abcdefghijklmnop", "/other")),
    ("standing-notice", instead("day and night", "at night")),
    ("standing-notice", instead("0800 555 0199", "0800 555 0198", "text")),
    ("standing-notice", instead("tel:08005550199", "tel:08005550198")),
    ("text-part", instead("https://example.org/news/3", "", "text")),
    ("text-part", lambda rendered: replace(rendered, text="")),
    ("control-character", instead("Dear", "De\x9dar")),
    ("language", instead('lang="en-GB" dir="ltr" xmlns', 'lang="en-GB" xmlns')),
    ("link-without-words", instead(">plan for winter<", "><")),
    ("wide-picture", instead('width="536"', 'width="700"')),
    ("headings", instead("h1", "h2")),
    ("headings", instead("h3", "h4")),
    ("small-type", instead("font-size:15px", "font-size:11px")),
    ("contrast", instead("color:#1d2a35", "color:#c0c8cc")),
    ("contrast", instead(".dm-text{color:#e3e9ee", ".dm-text{color:#40474d")),
    ("heavy-style", instead("</style>", "x" * 13_000 + "</style>")),
]

BY_FACTS: list[tuple[str, dict[str, Any]]] = [
    ("no-audience", {"recipients": None}),
    ("no-audience", {"recipients": 0}),
    ("unfinished-settings", {"unfinished_settings": ("organisation.from_address",)}),
    ("no-signing-key", {"signing_trouble": ("There are no keys to sign with.", "Make them.")}),
    ("lost-replies", {"lost_replies": ("Nobody would see people's replies.", "Set organisation.reply_to.")}),
    ("not-approved", {"for_sending": True, "approval": "four-eyes"}),
    (
        "not-approved",
        {"for_sending": True, "approval": "four-eyes", "approved": True, "approved_by": "ann", "last_editor": "ann"},
    ),
    ("not-tested", {"tested": False}),
    ("changed-at-source", {"changed_items": ("Carers' coffee morning: starts 15:00, was 14:00",)}),
    ("picture-left-out", {"failed_pictures": ("https://example.org/a.png: not a picture",)}),
    ("scheduled-in-past", {"scheduled_at": datetime(2026, 11, 1, 9, tzinfo=UTC)}),
    ("scheduled-on-unusual-day", {"scheduled_at": datetime(2026, 11, 7, 9, tzinfo=UTC)}),
    ("past-event", {"scheduled_at": datetime(2026, 11, 11, 9, tzinfo=UTC)}),
    ("standing-notice", {"standing_notice": "Another notice."}),
]

BLOCKING = {
    "empty-subject", "no-sender", "no-reply-address", "unresolved-tag", "missing-unsubscribe", "missing-postal-address",
    "missing-view-link", "standing-notice", "empty-issue", "text-part", "control-character", "language", "past-event",
    "script-of-text", "cancelled-event", "event-ends-before-start", "event-without-zone", "scheduled-in-past",
    "empty-link", "local-link", "http-link-of-ours", "picture-without-alt", "picture-without-width", "picture-address",
    "too-large", "no-audience", "unfinished-settings", "not-approved", "no-signing-key",
    "lost-replies",
}  # fmt: skip


@lru_cache(maxsize=4)
def cached_rendering(content: IssueContent, environment: Environment) -> RenderedIssue:
    return render_issue(content, environment)


def judge(
    content: IssueContent,
    environment: Environment,
    facts: IssueFacts,
    spoil: Callable[[RenderedIssue], RenderedIssue] | None = None,
) -> Report:
    rendered = cached_rendering(content, environment)
    return check([RenderedVariant(1, content, spoil(rendered) if spoil else rendered, 500)], facts)


def expect(report: Report, rule: str) -> None:
    found = [f for f in (report.blocks if rule in BLOCKING else report.warnings) if f.rule == rule]
    assert found, f"{rule} is not among {[f.rule for f in report.blocks + report.warnings]}"
    assert all(f.where and f.message and f.fix for f in found)


def test_the_sample_breaks_no_rule_but_the_one_on_credits(
    content: IssueContent, environment: Environment, facts: IssueFacts
) -> None:
    report = judge(content, environment, facts)
    assert report.blocks == ()
    assert report.passes
    assert [f.rule for f in report.warnings] == ["picture-without-credit"]


@pytest.mark.parametrize(("rule", "spoil"), BY_CONTENT)
def test_content_that_breaks_a_rule_is_found(
    rule: str, spoil: Spoil, content: IssueContent, environment: Environment, facts: IssueFacts
) -> None:
    known = replace(
        facts,
        previous_subjects=("October news",),
        previous_titles=("An old story",),
        picture_bytes={f"{WEB}/media/large.jpg": 300_000},
    )
    expect(judge(spoil(content), environment, known), rule)


@pytest.mark.parametrize(("rule", "spoil"), BY_RENDERING)
def test_a_rendering_that_breaks_a_rule_is_found(
    rule: str,
    spoil: Callable[[RenderedIssue], RenderedIssue],
    content: IssueContent,
    environment: Environment,
    facts: IssueFacts,
) -> None:
    expect(judge(content, environment, facts, spoil), rule)


@pytest.mark.parametrize(("rule", "changed"), BY_FACTS)
def test_facts_that_break_a_rule_are_found(
    rule: str, changed: dict[str, Any], content: IssueContent, environment: Environment, facts: IssueFacts
) -> None:
    expect(judge(content, environment, replace(facts, **changed)), rule)


def test_every_rule_has_an_issue_that_breaks_it() -> None:
    shown = {name for name, _ in (*BY_CONTENT, *BY_RENDERING, *BY_FACTS)}
    rules = [rule for rule in registered() if rule.of_form != "discreet"]  # these have a module of their own
    assert {rule.name for rule in rules} == shown
    assert {rule.name for rule in rules if rule.blocks} == BLOCKING


@pytest.mark.parametrize(
    "spoil",
    [
        post(title="About {{7*7}}", blurb_html="<p>{{config}} {% x %} *|A|*</p>"),
        event(starts=datetime(2026, 11, 1, 9, tzinfo=UTC), ends=datetime(2026, 11, 9, 9, tzinfo=UTC)),
        event(starts=None, starts_on=date(2026, 11, 1), ends_on=date(2026, 11, 3)),
        sender(reply_to="reply@example.org"),
        link("https://www.example.org/x", "example.org"),
        post(url="https://example.org/guide.pdf", label="Download (PDF, 340 kB)"),
        fields(language="en"),
        fields(subject="Naïve café: £5 a place"),
    ],
)
def test_what_is_right_is_not_blocked(
    spoil: Spoil, content: IssueContent, environment: Environment, facts: IssueFacts
) -> None:
    assert judge(spoil(content), environment, facts).blocks == ()


def test_a_file_is_named_once_and_its_kind_and_size_may_stand_in_the_blurb(
    content: IssueContent, environment: Environment, facts: IssueFacts
) -> None:
    url = "https://example.org/guide.pdf"
    untold = judge(post(url=url, label="Open it")(content), environment, facts)
    assert [finding.rule for finding in untold.warnings].count("file-link") == 1
    told = judge(
        post(url=url, label="Open it", blurb_html="<p>A guide (PDF, 1.2 MB).</p>")(content), environment, facts
    )
    assert "file-link" not in [finding.rule for finding in told.warnings]


def test_a_due_schedule_is_not_past_and_its_approval_is_judged(
    content: IssueContent, environment: Environment, facts: IssueFacts
) -> None:
    due = replace(facts, scheduled_at=datetime(2026, 11, 2, 9, 29, tzinfo=UTC), for_sending=True)
    assert judge(content, environment, due).blocks == ()
    approved = replace(due, approval="four-eyes", approved=True, approved_by="bob", last_editor="ann")
    assert judge(content, environment, approved).blocks == ()


def test_a_finding_of_some_variants_only_says_which(
    content: IssueContent, environment: Environment, facts: IssueFacts
) -> None:
    spoiled = replace(content, view_url="")
    variants = [RenderedVariant(n, c, render_issue(c, environment)) for n, c in ((1, content), (2, spoiled))]
    assert [f.where for f in check(variants, facts).blocks] == ["footer (variant 2)"]
    both = check([replace(v, content=spoiled) for v in variants], facts)
    assert [f.where for f in both.blocks] == ["footer"]


def test_more_than_64_variants_block(content: IssueContent, environment: Environment, facts: IssueFacts) -> None:
    rendered = render_issue(content, environment)
    small = replace(rendered, html=rendered.html[:3000])
    report = check([RenderedVariant(n, content, small) for n in range(1, 66)], facts)
    assert report.blocks[0].rule == "too-many-variants"
    assert (
        check([RenderedVariant(n, content, small) for n in range(1, 65)], facts).blocks[0].rule != "too-many-variants"
    )


def test_json_is_the_contract(content: IssueContent, environment: Environment, facts: IssueFacts) -> None:
    report = judge(replace(content, subject=""), environment, facts).to_json()
    assert list(report) == ["issue", "blocks", "warnings", "facts"]
    assert report["issue"] == "2026-11"
    assert list(report["blocks"][0]) == ["rule", "where", "message", "fix"]
    shown = report["facts"]
    assert shown["inbox"]["from"] == "Example Network <news@example.org>"
    assert shown["variants"][0]["recipients"] == 500
    assert shown["variants"][0]["html_bytes"] < shown["variants"][0]["encoded_html_bytes"] < 102_400
    assert {"text": "plan for winter", "label": None, "url": "https://example.org/plan"} in shown["variants"][0][
        "links"
    ]
    assert len(shown["variants"][0]["pictures"]) == 7


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2026, 4, 3), "Good Friday"),
        (date(2026, 4, 6), "Easter Monday"),
        (date(2026, 5, 4), "Early May"),
        (date(2026, 5, 25), "Spring"),
        (date(2026, 8, 31), "Summer"),
        (date(2026, 12, 25), "Christmas"),
        (date(2026, 12, 28), "Boxing Day"),
        (date(2027, 12, 27), "Christmas"),
        (date(2027, 12, 28), "Boxing Day"),
        (date(2028, 1, 3), "New Year"),
        (date(2026, 11, 12), ""),
    ],
)
def test_bank_holidays_follow_their_rules(day: date, name: str) -> None:
    assert holiday_name(day) == name
