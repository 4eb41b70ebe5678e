"""Who left after an issue: counted for the one that they got last, by their own act, unless they took it back."""

from __future__ import annotations

from sqlalchemy import select

from newsletter.cli.report_text import report_text
from newsletter.publishing.report_page import report_page
from newsletter.send.leavers import Leavers
from newsletter.send.reporting import IssueReport, report_document, report_issue
from newsletter.tables import Issue
from newsletter.web import leaving
from newsletter.web.leaving import Scope, Way
from subscribers import consent, people
from subscribers.tables import Basis, MailingList, WhyLeft
from subscribers.tokens import UnsubscribeClaim
from tests.send.issue_out import Sent


def report(sent: Sent, slug: str) -> IssueReport:
    with sent.app.database.read() as session:
        issue = session.scalars(select(Issue).where(Issue.slug == slug)).one()
        return report_issue(session, issue, zone=sent.app.config.organisation.zone)


def claim(sent: Sent, number: int, slug: str) -> UnsubscribeClaim:
    copy = sent.copy(number, slug)
    return UnsubscribeClaim(copy.token_id, copy.list_id)


def leave(sent: Sent, number: int, slug: str = "one", scope: Scope = Scope.LIST, way: Way = Way.PAGE, **said) -> str:
    with sent.app.database.write() as session:
        receipt = leaving.leave(session, claim(sent, number, slug), scope, way, now=sent.time)
        if said:
            assert leaving.explain(session, claim(sent, number, slug), receipt, said, now=sent.time)
        return receipt


def test_leaving_counts_for_the_issue_that_somebody_got_last(sent: Sent) -> None:
    with sent.app.database.write() as session:
        third, members = people.find(session, "person3@example.com"), session.scalars(select(MailingList)).one()
        consent.grant(
            session, third, members, basis=Basis.CONSENT, source="t", actor="t", evidence="form", at=sent.time
        )
    sent.later(1)
    leave(sent, 1, why="too many")
    leave(sent, 2, way=Way.ONE_CLICK)
    receipt = leave(sent, 3, why="other")
    with sent.app.database.write() as session:
        assert leaving.undo(session, claim(sent, 3, "one"), receipt, now=sent.time)
        by_hand = people.find(session, "person4@example.com")
        consent.withdraw(
            session, by_hand, session.scalars(select(MailingList)).one(), source="command line", actor="admin",
            evidence="telephone", at=sent.time,
        )  # fmt: skip
    sent.issue("two", days=6)
    sent.later(1)
    leave(sent, 5, "two", Scope.ALL, words="Goodbye")
    leave(sent, 3, "two", why="too many", words="as well")
    first, second = report(sent, "one"), report(sent, "two")
    assert first.leavers == Leavers(2, {WhyLeft.TOO_MANY.value: 1}, 0)
    assert first.leavers.said_nothing == 1
    assert second.leavers == Leavers(2, {WhyLeft.TOO_MANY.value: 1}, 1)
    assert report_document(first)["left_after"] == {"total": 2, "reasons": {"too many": 1}, "in_own_words": 0}


def test_the_report_tells_counts_and_never_the_words(sent: Sent) -> None:
    leave(sent, 1, why="seen by others", words="My husband reads my mail")
    leave(sent, 2)
    found = report(sent, "one")
    page = report_page(found, sent.app.template_folders, organisation=sent.app.config.organisation, now=sent.app.now())
    told = report_text(found, drawn=False)
    for text in (page, told):
        assert "Left after it: 2" in text
        assert "seen by others" in text
        assert "no reason given" in text
        assert "husband" not in text


def test_an_issue_that_nobody_left_after_says_nothing_of_it(sent: Sent) -> None:
    assert report(sent, "one").leavers == Leavers()
    assert "Left after" not in report_text(report(sent, "one"), drawn=False)
