"""Lists: those that a token is for, and how many people stand in which state on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from newsletter.api_tokens import Access, Scope
from newsletter.web.api.documents import ListFilters, ListShown, Slug
from newsletter.web.api.interface import Interface, Json, needs
from newsletter.web.api.problems import problem_not_found
from newsletter.web.api.subscribers import LINK
from subscribers import lists
from subscribers.tables import MailingList

Reader = Annotated[Access, Depends(needs(Scope.LISTS_READ))]


@dataclass
class Lists:
    """The handlers."""

    interface: Interface

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/lists", tags=["lists"])
        listed: dict[int | str, dict[str, Any]] = {200: {"headers": LINK}}
        router.add_api_route("", self.list_lists, methods=["GET"], response_model=list[ListShown], responses=listed)
        router.add_api_route("/{name}", self.show, methods=["GET"], response_model=ListShown)
        return router

    async def list_lists(self, access: Reader, asked: Annotated[ListFilters, Query()]) -> Response:
        """The lists in the order in which they were made. Scope: lists:read."""
        given = {"archived": "true" if asked.archived else None}
        question = self.interface.question(access, "/lists", given, asked.limit)
        after = question.after(asked.cursor)

        def work(session: Session) -> list[tuple[int, dict[str, Any]]]:
            statement = select(MailingList).where(MailingList.id > (after or 0)).order_by(MailingList.id)
            if not asked.archived:
                statement = statement.where(MailingList.archived_at.is_(None))
            if access.list_ids is not None:
                statement = statement.where(MailingList.id.in_(access.list_ids))
            found = session.scalars(statement.limit(asked.limit + 1)).all()
            counted = lists.counts(session)
            return [(one.id, _shown(one, counted)) for one in found]

        found = await self.interface.read(work)
        page = found[: asked.limit]
        headers = {"link": question.link(page[-1][0])} if len(found) > len(page) else None
        return Json([document for _, document in page], headers=headers)

    async def show(self, access: Reader, name: Annotated[Slug, Path()]) -> Response:
        """One list. Scope: lists:read."""

        def work(session: Session) -> dict[str, Any]:
            found = session.scalar(select(MailingList).where(MailingList.name == name))
            if found is None or not access.may_see_list(found.id):
                raise problem_not_found()
            return _shown(found, lists.counts(session))

        return Json(await self.interface.read(work))


def _shown(one: MailingList, counted: dict[int, lists.ListCounts]) -> dict[str, Any]:
    counts = counted.get(one.id, lists.ListCounts())
    return {
        "name": one.name,
        "title": one.title,
        "description": one.description,
        "open": one.open,
        "subscribed": counts.subscribed,
        "pending": counts.pending,
        "unsubscribed": counts.unsubscribed,
        "archived": one.archived_at,
    }
