"""What preflight shows whatever the rules say: the inbox row, sizes, every link, every picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from newsletter.preflight.document import Document
from newsletter.preflight.size import CLIPPED_BYTES, weight
from newsletter.preflight.values import IssueFacts

INBOX_CUTS = (40, 90, 140)


def shown_facts(documents: Sequence[Document], facts: IssueFacts) -> dict[str, Any]:
    """Return JSON values."""
    return {
        "recipients": facts.recipients,
        "audience": dict(facts.audience_counts),
        "checked_at": facts.now.isoformat(),
        "scheduled_at": facts.scheduled_at.isoformat() if facts.scheduled_at else None,
        "inbox": _inbox(documents[0], facts) if documents else None,
        "variants": [_variant(document) for document in documents],
        "changed_items": list(facts.changed_items),
        "failed_pictures": list(facts.failed_pictures),
    }


def _inbox(document: Document, facts: IssueFacts) -> dict[str, Any]:
    sender = document.content.sender
    name, address = sender.from_name or sender.name, sender.from_address
    if document.variant.discreet:
        name, address = facts.discreet["from_name"], facts.discreet_address
    return {
        "from": f"{name} <{address}>",
        "subject": document.subject,
        "subject_characters": len(document.subject),
        "preheader": document.preheader,
        "preheader_characters": len(document.preheader),
        "preheader_cut": {str(cut): _cut(document.preheader, cut) for cut in INBOX_CUTS},
    }


def _variant(document: Document) -> dict[str, Any]:
    size = weight(document)
    return {
        "number": document.variant.number,
        "recipients": document.variant.recipients,
        "discreet": document.variant.discreet,
        "sections": {part.title: len(part.blocks) for part in document.content.sections if part.blocks},
        "html_bytes": document.html_bytes,
        "encoded_html_bytes": document.encoded_bytes,
        "style_bytes": document.style_bytes,
        "text_bytes": len(document.text.encode()),
        "gmail_clip_percent": round(100 * size / CLIPPED_BYTES),
        "headings": [{"level": level, "text": text} for level, text in document.headings],
        "links": [{"text": link.text, "label": link.label or None, "url": link.href} for link in document.links],
        "pictures": [{"alt": p.alt, "url": p.src, "width": p.width} for p in document.pictures],
    }


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"
