"""Suppressions: who is never mailed and why; more of them can be added, none is ever lifted by a program."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from newsletter.api_tokens import Access, Scope
from newsletter.audit.log import Action
from newsletter.web.api.documents import NewSuppression, Paged, SuppressionShown
from newsletter.web.api.interface import Done, IdempotencyKey, Interface, Json, needs
from newsletter.web.api.people import find_list
from newsletter.web.api.problems import Problem
from newsletter.web.api.subscribers import LINK
from subscribers import suppression
from subscribers.tables import MailingList, Subscriber, Suppression

Reader = Annotated[Access, Depends(needs(Scope.SUPPRESSIONS_READ))]
Writer = Annotated[Access, Depends(needs(Scope.SUPPRESSIONS_WRITE))]


@dataclass
class Suppressions:
    """The handlers."""

    interface: Interface

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/suppressions", tags=["suppressions"])
        listed: dict[int | str, dict[str, Any]] = {200: {"headers": LINK}}
        add = router.add_api_route
        add("", self.list_entries, methods=["GET"], response_model=list[SuppressionShown], responses=listed)
        add("", self.create, methods=["POST"], response_model=SuppressionShown, status_code=201)
        return router

    async def list_entries(self, access: Reader, asked: Annotated[Paged, Query()]) -> Response:
        """The entries that hold, in the order in which they came. Scope: suppressions:read."""
        question = self.interface.question(access, "/suppressions", {}, asked.limit)
        after = question.after(asked.cursor)

        def work(session: Session) -> list[dict[str, Any]]:
            statement = (
                suppression.entries(now=self.interface.app.now())
                .where(Suppression.id > (after or 0))
                .order_by(None)
                .order_by(Suppression.id)
                .limit(asked.limit + 1)
            )
            if access.list_ids is not None:
                statement = statement.where(Suppression.list_id.in_(access.list_ids))
            return [_shown(entry, name) for entry, name in session.execute(statement)]

        found = await self.interface.read(work)
        page = found[: asked.limit]
        headers = {"link": question.link(page[-1]["id"])} if len(found) > len(page) else None
        return Json(page, headers=headers)

    async def create(
        self, request: Request, access: Writer, body: NewSuppression, key: IdempotencyKey = None
    ) -> Response:
        """Never mail an address, or a domain and those below it. Scope: suppressions:write."""
        if (body.address is None) == (body.domain is None):
            raise Problem("invalid", "Name an address or a domain, one of the two.")
        if body.list_name is None and access.list_ids is not None:
            raise Problem("list-required")
        return await self.interface.change_once(
            request, access, key, lambda session: self._suppress(session, access, body)
        )

    def _suppress(self, session: Session, access: Access, body: NewSuppression) -> Done:
        app = self.interface.app
        named: MailingList | None = find_list(session, access, body.list_name, "#/list") if body.list_name else None
        entry = suppression.suppress(
            session,
            pepper=app.keys.pepper,
            address=body.address,
            domain=body.domain,
            list_id=named.id if named else None,
            reason=body.reason,
            evidence=f"{body.evidence} (API, {access.name})",
            at=app.now(),
            expires_at=_end_of(body.until, app.config.organisation.zone) if body.until else None,
        )
        app.audit.record(
            session,
            Action.SUPPRESSION_ADDED,
            f"suppression {entry.id}",
            person=entry.address_hash,
            actor=f"API, {access.name}",
            list=body.list_name,
            whole_domain=entry.domain is not None,
        )
        person = session.scalar(select(Subscriber.id).where(Subscriber.address_hash == entry.address_hash))
        return Done(_shown(entry, body.list_name), f"added suppression {entry.id}", 201, subscriber_id=person)


def _end_of(day: str, zone: Any) -> datetime:
    """Return the moment at which a day is over."""
    last = date.fromisoformat(day)
    if last >= date(9999, 12, 30):
        raise Problem("invalid", "Leave `until` out for ever.")
    return datetime.combine(last + timedelta(days=1), time(), zone)


def _shown(entry: Suppression, list_name: str | None) -> dict[str, Any]:
    return {
        "id": entry.id,
        "address": f"*@{entry.domain}" if entry.domain else entry.address,
        "scope": list_name or "all",
        "reason": entry.reason,
        "since": entry.since,
        "evidence": entry.evidence,
        "expires": entry.expires_at,
    }
