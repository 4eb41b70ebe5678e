"""
The pages of issues in the archive, rendered once and kept while nothing that they show has changed.

Rendering takes many times what a request does, and machines that read everything come by every day.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime

from newsletter.app import App
from newsletter.compose import archive
from newsletter.tables import Issue
from newsletter.web.published import page_of

MOST_KEPT = 64


@dataclass(frozen=True, slots=True)
class ArchivedPage:
    """A finished page, and when what it shows was last changed."""

    html: str
    is_indexed: bool
    modified: datetime


@dataclass
class ArchivedPages:
    """
    The pages by their slug, those that were asked for last.

    Args:
        script: Of the quick exit.
    """

    app: App
    script: str
    _kept: OrderedDict[str, tuple[Hashable, ArchivedPage]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, slug: str) -> ArchivedPage | None:
        """Return the page of an issue in the archive; None for every other."""
        with self.app.database.read() as session:
            issue = archive.find(session, slug)
            if issue is None:
                return None
            stamp = _stamp(issue)
            with self._lock:
                kept = self._kept.get(slug)
                if kept and kept[0] == stamp:
                    self._kept.move_to_end(slug)
                    return kept[1]
            blocks = [block for block in issue.blocks if archive.is_shown(block)]
            html = page_of(self.app, session, issue, blocks, script=self.script, archive_url="../archive")
            page = ArchivedPage(html, issue.indexed, _modified(issue))
        with self._lock:
            self._kept[slug] = (stamp, page)
            self._kept.move_to_end(slug)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return page


def _stamp(issue: Issue) -> Hashable:
    items = tuple((block.id, block.item.state, block.item.updated_at) for block in issue.blocks if block.item)
    return issue.id, issue.edited_at, issue.published_at, issue.indexed, len(issue.blocks), items


def _modified(issue: Issue) -> datetime:
    moments = [issue.edited_at, issue.published_at, *(b.item.updated_at for b in issue.blocks if b.item)]
    return max(moment for moment in moments if moment is not None)
