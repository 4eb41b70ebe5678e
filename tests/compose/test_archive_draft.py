"""The real archive becomes an issue: everything in its section, nothing past, nothing invented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from newsletter.compose.drafting import Wishes, draft_issue
from newsletter.compose.library import store_reading
from newsletter.compose.sections import sections_of
from newsletter.compose.sources.archive_text import read_archive_text
from newsletter.tables import Item, ItemKind, Source, SourceKind


def test_the_archive_is_drafted_with_its_kinds_in_their_sections(app: Any, shared: Path) -> None:
    with app.database.write() as session:
        for path in sorted((shared / "seeds").glob("*.txt")):
            source = Source(name=path.stem, kind=SourceKind.ARCHIVE_TEXT, location=str(path), created_at=app.now())
            session.add(source)
            session.flush()
            reading = read_archive_text(path.read_text(encoding="utf-8"), timezone="Europe/London")
            store_reading(session, source, reading, app.now(), timezone="Europe/London")
        drafted = draft_issue(session, Wishes(), config=app.config, actor="ann", now=app.now())
        assert drafted.issue is not None
        found = {s.rule.name: s.blocks for s in sections_of(drafted.issue, app.config.issue.sections)}
        for section, kind in (
            ("news", ItemKind.POST),
            ("resources", ItemKind.RESOURCE),
            ("past-issues", ItemKind.PAST_ISSUE),
        ):
            assert {block.item.kind for block in found[section] if block.item} == {kind}
        for block in found.get("events", ()):
            assert block.item is not None
            assert (block.item.starts_at or app.now()) >= app.now()
        told = {each.item_id for each in drafted.proposal.left_out}
        undated = session.query(Item).filter(Item.kind == ItemKind.EVENT, Item.starts_at.is_(None)).all()
        assert {item.id for item in undated if item.starts_on is None} <= told
