"""Rules on weight: Gmail cuts a mail at 102,400 bytes, and with it the footer and its unsubscribe link."""

from __future__ import annotations

from collections.abc import Iterator

from newsletter.preflight.document import Document
from newsletter.preflight.registry import Found, document_rule
from newsletter.preflight.values import IssueFacts

CLIPPED_BYTES = 102_400
HEAVY_BYTES = 90_000
HEAVY_STYLE_BYTES = 12_000
LARGEST_STYLE_BYTES = 16_000


@document_rule("too-large", blocks=True)
def too_large(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    size = weight(document)
    if size > CLIPPED_BYTES:
        yield Found(
            "HTML",
            f"The HTML has {size:,} bytes; Gmail cuts at {CLIPPED_BYTES:,} and hides the unsubscribe link.",
            "Take items out, or shorten blurbs.",
        )


@document_rule("heavy", blocks=False)
def heavy(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    size = weight(document)
    if HEAVY_BYTES < size <= CLIPPED_BYTES:
        yield Found("HTML", f"The HTML has {size:,} bytes; Gmail cuts at {CLIPPED_BYTES:,}.", "Take an item out.")


@document_rule("heavy-style", blocks=False)
def heavy_style(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    if document.style_bytes > HEAVY_STYLE_BYTES:
        yield Found(
            "HTML",
            f"The style blocks have {document.style_bytes:,} bytes; Gmail drops them all at {LARGEST_STYLE_BYTES:,}.",
            "Shorten your own version of the kept style sheets.",
        )


def weight(document: Document) -> int:
    """Return the larger of decoded and encoded size: reports disagree which of them Gmail measures."""
    return max(document.html_bytes, document.encoded_bytes)
