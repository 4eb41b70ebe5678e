"""Issues, how far each is, what came of it, and its copies one by one; nothing here changes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session
from starlette.responses import Response

from newsletter.api_tokens import Access, Scope
from newsletter.send.masking import without_people
from newsletter.send.reporting import report_document, report_issue
from newsletter.send.states import FINAL, TO_DO
from newsletter.send.status import issue_counts
from newsletter.tables import Block, Delivery, Issue
from newsletter.web.api.documents import (
    DeliveryFilters,
    DeliveryShown,
    IssueFilters,
    IssueReportShown,
    IssueShown,
    IssueStatus,
    Slug,
)
from newsletter.web.api.interface import Interface, Json, needs
from newsletter.web.api.problems import Problem, problem_not_found
from newsletter.web.api.subscribers import LINK
from subscribers.addresses import mask_address

Reader = Annotated[Access, Depends(needs(Scope.ISSUES_READ))]
CopyReader = Annotated[Access, Depends(needs(Scope.DELIVERIES_READ))]
IssueName = Annotated[Slug, Path(alias="issue")]


@dataclass
class Issues:
    """The handlers."""

    interface: Interface

    def router(self) -> APIRouter:
        router = APIRouter(tags=["issues"])
        listed: dict[int | str, dict[str, Any]] = {200: {"headers": LINK}}
        add = router.add_api_route
        add("/issues", self.list_issues, methods=["GET"], response_model=list[IssueShown], responses=listed)
        add("/issues/{issue}", self.show, methods=["GET"], response_model=IssueShown)
        add("/issues/{issue}/status", self.status, methods=["GET"], response_model=IssueStatus)
        add("/issues/{issue}/report", self.report, methods=["GET"], response_model=IssueReportShown)
        add("/deliveries", self.deliveries, methods=["GET"], response_model=list[DeliveryShown], responses=listed)
        return router

    async def list_issues(self, access: Reader, asked: Annotated[IssueFilters, Query()]) -> Response:
        """Issues, the newest first. Scope: issues:read."""
        given = {"state": asked.state.value if asked.state else None}
        question = self.interface.question(access, "/issues", given, asked.limit)
        after = question.after(asked.cursor)

        def work(session: Session) -> list[tuple[int, dict[str, Any]]]:
            statement = _with_blocks().where(_visible(access)).order_by(Issue.id.desc()).limit(asked.limit + 1)
            if asked.state is not None:
                statement = statement.where(Issue.state == asked.state)
            if after is not None:
                statement = statement.where(Issue.id < after)
            rows = session.execute(statement).all()
            planned = _planned(session, access, [issue.id for issue, _ in rows])
            return [(issue.id, _shown(issue, blocks, planned)) for issue, blocks in rows]

        found = await self.interface.read(work)
        page = found[: asked.limit]
        headers = {"link": question.link(page[-1][0])} if len(found) > len(page) else None
        return Json([document for _, document in page], headers=headers)

    async def show(self, access: Reader, name: IssueName) -> Response:
        """One issue, by its slug. Scope: issues:read."""

        def work(session: Session) -> dict[str, Any]:
            row = session.execute(_with_blocks().where(Issue.slug == name, _visible(access))).one_or_none()
            if row is None:
                raise problem_not_found()
            issue, blocks = row
            return _shown(issue, blocks, _planned(session, access, [issue.id]))

        return Json(await self.interface.read(work))

    async def status(self, access: Reader, name: IssueName) -> Response:
        """
        How far an issue is; from `sent` to `deferred` the numbers add up to `planned`. Scope: issues:read.

        For a token of some lists they are those of the copies that went by these lists.
        """

        def work(session: Session) -> dict[str, Any]:
            issue = _find(session, access, name)
            counts = issue_counts(session, issue.id, now=self.interface.app.now())
            if access.list_ids is None:
                return counts
            statement = (
                select(Delivery.state, func.count())
                .where(Delivery.issue_id == issue.id, _by_own_list(access))
                .group_by(Delivery.state)
            )
            own = {state.value: count for state, count in session.execute(statement)}
            states = {state.value: own.get(state.value, 0) for state in (*FINAL, *TO_DO)}
            return {**counts, **states, "planned": sum(states.values()), "rate": None}

        return Json(await self.interface.read(work))

    async def report(self, access: CopyReader, name: IssueName) -> Response:
        """What came of an issue, in numbers: by domain, by reply, over time. Scope: deliveries:read."""
        if access.list_ids is not None:
            raise Problem("list-required", "A report is of all lists; ask for the status instead.")

        def work(session: Session) -> dict[str, Any]:
            issue = _find(session, access, name)
            zone = self.interface.app.config.organisation.zone
            document = report_document(report_issue(session, issue, zone=zone, most_people=0))
            del document["people"]
            return document

        return Json(await self.interface.read(work))

    async def deliveries(self, access: CopyReader, asked: Annotated[DeliveryFilters, Query()]) -> Response:
        """The copies of an issue. Scope: deliveries:read; whole addresses: deliveries:addresses."""
        given = {"issue": asked.issue, "state": asked.state.value if asked.state else None}
        question = self.interface.question(access, "/deliveries", given, asked.limit)
        after = question.after(asked.cursor)

        def work(session: Session) -> list[dict[str, Any]]:
            issue = session.scalar(select(Issue).where(Issue.slug == asked.issue, _visible(access)))
            if issue is None:
                errors = [{"pointer": "query/issue", "detail": "unknown"}]
                raise Problem("invalid", "There is no issue of this name.", errors=errors)
            statement = (
                select(Delivery.id)
                .where(Delivery.issue_id == issue.id, Delivery.id > (after or 0), _by_own_list(access))
                .order_by(Delivery.id)
                .limit(asked.limit + 1)
            )
            if asked.state is not None:
                statement = statement.where(Delivery.state == asked.state)
            ids = session.scalars(statement).all()  # an index alone answers this; the rows of a page are read after
            rows = session.scalars(select(Delivery).where(Delivery.id.in_(ids)).order_by(Delivery.id))
            return [_copy(access, one, issue.slug) for one in rows]

        found = await self.interface.read(work)
        page = found[: asked.limit]
        headers = {"link": question.link(page[-1]["delivery"])} if len(found) > len(page) else None
        return Json(page, headers=headers)


def _visible(access: Access) -> ColumnElement[bool]:
    """Return the condition that a token may know an issue: one for some lists, those that went out by them."""
    if access.list_ids is None:
        return true()
    return select(Delivery.id).where(Delivery.issue_id == Issue.id, _by_own_list(access)).correlate(Issue).exists()


def _by_own_list(access: Access) -> ColumnElement[bool]:
    return true() if access.list_ids is None else Delivery.list_id.in_(access.list_ids)


def _find(session: Session, access: Access, name: str) -> Issue:
    found = session.scalar(select(Issue).where(Issue.slug == name, _visible(access)))
    if found is None:
        raise problem_not_found()
    return found


def _with_blocks() -> Any:
    blocks = select(func.count()).where(Block.issue_id == Issue.id).correlate(Issue).scalar_subquery()
    return select(Issue, blocks)


def _planned(session: Session, access: Access, issue_ids: list[int]) -> dict[int, int] | None:
    """Return how many copies went by the token's lists, by issue; None where all count."""
    if access.list_ids is None:
        return None
    statement = (
        select(Delivery.issue_id, func.count())
        .where(Delivery.issue_id.in_(issue_ids), _by_own_list(access))
        .group_by(Delivery.issue_id)
    )
    return {row[0]: row[1] for row in session.execute(statement)}


def _shown(issue: Issue, blocks: int, planned: dict[int, int] | None) -> dict[str, Any]:
    return {
        "issue": issue.slug,
        "state": issue.state.value,
        "subject": issue.subject,
        "blocks": blocks,
        "planned": issue.planned if planned is None else planned.get(issue.id, 0),
        "created_at": issue.created_at,
        "edited_at": issue.edited_at,
        "edited_by": issue.edited_by,
        "scheduled_at": issue.scheduled_at,
        "finished_at": issue.finished_at,
        "published_at": issue.published_at,
        "indexed": issue.indexed,
        "reason": issue.reason,
    }


def _copy(access: Access, one: Delivery, slug: str) -> dict[str, Any]:
    whole = access.may(Scope.DELIVERIES_ADDRESSES)
    said = f"{one.reply_code or ''} {one.reply_text or ''}".strip()
    return {
        "delivery": one.id,
        "issue": slug,
        "subscriber": one.subscriber_id,
        "address": (one.address if whole else mask_address(one.address)) if one.address else None,
        "state": one.state.value,
        "attempt": one.attempt,
        "reason": one.reason,
        "reply": without_people(said, one.address, one.slots.values()) or None,
        "since": one.state_at,
        "retry_at": one.retry_at,
    }
