"""
Subscribers: found, asked, added, changed, put on a list or taken off it, erased.

Nobody who is suppressed, was erased or left is brought back by any of these. What is done stands in the ledger under
the name of the token.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from newsletter.api_tokens import Access, Scope
from newsletter.personal_data.erasing import erase_held
from newsletter.web.api import adding, people
from newsletter.web.api.documents import (
    HIGHEST_ID,
    Asked,
    Erase,
    Erased,
    Lookup,
    Made,
    NewSubscriber,
    Person,
    PersonInFull,
    Standing,
    Subscribe,
    SubscriberChange,
    SubscriberFilters,
    Unsubscribe,
)
from newsletter.web.api.interface import SOURCE, Done, IdempotencyKey, Interface, Json, needs, require
from newsletter.web.api.limits import HOUR, Bucket
from newsletter.web.api.problems import Problem
from subscribers import consent, exporting
from subscribers.addresses import parse_address
from subscribers.tables import Subscriber

Reader = Annotated[Access, Depends(needs(Scope.SUBSCRIBERS_READ))]
Writer = Annotated[Access, Depends(needs(Scope.SUBSCRIBERS_WRITE))]
Eraser = Annotated[Access, Depends(needs(Scope.SUBSCRIBERS_ERASE))]
SubscriberId = Annotated[int, Path(alias="id", ge=1, le=HIGHEST_ID)]
ETAG = {"ETag": {"schema": {"type": "string"}, "description": "The version, for `If-Match`.", "required": True}}
LINK = {"Link": {"schema": {"type": "string"}, "description": "`rel=next`: the next page, while there is one."}}


@dataclass
class Subscribers:
    """The handlers."""

    interface: Interface

    def __post_init__(self) -> None:
        self.questions = Bucket(self.interface.app.config.signup.per_hour_embedded, HOUR)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["subscribers"])
        listed: dict[int | str, dict[str, Any]] = {200: {"headers": LINK}}
        versioned: dict[int | str, dict[str, Any]] = {200: {"headers": ETAG}}
        add = router.add_api_route
        add("/subscribers", self.list_people, methods=["GET"], response_model=list[Person], responses=listed)
        asked: dict[int | str, dict[str, Any]] = {202: {"model": Asked, "description": "Asked."}}
        add("/subscribers", self.create, methods=["POST"], response_model=Made, status_code=201, responses=asked)
        add("/lookup", self.look_up, methods=["POST"], response_model=list[Person])
        add("/subscribers/{id}", self.show, methods=["GET"], response_model=PersonInFull, responses=versioned)
        add("/subscribers/{id}", self.change, methods=["PATCH"], response_model=PersonInFull, responses=versioned)
        add("/subscribers/{id}/subscribe", self.subscribe, methods=["POST"], response_model=Standing)
        add("/subscribers/{id}/unsubscribe", self.unsubscribe, methods=["POST"], response_model=Standing)
        add("/subscribers/{id}/erase", self.erase, methods=["POST"], response_model=Erased)
        return router

    async def list_people(self, access: Reader, asked: Annotated[SubscriberFilters, Query()]) -> Response:
        """People in the order in which they came. Scope: subscribers:read."""
        given = asked.model_dump(by_alias=True, exclude={"limit", "cursor"})
        question = self.interface.question(access, "/subscribers", given, asked.limit)
        after = question.after(asked.cursor)

        def work(session: Session) -> list[exporting.Person]:
            app, now = self.interface.app, self.interface.app.now()
            named = people.find_list(session, access, asked.list_name, "query/list") if asked.list_name else None
            list_id = named.id if named else None
            condition, state = people.of_list(access, list_id, asked.state)
            statement = exporting.select_people(
                now=now, list_id=list_id, state=state, search=asked.search or "", condition=condition
            )
            if asked.segment is not None:
                statement = statement.where(people.in_segment(app, session, access, asked.segment))
            statement = statement.where(Subscriber.id > (after or 0)).order_by(None).order_by(Subscriber.id)
            ids = session.scalars(statement.limit(asked.limit + 1)).all()
            return list(exporting.read_people(session, ids, now=now, list_ids=access.list_ids))

        found = await self.interface.read(work)
        page = found[: asked.limit]
        headers = {"link": question.link(page[-1].id)} if len(found) > len(page) else None
        return Json([people.shown(person) for person in page], headers=headers)

    async def look_up(self, access: Reader, body: Lookup) -> Response:
        """The one with this very address, or nobody. The address is in no log. Scope: subscribers:read."""
        key = parse_address(body.address).key

        def work(session: Session) -> list[dict[str, Any]]:
            ids = session.scalars(select(Subscriber.id).where(Subscriber.key == key, people.visible(access))).all()
            now = self.interface.app.now()
            return [people.shown(one) for one in exporting.read_people(session, ids, now=now, list_ids=access.list_ids)]

        return Json(await self.interface.read(work))

    async def show(self, access: Reader, subscriber_id: SubscriberId) -> Response:
        """One person, with their lists. Scope: subscribers:read."""

        def work(session: Session) -> dict[str, Any]:
            person = people.find_person(session, access, subscriber_id)
            return people.shown_in_full(self.interface.app, session, access, person)

        return _versioned(await self.interface.read(work))

    async def create(
        self,
        request: Request,
        access: Annotated[Access, Depends(needs(Scope.SUBSCRIBERS_ASK))],
        body: NewSubscriber,
        key: IdempotencyKey = None,
    ) -> Response:
        """
        Ask somebody by mail to confirm (202, whoever it is); with basis and evidence put them on the lists (201).

        Scope: subscribers:ask, or subscribers:write, which the second needs.
        """
        app = self.interface.app
        if body.basis is None and body.evidence is None:
            adding.check_question(body)
            self._count_question(access)
            keys = self.interface.site.keys.current().links
            return await self.interface.change_once(
                request, access, key, lambda session: adding.ask(app, session, access, body, keys)
            )
        require(access, Scope.SUBSCRIBERS_WRITE)
        if access.list_ids is not None:
            raise Problem("confirmation-required", "Leave basis and evidence out.")
        if body.basis is None or body.evidence is None:
            raise Problem("invalid", "Nobody is put on a list without both basis and evidence.")
        return await self.interface.change_once(
            request, access, key, lambda session: adding.add(app, session, access, body)
        )

    def _count_question(self, access: Access) -> None:
        """
        Refuse more people in an hour than forms on other sites may ask: here it is told, not kept in silence.

        Raises:
            Problem: When there were too many.
        """
        now = self.interface.clock()
        wait = self.questions.take(access.token_id, now).wait_seconds
        if wait:
            raise Problem("too-many", "So many people cannot be asked in an hour.", headers={"retry-after": str(wait)})

    async def change(
        self,
        access: Reader,
        _writer: Writer,
        subscriber_id: SubscriberId,
        body: SubscriberChange,
        version: Annotated[
            str | None,
            Header(alias="If-Match", max_length=200, description="The ETag that was read; `*` for any. Needed."),
        ] = None,
    ) -> Response:
        """Change what is known of a person. Scopes: subscribers:read and subscribers:write."""
        if version is None:
            raise Problem("condition-required", "Send If-Match with the ETag that you read, or *.")
        app = self.interface.app

        def work(session: Session) -> Done:
            person = people.find_person(session, access, subscriber_id, lock=True)
            before = _etag(people.shown_in_full(app, session, access, person))
            if version.strip() != "*" and before not in [each.strip() for each in version.split(",")]:
                raise Problem("changed-meanwhile", "Read it again, then change that.")
            adding.change(app, session, person, body)
            return Done(people.shown_in_full(app, session, access, person), f"changed subscriber {person.id}")

        done = await self.interface.change(access, work)
        return _versioned(done.document)

    async def subscribe(
        self,
        request: Request,
        access: Writer,
        subscriber_id: SubscriberId,
        body: Subscribe,
        key: IdempotencyKey = None,
    ) -> Response:
        """Put a person on a list, with the basis and what shows it. Scope: subscribers:write."""

        def work(session: Session) -> Done:
            person = people.find_person(session, access, subscriber_id, lock=True)
            mailing_list = people.find_open_list(session, access, body.list_name, "#/list")
            given = adding.Given(body.basis, body.evidence, body.collected_at)
            adding.put_on_list(self.interface.app, session, access, person, mailing_list, given)
            return _standing(access, person, body.list_name, "subscribed")

        return await self.interface.change_once(request, access, key, work)

    async def unsubscribe(
        self,
        request: Request,
        access: Writer,
        subscriber_id: SubscriberId,
        body: Unsubscribe,
        key: IdempotencyKey = None,
    ) -> Response:
        """Take a person off one list, or off every list and never mail them again. Scope: subscribers:write."""
        if body.list_name is None and access.list_ids is not None:
            raise Problem("list-required")
        app = self.interface.app

        def work(session: Session) -> Done:
            person = people.find_person(session, access, subscriber_id, lock=True)
            left = people.find_list(session, access, body.list_name, "#/list") if body.list_name else None
            consent.withdraw(
                session, person, left, source=SOURCE, actor=access.name, evidence=body.evidence, at=app.now()
            )
            return _standing(access, person, body.list_name, "unsubscribed")

        return await self.interface.change_once(request, access, key, work)

    async def erase(
        self, request: Request, access: Eraser, subscriber_id: SubscriberId, body: Erase, key: IdempotencyKey = None
    ) -> Response:
        """Erase a person at their request; only a keyed hash stays. Scope: subscribers:erase."""

        def work(session: Session) -> Done:
            person = people.find_person(session, access, subscriber_id, lock=True)
            app, actor = self.interface.app, f"API, {access.name}"
            erased = erase_held(app, session, person.address, evidence=body.evidence, actor=actor)
            return Done({"erased": True, "deliveries": erased.copies}, f"erased subscriber {subscriber_id}")

        return await self.interface.change_once(request, access, key, work)


def _standing(access: Access, person: Subscriber, list_name: str | None, state: str) -> Done:
    address = person.address if access.may(Scope.SUBSCRIBERS_READ) else None
    document = {"id": person.id, "address": address, "list": list_name, "state": state}
    return Done(document, f"{state} subscriber {person.id}", subscriber_id=person.id)


def _etag(document: dict[str, Any]) -> str:
    digest = hashlib.sha256(Json(document).body).digest()
    return f'"{base64.urlsafe_b64encode(digest[:15]).decode()}"'


def _versioned(document: dict[str, Any]) -> Response:
    return Json(document, headers={"etag": _etag(document)})
