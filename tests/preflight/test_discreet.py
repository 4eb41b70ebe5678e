"""Discreet mail is judged by rules of its own: what it must hold, and what an inbox may not show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from newsletter.compose.content import IssueContent
from newsletter.preflight import IssueFacts, RenderedVariant, Report, check
from newsletter.preflight.registry import registered
from newsletter.render.discreet import opening, render_discreet
from newsletter.render.environment import Environment
from newsletter.render.issue import RenderedIssue

NEUTRAL = {"from_name": "Updates", "subject": "Your update", "list_name": "updates", "reply_to": ""}
Spoil = Callable[[RenderedIssue], RenderedIssue]


@pytest.fixture
def known(facts: IssueFacts, environment: Environment) -> IssueFacts:
    return replace(
        facts,
        discreet=NEUTRAL,
        own_names=("Refuge Network", "Survivors of Dudley"),
        discreet_address="post@example.org",
        shipped_opening=opening(environment, "en-GB"),
    )


def judge(content: IssueContent, environment: Environment, facts: IssueFacts, spoil: Spoil = lambda r: r) -> Report:
    rendered = spoil(render_discreet(content, environment, "Your update"))
    return check([RenderedVariant(1, content, rendered, 3, discreet=True)], facts)


def test_the_sample_breaks_no_rule(content: IssueContent, environment: Environment, known: IssueFacts) -> None:
    report = judge(content, environment, known)
    assert (report.blocks, report.warnings) == ((), ())
    assert report.facts["inbox"]["from"] == "Updates <post@example.org>"
    assert report.facts["variants"][0]["discreet"] is True


def without(what: str) -> Spoil:
    def spoil(rendered: RenderedIssue) -> RenderedIssue:
        assert what in rendered.text
        return replace(rendered, text=rendered.text.replace(what, ""))

    return spoil


def beginning(words: str) -> Spoil:
    return lambda rendered: replace(rendered, text=f"{words}\n{rendered.text}")


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("discreet-unsubscribe", without("\ufdd0unsubscribe_url\ufdd1")),
        ("discreet-required", without("Dudley")),
        ("discreet-shows", beginning("Dear survivors")),
    ],
)
def test_a_rendering_that_breaks_a_rule_is_found(
    rule: str, spoil: Spoil, content: IssueContent, environment: Environment, known: IssueFacts
) -> None:
    assert rule in {finding.rule for finding in judge(content, environment, known, spoil).blocks}


@pytest.mark.parametrize("name", ["from_name", "subject", "list_name"])
def test_neutral_words_that_tell_who_writes_block(
    name: str, content: IssueContent, environment: Environment, known: IssueFacts
) -> None:
    spoiled = replace(known, discreet={**NEUTRAL, name: "refuge-post"})
    (finding,) = judge(content, environment, spoiled).blocks
    assert (finding.rule, finding.where) == ("discreet-shows", f"discreet.{name}")


def test_words_that_ship_tell_nobody_apart(content: IssueContent, environment: Environment, known: IssueFacts) -> None:
    """A list may be called Pictures; every discreet mail of everybody says that it has no pictures."""
    assert judge(content, environment, replace(known, own_names=("Pictures and Plain Words",))).blocks == ()


def test_what_only_a_person_can_mend_warns(content: IssueContent, environment: Environment, known: IssueFacts) -> None:
    spoiled = replace(content, sender=replace(content.sender, reply_to="chair@refuge.example"))
    report = judge(spoiled, environment, replace(known, discreet_address="refuge.news@example.org"))
    assert [finding.rule for finding in report.warnings] == ["discreet-address", "discreet-replies"]
    assert report.blocks == ()


def test_what_the_items_hold_is_judged_here_as_well(
    content: IssueContent, environment: Environment, known: IssueFacts
) -> None:
    report = judge(replace(content, letter=None, sections=()), environment, known)
    assert "empty-issue" in {finding.rule for finding in report.blocks}


def test_each_rule_of_discreet_mail_is_tried_here() -> None:
    assert {rule.name for rule in registered() if rule.of_form == "discreet"} == {
        "discreet-unsubscribe", "discreet-required", "discreet-shows", "discreet-address", "discreet-replies"
    }  # fmt: skip
