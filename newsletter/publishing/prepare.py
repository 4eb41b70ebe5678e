"""
Render every variant of an issue that occurs in its audience, and judge them; reads only, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Select
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.compose.assemble import Addresses, assemble
from newsletter.compose.content import IssueContent
from newsletter.compose.issue import content_hash
from newsletter.compose.variants import ItemSet, TooManyVariants, occurring
from newsletter.config.settings import Config
from newsletter.predicates import PREDICATES
from newsletter.preflight import Finding, RenderedVariant, Report, check
from newsletter.publishing.facts import issue_facts
from newsletter.publishing.readers import find_people, shown_blocks
from newsletter.render import links
from newsletter.render.discreet import render_discreet
from newsletter.render.environment import Environment, make_environment
from newsletter.render.issue import render_issue
from newsletter.tables import Block, Issue
from subscribers.errors import SubscribersError


@dataclass(frozen=True, slots=True)
class Readers:
    """
    Who would get an issue now.

    Attributes:
        chosen: Yields (subscriber_id, list_id); null when no audience is set or it cannot be read.
        counts: As `audience show` gives them; null likewise.
        sets: The sets of blocks that occur; at least one.
        trouble: Why it could not be worked out.
        with_monthly: As `chosen`, with those who get the monthly digest instead.
    """

    chosen: Select[int, int] | None
    counts: dict[str, int] | None
    sets: tuple[ItemSet, ...]
    trouble: tuple[Finding, ...] = ()
    with_monthly: Select[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The renderings, who gets which, what preflight says, and the hash of the content that all this is about."""

    readers: Readers
    variants: tuple[RenderedVariant, ...]
    report: Report
    content_hash: str


def prepare(
    app: App, session: Session, issue: Issue, *, for_sending: bool = False, now: datetime | None = None
) -> Prepared:
    """
    Render and judge an issue as it would go now.

    Args:
        for_sending: Judge the approval as well.

    Raises:
        TemplateError: With file, line and cause.
    """
    now = now or app.now()
    readers = find_readers(app, session, issue, now)
    environment = make_environment(app.template_folders)
    variants = []
    for each in readers.sets:
        content = content_of(app, session, issue, (block for block in issue.blocks if block.id in each.blocks))
        variants.append(rendered(app, environment, content, each))
    facts = issue_facts(
        session, issue, config=app.config, keys=app.keys, now=now, counts=readers.counts, for_sending=for_sending
    )
    report = check(variants, facts)
    report = replace(report, blocks=(*readers.trouble, *report.blocks))
    return Prepared(readers, tuple(variants), report, content_hash(issue, app.config))


def current_report(app: App, session: Session, issue: Issue) -> Report:
    return prepare(app, session, issue).report


def rendered(app: App, environment: Environment, content: IssueContent, each: ItemSet) -> RenderedVariant:
    """Return one set of items in the form that its people get."""
    if each.discreet:
        made = render_discreet(content, environment, app.config.discreet.subject)
    else:
        made = render_issue(content, environment)
    return RenderedVariant(each.number, content, made, each.people, each.discreet)


def discreet_form(app: App, variant: RenderedVariant) -> RenderedVariant:
    """Return a variant as people who chose discreet mail would get it, also where nobody did."""
    if variant.discreet:
        return variant
    made = render_discreet(variant.content, make_environment(app.template_folders), app.config.discreet.subject)
    return RenderedVariant(variant.number, variant.content, made, None, discreet=True)


def find_readers(app: App, session: Session, issue: Issue, now: datetime) -> Readers:
    """Work out the audience and the sets of blocks in it; what cannot be read becomes a finding."""
    timezone = app.config.organisation.timezone
    chosen, everybody, counts, trouble = None, None, None, []
    try:
        found = find_people(session, issue, app.config, now)
        if found is not None:
            chosen, everybody, counts = found
    except SubscribersError as error:
        fix = error.hint or f"Set another audience: newsletter audience set {issue.slug}."
        trouble.append(Finding("audience", "audience", error.message, fix))
    blocks = shown_blocks(issue, app.config, now)
    try:
        sets = occurring(session, chosen, blocks, now=now, timezone=timezone, predicates=PREDICATES)
    except (SubscribersError, TooManyVariants) as error:
        rule = "too-many-variants" if isinstance(error, TooManyVariants) else "item-audience"
        trouble.append(Finding(rule, "items", error.message, error.hint or "Change the audience of that item."))
        sets = (ItemSet(1, frozenset(block.id for block in blocks), None, None),)
    return Readers(chosen, counts, sets, tuple(trouble), everybody)


def content_of(app: App, session: Session, issue: Issue, blocks: Iterable[Block] | None = None) -> IssueContent:
    """Return one variant as a value; null *blocks* are all."""
    return assemble(session, issue, config=app.config, addresses=make_addresses(app, issue.slug), blocks=blocks)


def make_addresses(app: App, slug: str) -> Addresses:
    """Return how public addresses of an issue are made: rendering knows the shapes, the workspace the key."""
    web_url = app.config.web.url.rstrip("/")
    key = app.keys.marks.current
    return Addresses(
        view=links.view_url(web_url, slug, links.issue_mark(key, slug)),
        media=lambda file_name: links.media_url(web_url, file_name),
        calendar=lambda item_id: links.calendar_url(web_url, item_id, links.event_mark(key, item_id)),
    )


def is_tested(issue: Issue, config: Config) -> bool:
    return issue.tested_hash == content_hash(issue, config)
