"""`issue status, report`: how far an issue is, and what came of it; the counts always add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.issue_argument import issue_argument
from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MOST_DOMAINS = 8


@click.command()
@issue_argument
@pass_context
def status(context: Context, issue_name: str) -> None:
    """Say how far an issue is: counts that always add up to what was planned.

    Example: newsletter issue status latest --json
    """
    from newsletter.cli.issue_text import wrapped
    from newsletter.compose.issue import find
    from newsletter.send.status import issue_counts, what_it_waits_for
    from newsletter.tables import IssueState

    app = context.app
    with app.database.read() as session:
        issue, now = find(session, issue_name), app.now()
        counts = issue_counts(session, issue.id, now=now)
        sending = issue.state is IssueState.SENDING
        waits = what_it_waits_for(session, issue.id, app.config, now) if sending else []
    if context.output.as_json:
        context.output.data(counts)
        return
    context.output.show(counts_text(counts))
    for label, words in zip(["Waiting", *[""] * len(waits)], waits, strict=False):
        context.output.show(wrapped(words, indent=11, first=label))


@click.command()
@issue_argument
@pass_context
def report(context: Context, issue_name: str) -> None:
    """Say what came of an issue: counts, the reasons of failures, and the receiving domains.

    Example: newsletter issue report 2026-11
    """
    from newsletter.cli.issue_text import wrapped
    from newsletter.compose.issue import find
    from newsletter.send.status import issue_counts

    with context.app.database.read() as session:
        issue = find(session, issue_name)
        counts = issue_counts(session, issue.id)
        reasons, domains = _reasons(session, issue.id), _domains(session, issue.id)
    if context.output.as_json:
        context.output.data({**counts, "reasons": reasons, "domains": domains})
        return
    context.output.show(counts_text(counts))
    if reasons:
        context.output.show("\nWhy some did not arrive")
    for each in reasons:
        words = f"{each['state']}: {each['reason'] or 'no reason given'} {each['reply'] or ''}"
        context.output.show(wrapped(words, indent=9, first=f"{each['count']:>7}"))
    if domains:
        context.output.show("\nReceiving domains")
    for each in domains[:MOST_DOMAINS]:
        words = f"{each['domain']}, {each['sent']} sent"
        context.output.show(wrapped(words, indent=9, first=f"{each['planned']:>7}"))


def counts_text(counts: dict[str, Any]) -> str:
    from newsletter.cli.issue_text import wrapped
    from newsletter.cli.progress import rate_words, time_left_words
    from newsletter.send.status import seconds_left

    lines = [f"{counts['issue']}  {counts['state'].replace('_', ' ')}"]
    if counts["reason"]:
        lines.append(wrapped(counts["reason"], indent=11, first="Reason"))
    names = (
        "planned", "sent", "bounced", "expired", "suppressed", "held", "cancelled", "uncertain", "pending", "claimed",
        "intent", "deferred",
    )  # fmt: skip
    lines += [f"{name.capitalize():<11}{counts[name]:>9,}" for name in names if counts[name] or name in names[:2]]
    if counts["rate"]:
        number, _, unit = rate_words(counts["rate"]).partition(" ")
        left = seconds_left(counts)
        lines.append(f"{'Rate':<11}{number:>9} {unit}" + (f", {time_left_words(left)}" if left is not None else ""))
    return "\n".join(lines)


def _reasons(session: Session, issue_id: int) -> list[dict[str, Any]]:
    from sqlalchemy import func, select

    from newsletter.tables import Delivery, DeliveryState

    statement = (
        select(Delivery.state, Delivery.reason, Delivery.reply_status, func.count())
        .where(Delivery.issue_id == issue_id, Delivery.state.not_in((DeliveryState.SENT, DeliveryState.PENDING)))
        .group_by(Delivery.state, Delivery.reason, Delivery.reply_status)
        .order_by(func.count().desc())
    )
    return [
        {"state": state.value, "reason": reason, "reply": reply, "count": count}
        for state, reason, reply, count in session.execute(statement)
    ]


def _domains(session: Session, issue_id: int) -> list[dict[str, Any]]:
    from sqlalchemy import case, func, select

    from newsletter.tables import Delivery, DeliveryState

    sent = func.sum(case((Delivery.state == DeliveryState.SENT, 1), else_=0))
    statement = (
        select(Delivery.domain, func.count(), sent)
        .where(Delivery.issue_id == issue_id)
        .group_by(Delivery.domain)
        .order_by(func.count().desc(), Delivery.domain)
    )
    return [{"domain": d, "planned": n, "sent": int(s)} for d, n, s in session.execute(statement)]


VERBS = (
    status,
    report,
)
