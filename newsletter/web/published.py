"""What the site shows of an issue: its page, its pictures, its events; only what has left the house is shown."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.render.links import MARK_CHARACTERS, event_mark, issue_mark, media_url
from newsletter.tables import Block, Issue, Item
from newsletter.web.calendar_file import calendar_file
from subscribers.tokens import Keyring

MEDIA_NAME = re.compile(r"[0-9a-f]{64}\.(jpg|png|gif)")
EVENT_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
MEDIA_KINDS = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif"}


def media_path(folder: Path, name: str) -> tuple[Path, str] | None:
    """Return the file and type of a picture; only a name that is a hash is ever joined to the folder."""
    found = MEDIA_NAME.fullmatch(name)
    return (folder / name, MEDIA_KINDS[found[1]]) if found else None


def announced_event(session: Session, marks: Keyring, name: str) -> Item | None:
    """Return the event that an issue has announced, by its marked name; None for every other."""
    number, _, mark = name.partition("-")
    if not EVENT_NUMBER.fullmatch(number):
        return None
    item_id = int(number)
    if not any(hmac.compare_digest(mark.encode(), event_mark(key, item_id).encode()) for key in marks.keys):
        return None
    item = session.get(Item, item_id)
    return item if item is not None and _announced(session, item_id) else None


def calendar_of(app: App, marks: Keyring, name: str, host: str) -> bytes | None:
    """Return the calendar file of an event that an issue has announced; None for every other."""
    with app.database.read() as session:
        item = announced_event(session, marks, name)
        return calendar_file(item, host=host, fallback_timezone=app.config.organisation.timezone) if item else None


def _announced(session: Session, item_id: int) -> bool:
    # A test copy goes out before the plan, and its links must work as well.
    left_the_house = or_(Issue.planned_at.is_not(None), Issue.tested_hash.is_not(None))
    rows = select(Block.id).join(Issue).where(Block.item_id == item_id, left_the_house)
    return bool(session.scalar(select(exists(rows))))


def web_version(app: App, marks: Keyring, name: str, script: str) -> str | None:
    """
    Return the page of an issue, whose name ends with the mark that keeps it private; None for every other name.

    It is the issue as somebody outside every segment sees it: the link is the same in every copy and may be forwarded,
    so a block that is meant for some people only is not on it.
    """
    slug = _slug(marks, name)
    if slug is None:
        return None
    with app.database.read() as session:
        issue = session.scalar(select(Issue).where(Issue.slug == slug))
        if issue is None or (issue.planned_at is None and issue.tested_hash is None):
            return None
        return page_of(app, session, issue, for_everybody(issue), script=script)


def for_everybody(issue: Issue) -> list[Block]:
    """Return the blocks that every reader got."""
    return [block for block in issue.blocks if not block.audience]


def page_of(
    app: App, session: Session, issue: Issue, blocks: Sequence[Block], *, script: str, archive_url: str = ""
) -> str:
    """
    Return an issue's page with the script of the quick exit.

    Args:
        archive_url: The list of issues, relative to the page; empty where the page is not of the archive.
    """
    # Here and not at the top: rendering is heavy, and an unsubscribe must not depend on it.
    from newsletter.publishing import content_of
    from newsletter.render.archive import Surroundings, render_web_version
    from newsletter.render.environment import make_environment

    around = Surroundings(
        app.config.web.exit_url,
        issue.planned_at.astimezone(app.config.organisation.zone).date() if issue.planned_at else None,
        archive_url,
        is_indexed=bool(archive_url) and issue.indexed,
    )
    page = render_web_version(content_of(app, session, issue, blocks), make_environment(app.template_folders), around)
    body, end, rest = page.rpartition("</body>")
    page = f"{body}<script>{script}</script>{end}{rest}"
    # Relative: the pictures come from wherever the page was reached, which is all that its policy allows.
    return page.replace(media_url(app.config.web.url, ""), "../media/")


def _slug(marks: Keyring, name: str) -> str | None:
    slug, mark = name[: -MARK_CHARACTERS - 1], name[-MARK_CHARACTERS:]
    if not slug or name[len(slug)] != "-":
        return None
    known = any(hmac.compare_digest(mark.encode(), issue_mark(key, slug).encode()) for key in marks.keys)
    return slug if known else None
