"""What of an issue goes into the archive: what every reader got, tags showing their fallback; nothing for some only."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.compose import archive
from newsletter.compose.cleaning import plain_text
from newsletter.compose.content import Block as ContentBlock
from newsletter.compose.content import Button, Divider, Quote
from newsletter.publishing.prepare import content_of
from newsletter.render.personal import TAG
from newsletter.tables import Issue


def publish_issue(app: App, session: Session, issue: Issue, *, indexed: bool | None) -> None:
    """
    Put an issue into the archive.

    Raises:
        Conflict: When nobody was sent it.
    """
    archive.publish(session, issue, list(_texts(app, session, issue)), indexed=indexed, now=app.now())


def without_tags(text: str) -> str:
    """Return text that the chair typed as a reader without a name sees it."""
    return TAG.sub(lambda found: found[2] or "", text)


def _texts(app: App, session: Session, issue: Issue) -> Iterator[tuple[int | None, str]]:
    letter = content_of(app, session, issue, []).letter
    yield None, without_tags(f"{issue.subject}\n{issue.preheader}")
    if letter is not None:
        yield None, without_tags(f"{plain_text(letter.body_html)}\n{letter.name}\n{letter.role}")
    for block in issue.blocks:
        if not block.audience:
            for section in content_of(app, session, issue, [block]).sections:
                yield block.id, "\n".join(_words(part) for part in section.blocks)


def _words(part: ContentBlock) -> str:
    if isinstance(part, Divider):
        return ""
    if isinstance(part, Quote):
        return f"{part.text}\n{part.by}"
    if isinstance(part, Button):
        return part.label
    title = without_tags(part.title) if part.title_is_typed else part.title
    blurb = plain_text(part.blurb_html)
    words = [title, without_tags(blurb) if part.blurb_is_typed else blurb]
    return "\n".join([*words, *(part.authors if hasattr(part, "authors") else [part.place])])
