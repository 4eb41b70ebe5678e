"""What preflight must know of an issue beside its renderings, read from the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.compose.issue import content_hash, is_approved
from newsletter.compose.pictures import picture_for
from newsletter.compose.review import changed_blocks
from newsletter.config.settings import Config
from newsletter.dkim_keys import DkimKeyUnusable
from newsletter.keys import Keys
from newsletter.paths import shipped_templates
from newsletter.preflight import IssueFacts
from newsletter.render.discreet import opening
from newsletter.render.environment import make_environment
from newsletter.render.links import media_url
from newsletter.send.envelope import discreet_address, lost_replies
from newsletter.send.signing import signing_of_new_mail
from newsletter.tables import Issue, ItemKind, Picture
from subscribers.tables import MailingList


def issue_facts(
    session: Session,
    issue: Issue,
    *,
    config: Config,
    keys: Keys,
    now: datetime,
    counts: Mapping[str, int] | None,
    for_sending: bool,
) -> IssueFacts:
    """Gather the facts; *counts* are `audience_counts`, null when no audience is set."""
    organisation = config.organisation
    earlier = _sent_before(session, issue)
    return IssueFacts(
        slug=issue.slug,
        now=now,
        timezone=organisation.timezone,
        recipients=None if counts is None else counts["mailed"],
        audience_counts=counts or {},
        own_hosts=own_hosts(config),
        standing_notice=organisation.helpline,
        standing_phone=organisation.helpline_phone,
        scheduled_at=issue.scheduled_at,
        for_sending=for_sending,
        approval=config.issue.approval,
        approved=is_approved(issue, config),
        approved_by=issue.approved_by,
        last_editor=issue.edited_by,
        tested=issue.tested_hash == content_hash(issue, config),
        failed_pictures=tuple(failed_pictures(session, issue)),
        changed_items=tuple(changed.in_words() for changed in changed_blocks(issue)),
        picture_bytes=_picture_bytes(session, config),
        previous_subjects=tuple(other.subject for other in earlier),
        # Everything in a digest was in an issue before.
        previous_titles=tuple(_titles(earlier[0])) if earlier and not issue.digest_of else (),
        unfinished_settings=config.unfinished,
        signing_trouble=signing_trouble(config, keys, now),
        lost_replies=lost_replies(config),
        is_digest=issue.digest_of is not None,
        discreet={name: getattr(config.discreet, name) for name in ("from_name", "subject", "list_name", "reply_to")},
        own_names=tuple(own_names(session, config)),
        discreet_address=discreet_address(config),
        shipped_opening=opening(make_environment((shipped_templates(),)), issue.language),
    )


def own_names(session: Session, config: Config) -> list[str]:
    """Return what tells who writes: the organisation's names, and the titles of its lists."""
    organisation = config.organisation
    names = (organisation.name, organisation.from_name, *session.scalars(select(MailingList.title)))
    return list(dict.fromkeys(name for name in names if name))


def signing_trouble(config: Config, keys: Keys, now: datetime) -> tuple[str, str] | None:
    """Return why new mail cannot be signed as configured, and what to do; null when nothing is in the way."""
    try:
        signing_of_new_mail(config, keys, now)
    except DkimKeyUnusable as error:
        return error.message, error.hint
    return None


def own_hosts(config: Config) -> tuple[str, ...]:
    """Return the hosts of the organisation, with and without ``www.``."""
    found = {urlsplit(url).hostname for url in (config.web.url, config.organisation.website)}
    found.add(config.organisation.from_address.rpartition("@")[2])
    hosts = {host.removeprefix("www.") for host in found if host}
    return tuple(sorted(hosts | {f"www.{host}" for host in hosts}))


def failed_pictures(session: Session, issue: Issue) -> list[str]:
    """Return the pictures that items have and the issue does not show, each with the reason."""
    words = []
    for block in issue.blocks:
        url = (block.snapshot or {}).get("image_url")
        if url and picture_for(session, url) is None:
            title = block.headline or (block.snapshot or {}).get("title")
            words.append(f"The picture of '{title}': {_why(session, url)}")
    return words


def _why(session: Session, url: str) -> str:
    row = session.scalars(select(Picture).where(Picture.source_url == url).limit(1)).first()
    return row.error if row is not None and row.error else "it was not fetched yet (newsletter source fetch)."


def _sent_before(session: Session, issue: Issue) -> list[Issue]:
    statement = select(Issue).where(Issue.planned_at.is_not(None), Issue.id != issue.id, Issue.digest_of.is_(None))
    return list(session.scalars(statement.order_by(Issue.planned_at.desc(), Issue.id.desc())))


def _titles(issue: Issue) -> list[str]:
    """Past issues and events may come again; a post or resource that comes twice is a slip."""
    kinds = (ItemKind.POST, ItemKind.RESOURCE)
    return [b.headline or b.item.title for b in issue.blocks if b.item is not None and b.item.kind in kinds]


def _picture_bytes(session: Session, config: Config) -> dict[str, int]:
    rows = session.execute(
        select(Picture.file_name, Picture.bytes).where(Picture.file_name.is_not(None), Picture.bytes.is_not(None))
    )
    return {media_url(config.web.url.rstrip("/"), str(name)): int(size or 0) for name, size in rows}
