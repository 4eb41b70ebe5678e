"""
Render every variant of an issue that occurs in its audience, and judge them; reads only, changes nothing.
"""

from __future__ import annotations

import hashlib
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
from newsletter.config import Config
from newsletter.predicates import PREDICATES
from newsletter.preflight import Finding, RenderedVariant, Report, check
from newsletter.publishing.facts import issue_facts
from newsletter.render import links
from newsletter.render.environment import make_environment
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import render_issue
from newsletter.send.envelope import leave_address
from newsletter.tables import Block, Issue
from subscribers import lists
from subscribers.audience import Audience, audience_counts, select_audience
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
    """

    chosen: Select[int, int] | None
    counts: dict[str, int] | None
    sets: tuple[ItemSet, ...]
    trouble: tuple[Finding, ...] = ()


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
        variants.append(RenderedVariant(each.number, content, render_issue(content, environment), each.people))
    facts = issue_facts(
        session, issue, config=app.config, keys=app.keys, now=now, counts=readers.counts, for_sending=for_sending
    )
    report = check(variants, facts)
    report = replace(report, blocks=(*readers.trouble, *report.blocks))
    return Prepared(readers, tuple(variants), report, content_hash(issue, app.config))


def current_report(app: App, session: Session, issue: Issue) -> Report:
    return prepare(app, session, issue).report


def find_readers(app: App, session: Session, issue: Issue, now: datetime) -> Readers:
    """Work out the audience and the sets of blocks in it; what cannot be read becomes a finding."""
    timezone = app.config.organisation.timezone
    audience = issue_audience(issue, app.config)
    chosen, counts, trouble = None, None, []
    if not audience.is_empty:
        try:
            chosen = select_audience(session, audience, now=now, timezone=timezone, predicates=PREDICATES)
            counts = audience_counts(session, audience, now=now, timezone=timezone, predicates=PREDICATES)
        except SubscribersError as error:
            fix = error.hint or f"Set another audience: newsletter audience set {issue.slug}."
            trouble.append(Finding("audience", "audience", error.message, fix))
    try:
        sets = occurring(session, chosen, issue.blocks, now=now, timezone=timezone, predicates=PREDICATES)
    except (SubscribersError, TooManyVariants) as error:
        rule = "too-many-variants" if isinstance(error, TooManyVariants) else "item-audience"
        trouble.append(Finding(rule, "items", error.message, error.hint or "Change the audience of that item."))
        sets = (ItemSet(1, frozenset(block.id for block in issue.blocks), None, None),)
    return Readers(chosen, counts, sets, tuple(trouble))


def issue_audience(issue: Issue, config: Config) -> Audience:
    """Return the audience that was set, else the default lists; it may be empty, and then nobody is mailed."""
    stored = Audience.from_json(issue.audience)
    return Audience(lists=config.issue.default_lists) if stored.is_empty else stored


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


def message_headers(session: Session, issue: Issue, config: Config) -> MessageHeaders:
    """
    Return what the header of every copy has in common.

    With one list in the audience the copies are that list's; with several, the organisation's newsletter.
    """
    organisation = config.organisation
    audience = issue_audience(issue, config)
    domain = organisation.from_address.rpartition("@")[2]
    name, title = "newsletter", organisation.name
    if len(audience.lists) == 1 and not audience.segments:
        mailing_list = lists.get(session, audience.lists[0])
        name, title = mailing_list.name, mailing_list.title
    return MessageHeaders(
        from_name=organisation.from_name or organisation.name,
        from_address=organisation.from_address,
        reply_to=organisation.reply_to,
        list_id=f"{name}.{domain}",
        list_title=title,
        unsubscribe_mailto=f"mailto:{leave_address(config)}?subject=unsubscribe%20{{token}}",
        feedback_id=f"{issue.slug}:{name}:newsletter:{sender_id(domain)}",
        language=issue.language,
    )


def sender_id(domain: str) -> str:
    """
    Return how Gmail is to know the organisation in Feedback-ID: 5 to 15 characters, always the same ones.

    The domain itself where it fits, else its beginning and a hash of it.
    """
    if 5 <= len(domain) <= 15:
        return domain
    digest = hashlib.sha256(domain.encode()).hexdigest()[:7]
    return f"{domain[:7].rstrip('.-')}-{digest}"
