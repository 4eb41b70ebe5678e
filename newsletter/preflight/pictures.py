"""Rules on pictures: words for those who do not see them, a width for Outlook, a public address, a small file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.compose.content import Image
from newsletter.preflight.document import Document
from newsletter.preflight.registry import Found, document_rule, issue_rule
from newsletter.preflight.values import IssueFacts

LARGEST_BYTES = 200_000
WIDEST_PIXELS = 600
LONGEST_ALT = 125
_FILE_NAME = re.compile(r"\S+\.(jpe?g|png|gif|webp|heic)|(img|dsc|image|photo|screenshot)[-_ ]?\d+", re.IGNORECASE)


@document_rule("picture-without-alt", blocks=True)
def picture_without_alt(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for picture in document.pictures:
        if not (picture.alt or "").strip():
            yield Found(
                picture.src or "picture",
                "This picture has no alternative text; without pictures nothing is there.",
                "Describe it in a sentence: newsletter library set ID image_alt=...",
            )


@document_rule("picture-without-width", blocks=True)
def picture_without_width(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for picture in document.pictures:
        if not picture.width.isdigit() or picture.width == "0":
            yield Found(picture.name, "This picture has no width in whole pixels: Outlook shows it huge.", "Set one.")


@document_rule("picture-address", blocks=True)
def picture_address(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for picture in document.pictures:
        if not picture.src.startswith(("https://", "http://")):
            shown = picture.src[:60] or "nothing"
            yield Found(
                picture.name, f"The picture's address is {shown}: no member can load it.", "Use a public https address."
            )


@document_rule("wide-picture", blocks=False)
def wide_picture(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for picture in document.pictures:
        if picture.width.isdigit() and int(picture.width) > WIDEST_PIXELS:
            yield Found(picture.name, f"It is shown {picture.width} pixels wide.", f"{WIDEST_PIXELS} is the most.")


@document_rule("poor-alt", blocks=False)
def poor_alt(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for picture in document.pictures:
        alt = (picture.alt or "").strip()
        if _FILE_NAME.fullmatch(alt):
            yield Found(picture.src, f"The alternative text '{alt}' is a file name.", "Say what the picture shows.")
        elif len(alt) > LONGEST_ALT:
            yield Found(
                picture.src,
                f"The alternative text has {len(alt)} characters; listeners hear it all.",
                f"Keep it under {LONGEST_ALT}.",
            )


@document_rule("large-picture", blocks=False)
def large_picture(document: Document, facts: IssueFacts) -> Iterator[Found]:
    for picture in document.pictures:
        size = facts.picture_bytes.get(picture.src, 0)
        if size > LARGEST_BYTES:
            yield Found(
                picture.name, f"The file has {size:,} bytes; it loads slowly on a phone.", "Use one under 200 kB."
            )


@document_rule("picture-without-credit", blocks=False)
def picture_without_credit(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    missing = [item.title for item in document.items if item.image and not _credited(item.image)]
    if missing:
        yield Found(
            ", ".join(missing),
            f"No credit is recorded for {len(missing)} of the pictures, so nobody can see whose they are.",
            "Make sure that those in the picture and its maker agreed; record the credit with newsletter library set.",
        )


@issue_rule("picture-left-out", blocks=False)
def picture_left_out(facts: IssueFacts) -> Iterator[Found]:
    for words in facts.failed_pictures:
        yield Found(
            "pictures", f"A picture was left out: {words}", "Try `newsletter source fetch`, or another picture."
        )


def _credited(image: Image) -> bool:
    return bool(image.credit.strip())
