"""What `issue` commands print about an issue, for people and as JSON; lines fit 40 columns as well as 100."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.cli.output import Output
from newsletter.compose.assemble import section_rules
from newsletter.compose.issue import is_approved
from newsletter.compose.review import ChangedBlock, changed_blocks
from newsletter.compose.sections import sections_of
from newsletter.publishing import is_tested, issue_audience
from newsletter.tables import Block, BlockKind, Issue, IssueState
from subscribers.audience import Audience

NARROWEST, WIDEST = 40, 100
LABEL_WIDTH = 11


def terminal_width() -> int:
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((80, 24)).columns)) - 1


def wrapped(text: str, *, indent: int = 0, first: str | None = None) -> str:
    """Return *text* folded to the terminal; lines after the first are indented, the first begins with *first*."""
    lead = " " * indent if first is None else first.ljust(indent)
    lines = textwrap.wrap(" ".join(text.split()), terminal_width(), initial_indent=lead, subsequent_indent=" " * indent)
    return "\n".join(lines) or lead.rstrip()


def tell(output: Output, text: str) -> None:
    """Print a note, each of its lines folded."""
    output.note("\n".join(wrapped(line) for line in text.splitlines()))


def summary_row(issue: Issue) -> dict[str, Any]:
    """Return an issue as `issue list` gives it."""
    return {
        "issue": issue.slug,
        "state": issue.state.value,
        "subject": issue.subject,
        "blocks": len(issue.blocks),
        "planned": issue.planned,
        "created_at": issue.created_at,
        "edited_at": issue.edited_at,
        "edited_by": issue.edited_by,
        "scheduled_at": issue.scheduled_at,
        "finished_at": issue.finished_at,
        "published_at": issue.published_at,
        "indexed": issue.indexed,
        "reason": issue.reason,
    }


def issue_document(app: App, issue: Issue) -> dict[str, Any]:
    """Return an issue as `issue show --json` gives it."""
    changed = {each.block.id: each for each in changed_blocks(issue)}
    return {
        **summary_row(issue),
        "digest_of": issue.digest_of,
        "preheader": issue.preheader,
        "language": issue.language,
        "letter": {
            "text": issue.letter,
            "name": issue.letter_name,
            "role": issue.letter_role,
            "photograph": issue.letter_picture_id is not None,
        }
        if issue.letter
        else None,
        "audience": issue_audience(issue, app.config).to_json(),
        "approved": is_approved(issue, app.config),
        "approved_by": issue.approved_by,
        "approved_at": issue.approved_at,
        "tested": is_tested(issue, app.config),
        "sections": [
            {
                "name": section.rule.name,
                "title": section.rule.title,
                "blocks": [_block_document(block, changed.get(block.id)) for block in section.blocks],
            }
            for section in sections_of(issue, section_rules(app.config))
        ],
    }


def issue_page(app: App, session: Session, issue: Issue) -> str:
    """Return an issue as `issue show` prints it."""
    del session  # blocks and items are loaded through the issue while it is open
    lines = [f"{issue.slug}  {issue.state.value.replace('_', ' ')}", *_head(app, issue)]
    changed = {each.block.id: each for each in changed_blocks(issue)}
    for section in sections_of(issue, section_rules(app.config)):
        lines += ["", f"{section.rule.title}  ({section.rule.name})"]
        for block in section.blocks:
            lines += _block_lines(block, changed.get(block.id))
    if not issue.blocks:
        lines += ["", wrapped(f"It has no blocks yet: newsletter issue add {issue.slug} ITEM")]
    return "\n".join(lines)


def next_step(app: App, issue: Issue) -> str:
    """Return the sentence that says what to do next with an issue."""
    slug = issue.slug
    if issue.state is IssueState.DRAFT and issue_audience(issue, app.config).is_empty:
        return f"Next: newsletter audience set {slug} --list NAME"
    if issue.state in (IssueState.APPROVED, IssueState.SCHEDULED) and not is_approved(issue, app.config):
        return f"Its readers or settings changed after the approval. Next: newsletter issue approve {slug}"
    return {
        IssueState.DRAFT: f"Next: newsletter issue preview {slug}, then check and test it",
        IssueState.IN_REVIEW: f"Next: newsletter issue approve {slug}",
        IssueState.APPROVED: f"Next: newsletter issue send {slug}, or schedule it",
        IssueState.SCHEDULED: "Next: `newsletter work` or `newsletter serve` must run at that time",
        IssueState.SENDING: f"Next: newsletter issue status {slug}",
        IssueState.PAUSED: f"Next: newsletter issue resume {slug}",
        IssueState.SENT: f"Next: newsletter issue report {slug}",
        IssueState.CANCELLED: "Its items are free for another draft: newsletter issue draft",
    }[issue.state]


def local_time(app: App, moment: datetime | None) -> str:
    return moment.astimezone(app.config.organisation.zone).strftime("%a %d %B %Y, %H:%M") if moment else ""


def audience_words(audience: Audience) -> str:
    """Return an audience in a line: `list members; segment town = 'Dudley'; without list press`."""
    parts = [f"list {name}" for name in audience.lists] + [f"segment {text}" for text in audience.segments]
    parts += [f"without list {name}" for name in audience.exclude_lists]
    return "; ".join(parts + [f"without segment {text}" for text in audience.exclude_segments])


def _head(app: App, issue: Issue) -> Iterator[str]:
    audience = issue_audience(issue, app.config)
    facts = {
        "Subject": issue.subject or "none yet",
        "Preheader": issue.preheader or "none yet: the first titles stand in",
        "Language": issue.language,
        "Letter": ", ".join(filter(None, (issue.letter_name, issue.letter_role))) or "without a name"
        if issue.letter
        else "none",
        "Audience": audience_words(audience) or "none: nobody is mailed",
        "Approved": f"by {issue.approved_by}" if is_approved(issue, app.config) else "",
        "Scheduled": local_time(app, issue.scheduled_at),
        "Planned": str(issue.planned) if issue.planned_at else "",
        "Archive": _archived(issue),
        "Reason": issue.reason or "",
    }
    for label, value in facts.items():
        if value:
            yield wrapped(value, indent=LABEL_WIDTH, first=label)


def _archived(issue: Issue) -> str:
    if issue.published_at is None:
        return ""
    return "everybody may read it, and search engines may keep it" if issue.indexed else "everybody may read it"


def _block_lines(block: Block, changed: ChangedBlock | None) -> Iterator[str]:
    yield wrapped(block_title(block), indent=7, first=f"{block.id:>5}")
    if block.audience:
        yield wrapped(f"only for: {block.audience}", indent=7)
    if changed:
        yield wrapped(f"! changed at its source: {', '.join(changed.changes)}", indent=7)


def block_title(block: Block) -> str:
    """Return what a block is called in lists; an event begins with its day."""
    taken = block.snapshot or {}
    if block.kind is BlockKind.ITEM:
        day = str(taken.get("starts_at") or taken.get("starts_on") or "")[:10]
        return f"{day}  {block.headline or taken.get('title', '')}".strip()
    shown = {BlockKind.QUOTE: "text", BlockKind.BUTTON: "label", BlockKind.LETTER: "title"}.get(block.kind)
    return f"{block.kind.value}: {block.payload.get(shown, '')}" if shown else block.kind.value


def _block_document(block: Block, changed: ChangedBlock | None) -> dict[str, Any]:
    taken = block.snapshot or {}
    return {
        "id": block.id,
        "kind": block.kind.value,
        "position": block.position,
        "item": block.item_id,
        "item_kind": taken.get("kind"),
        "title": block.headline or taken.get("title"),
        "headline": block.headline,
        "blurb": block.blurb,
        "audience": block.audience,
        "starts": taken.get("starts_at") or taken.get("starts_on"),
        "url": taken.get("url"),
        "changes": changed.changes if changed else {},
        **({"payload": block.payload} if block.payload else {}),
    }
