"""What preflight is told and what it answers: plain values, made by whoever holds the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from newsletter.compose.content import IssueContent
from newsletter.render.issue import RenderedIssue


@dataclass(frozen=True, slots=True)
class RenderedVariant:
    """
    One variant: what it was made of and what came out. `recipients` null when it was not counted.

    A `discreet` one has no HTML; its content is that of the ordinary mail.
    """

    number: int
    content: IssueContent
    rendered: RenderedIssue
    recipients: int | None = None
    discreet: bool = False


@dataclass(frozen=True, slots=True)
class IssueFacts:
    """
    What the rules must know beside the rendered variants. Everything but the first three has a harmless default.

    Attributes:
        now: Aware. The time of sending, or of the check; with `scheduled_at`, events are judged at the later one.
        timezone: The organisation's, for weekdays and times in words.
        recipients: How many people would be mailed now; null when no audience is set.
        audience_counts: What `audience show` counts (matched, suppressed ...), shown only.
        own_hosts: Hosts of the organisation: where its links must be https.
        standing_notice, standing_phone: As configured; when set, every variant must carry them unaltered.
        for_sending: True when this check opens the way to sending: approval is judged only then.
        approved: That the present content is approved.
        approval: The organisation's rule; with `four-eyes` the approver must not be the last editor.
        tested: That a test copy went out since the last change.
        failed_pictures: A picture that was left out and why, in words, an entry each.
        changed_items: An item that its source changed after it was drafted, and what changed, in words, an entry each.
        picture_bytes: File size by picture address.
        previous_subjects: Subjects of issues already sent.
        previous_titles: Titles of posts and resources in the last issue.
        unfinished_settings: Configuration keys that `init` left open, such as a sender under `.invalid`.
        signing_trouble: Why copies cannot be signed as configured, and what to do; null when they can, or need not.
        is_digest: It is a monthly digest.
        discreet: Name and value of the configuration's neutral words, as a discreet mail's header shows them.
        own_names: What tells who writes: the organisation's names, the titles of the lists.
        discreet_address: The From address of discreet mail.
        shipped_opening: The first lines of discreet mail as this program ships them.
        lost_replies: Why nobody would see people's replies, and what to do; null when somebody would.
    """

    slug: str
    now: datetime
    timezone: str
    recipients: int | None = None
    audience_counts: Mapping[str, int] = field(default_factory=dict)
    own_hosts: tuple[str, ...] = ()
    standing_notice: str = ""
    standing_phone: str = ""
    scheduled_at: datetime | None = None
    for_sending: bool = False
    approval: Literal["single", "four-eyes"] = "single"
    approved: bool = False
    approved_by: str | None = None
    last_editor: str | None = None
    tested: bool = False
    failed_pictures: tuple[str, ...] = ()
    changed_items: tuple[str, ...] = ()
    picture_bytes: Mapping[str, int] = field(default_factory=dict)
    previous_subjects: tuple[str, ...] = ()
    previous_titles: tuple[str, ...] = ()
    unfinished_settings: tuple[str, ...] = ()
    signing_trouble: tuple[str, str] | None = None
    lost_replies: tuple[str, str] | None = None
    is_digest: bool = False
    discreet: Mapping[str, str] = field(default_factory=dict)
    own_names: tuple[str, ...] = ()
    discreet_address: str = ""
    shipped_opening: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a rule found: which rule, where, what is wrong, and what to do."""

    rule: str
    where: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Report:
    """What preflight says; sending is refused while `blocks` holds anything."""

    slug: str
    blocks: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    facts: Mapping[str, Any]

    @property
    def passes(self) -> bool:
        return not self.blocks

    def to_json(self) -> dict[str, Any]:
        """Return what `issue check --json` prints."""
        return {
            "issue": self.slug,
            "blocks": [asdict(finding) for finding in self.blocks],
            "warnings": [asdict(finding) for finding in self.warnings],
            "facts": dict(self.facts),
        }
