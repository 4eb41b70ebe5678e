"""
Freeze an issue: its variants and one delivery row for everybody in the audience, in one transaction; a row of another
kind for whoever gets it by the monthly digest.

From here on neither segments nor templates are run again. All that a copy's bytes depend on is in the two tables:
subject, HTML, text, header and signing of the variant; address, personal values, Date, Message-ID and token of the row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, insert, select, update
from sqlalchemy.orm import Session

from newsletter.config.settings import Config
from newsletter.errors import Conflict
from newsletter.keys import Keys
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue
from newsletter.send.owner import changed
from newsletter.send.plan_rows import Stamp, limit_of, write_deliveries, write_owed
from newsletter.send.receivers import DomainLimit, DomainLimits
from newsletter.send.signing import Signing, signing_of_new_mail
from newsletter.tables import Delivery, Issue, IssueState, Setting, Variant

# PAUSED is an issue whose schedule was missed: it was never planned.
PLANNABLE = (IssueState.DRAFT, IssueState.IN_REVIEW, IssueState.APPROVED, IssueState.SCHEDULED, IssueState.PAUSED)


@dataclass(frozen=True, slots=True)
class PlannedVariant:
    """
    One rendering, and who gets it.

    Attributes:
        condition: Over `Subscriber`; None is everybody whom no earlier variant took.
        discreet: It is for people who chose discreet mail.
    """

    number: int
    condition: ColumnElement[bool] | None
    rendered: RenderedIssue
    headers: MessageHeaders
    discreet: bool = False


def freeze(
    session: Session,
    issue: Issue,
    *,
    audience: Select[int, int],
    variants: Sequence[PlannedVariant],
    keys: Keys,
    config: Config,
    now: datetime,
    postponed: ColumnElement[bool] | None = None,
) -> int:
    """
    Write the variants and a delivery for everybody in *audience*, set the issue sending; return how many.

    Args:
        audience: Yields (subscriber_id, list_id), one row a subscriber.
        postponed: Over `Subscriber`: who gets no delivery, but is owed the issue by the monthly digest. It is asked
            with the audience, at once, so that each is in one of the two.

    Raises:
        Conflict: When the issue was planned before, or when there is nobody to mail.
        NoVariantFits: When no variant fits somebody.
        DkimKeyUnusable: When copies should be signed and there is no key for it.
    """
    if issue.state not in PLANNABLE or issue.planned_at is not None:
        raise Conflict(
            f"Issue {issue.slug} is {issue.state.value}: it was planned before.",
            hint=f"See how far it is: newsletter issue status {issue.slug}",
        )
    moment = now.replace(microsecond=0)
    signing = signing_of_new_mail(config, keys, moment)
    stored = _store_variants(session, issue, variants, keys, config, signing)
    limits = DomainLimits(config.send.domains)
    stamp = Stamp(keys.message_ids, config.bounce_domain, limits, moment)
    owed = write_owed(session, issue, audience, postponed) if postponed is not None else 0
    planned = write_deliveries(session, issue, audience, stored, stamp, but_owed=postponed is not None)
    if not planned and not owed:
        raise Conflict(
            f"Nobody is in the audience of issue {issue.slug}: nothing was planned.",
            hint=f"See who is left out and why: newsletter audience show {issue.slug}",
        )
    issue.state, issue.reason = IssueState.SENDING, None
    issue.planned, issue.planned_at, issue.finished_at = planned, moment, None
    issue.content_hash = _hash([_variant_hash(v) for v in variants])
    _note_limits(session, issue.id, limits)
    session.flush()
    return planned


def name_limits(session: Session, issue_id: int, limits: DomainLimits) -> tuple[DomainLimit, ...]:
    """Return the limits that rows of an issue are under; first name them anew when they were named by other rules."""
    if _noted_limits(session, issue_id) != limits.fingerprint:
        session.execute(select(Issue.id).where(Issue.id == issue_id).with_for_update())  # one worker names them
        wanted = limit_of(Delivery.domain, limits)
        statement = update(Delivery).where(Delivery.issue_id == issue_id, Delivery.rate_key.is_distinct_from(wanted))
        changed(session, statement.values(rate_key=wanted))
        _note_limits(session, issue_id, limits)
    if not limits:
        return ()
    present = set(session.scalars(select(Delivery.rate_key).where(Delivery.issue_id == issue_id).distinct()))
    return tuple(limits[name] for name in limits.names if name in present)


def stored_rendering(variant: Variant) -> RenderedIssue:
    """Return a stored variant as rendering made it."""
    stored = variant.headers
    return RenderedIssue(variant.subject, stored["preheader"], variant.html, variant.text, stored["language"])


def stored_headers(variant: Variant) -> MessageHeaders:
    return MessageHeaders.from_json(variant.headers["message"])


def stored_signing(variant: Variant) -> Signing | None:
    """Return how the copies of a variant are signed; None when they were planned unsigned."""
    stored = variant.headers.get("dkim")
    return Signing.from_json(stored) if stored else None


def _store_variants(
    session: Session,
    issue: Issue,
    variants: Sequence[PlannedVariant],
    keys: Keys,
    config: Config,
    signing: Signing | None,
) -> list[tuple[ColumnElement[bool] | None, int]]:
    """Return each variant's condition and id."""
    stored: list[tuple[ColumnElement[bool] | None, int]] = []
    for planned in variants:
        rendered = planned.rendered
        row = Variant(
            issue_id=issue.id,
            number=planned.number,
            subject=rendered.subject,
            html=rendered.html,
            text=rendered.text,
            content_hash=_variant_hash(planned),
            discreet=planned.discreet,
            headers={
                "message": planned.headers.to_json(),
                "preheader": rendered.preheader,
                "language": rendered.language,
                "links_key_id": keys.links.current.key_id,
                "marks_key_id": keys.marks.current.key_id,
                "web_url": config.web.url.rstrip("/"),
                "providers": sorted({account.provider for account in config.smtp.all_accounts if account.provider}),
                **({"dkim": signing.to_json()} if signing else {}),
            },
        )
        session.add(row)
        session.flush()
        stored.append((planned.condition, row.id))
    return stored


def _noted_limits(session: Session, issue_id: int) -> str:
    return session.scalar(select(Setting.value).where(Setting.name == _limits_name(issue_id))) or ""


def _note_limits(session: Session, issue_id: int, limits: DomainLimits) -> None:
    """Keep by which rules the limits of an issue's rows were named; nothing is kept where there are none."""
    session.execute(delete(Setting).where(Setting.name == _limits_name(issue_id)))
    if limits:
        session.execute(insert(Setting).values(name=_limits_name(issue_id), value=limits.fingerprint))


def _limits_name(issue_id: int) -> str:
    return f"limits:{issue_id}"


def _variant_hash(planned: PlannedVariant) -> str:
    rendered = planned.rendered
    return _hash([rendered.subject, rendered.preheader, rendered.html, rendered.text, planned.headers.to_json()])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
