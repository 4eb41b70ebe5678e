"""Factories of library items, issues and people for the tests of composing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from newsletter.compose.library import snapshot
from newsletter.compose.sections import add_item
from newsletter.tables import Block, Issue, IssueState, Item, ItemKind, ItemState
from subscribers import consent, lists, people
from subscribers.tables import Basis, MailingList, Subscriber, Tag
from tests.compose.loopback_site import fetcher, site  # noqa: F401  (fixtures)

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
PEPPER = b"p" * 32


@pytest.fixture
def make_item() -> Callable[..., Item]:
    """Return a factory of items; `kind` defaults to a post that was seen today."""

    def make(session: Session, title: str = "A post", **values: Any) -> Item:
        given = {
            "kind": ItemKind.POST, "state": ItemState.ACTIVE, "title": title, "norm_title": title.casefold(),
            "summary": "What it is about.", "body_html": "", "truncated": False, "authors": [], "categories": [],
            "stated": {}, "missing": [], "set_by_hand": [], "fingerprint": "", "sequence": 0,
            "first_seen_at": NOW, "updated_at": NOW,
        }  # fmt: skip
        item = Item(**{**given, **values})
        session.add(item)
        session.flush()
        return item

    return make


@pytest.fixture
def make_issue() -> Callable[..., Issue]:
    """Return a factory of issues; `items` are appended as blocks, each in the section named by a pair."""

    def make(
        session: Session, slug: str = "2026-11", items: list[tuple[str, Item]] | None = None, **values: Any
    ) -> Issue:
        given = {
            "slug": slug, "state": IssueState.DRAFT, "subject": "News", "preheader": "", "language": "en-GB",
            "letter": "", "letter_name": "", "letter_role": "", "section_order": [], "created_at": NOW,
            "edited_at": NOW, "edited_by": "ann", "planned": 0,
        }  # fmt: skip
        issue = Issue(**{**given, **values})
        session.add(issue)
        for section, item in items or []:
            add_item(issue, item, snapshot(item), section)
        session.flush()
        return issue

    return make


@pytest.fixture
def make_members() -> Callable[..., list[Subscriber]]:
    """Return a factory of subscribed people on the list `members`, with tags."""

    def make(session: Session, *tags: tuple[str, ...]) -> list[Subscriber]:
        mailing_list: MailingList = lists.create(session, "members", title="Members", at=NOW)
        session.flush()
        made = []
        for number, own in enumerate(tags):
            person = people.add(
                session, pepper=PEPPER, address=f"p{number}@example.org", name=f"Person {number}", at=NOW
            )
            session.flush()
            consent.grant(
                session, person, mailing_list, basis=Basis.CONSENT, source="t", actor="t", evidence="e", at=NOW
            )
            session.add_all(Tag(subscriber_id=person.id, tag=tag) for tag in own)
            made.append(person)
        session.flush()
        return made

    return make


@pytest.fixture
def block_ids() -> Callable[[Issue], list[int]]:
    def ids(issue: Issue) -> list[int]:
        ordered: list[Block] = sorted(issue.blocks, key=lambda b: (b.section, b.position))
        return [block.id for block in ordered]

    return ids
