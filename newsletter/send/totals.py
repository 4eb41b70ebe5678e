"""
The counts of an issue whose copies have been forgotten: the report as it was, without anybody in it.

Once they are kept, every count is read from here, so that it adds up while the copies go, some at a time. A receiving
domain that only few are at could be one person's: those are summed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.send.reporting import Bucket, DomainCounts, IssueReport, ReplyGroup, Timeline, report_issue
from newsletter.send.status import issue_counts
from newsletter.tables import Delivery, DeliveryState, Issue, IssueTotals

FEWEST = 5


def report_of(session: Session, issue: Issue, *, zone: tzinfo, most_people: int | None = None) -> IssueReport:
    """Return the report of an issue, from its copies or, once they are forgotten, from what was kept of them."""
    kept = session.get(IssueTotals, issue.id)
    if kept is None:
        return report_issue(session, issue, zone=zone, most_people=most_people)
    stored = kept.report
    return IssueReport(
        subject=issue.subject,
        counts=issue_counts(session, issue.id),
        domains=tuple(DomainCounts(d["domain"], _states(d["states"]), d["merged"]) for d in stored["domains"]),
        replies=tuple(
            ReplyGroup(DeliveryState(r["state"]), r["code"], r["status"], r["reason"], r["count"], r["example"])
            for r in stored["replies"]
        ),
        timeline=Timeline(
            timedelta(seconds=stored["step_seconds"]),
            tuple(Bucket(datetime.fromisoformat(b["start"]), b["sent"]) for b in stored["buckets"]),
        ),
        people=(),
        zone=zone,
    )


def document(session: Session, issue: Issue, *, zone: tzinfo) -> dict[str, Any]:
    """Return what is kept of an issue: the counts of its report, and how many had each variant."""
    report = report_issue(session, issue, zone=zone, most_people=0)
    variants = session.execute(
        select(Delivery.variant_id, func.count()).where(Delivery.issue_id == issue.id).group_by(Delivery.variant_id)
    )
    return {
        "states": {state.value: report.counts[state.value] for state in DeliveryState},
        "rate": report.counts["rate"],
        "domains": [
            {"domain": d.domain, "states": {s.value: n for s, n in d.states.items()}, "merged": d.merged}
            for d in _large(report.domains)
        ],
        "replies": [
            {
                "state": group.state.value,
                "code": group.code,
                "status": group.status,
                "reason": group.reason,
                "count": group.count,
                "example": group.example if group.count >= FEWEST else "",
            }
            for group in report.replies
        ],
        "step_seconds": int(report.timeline.step.total_seconds()),
        "buckets": [{"start": b.start.isoformat(), "sent": b.sent} for b in report.timeline.buckets],
        "variants": {str(variant_id): count for variant_id, count in variants},
    }


def _large(domains: Sequence[DomainCounts]) -> list[DomainCounts]:
    large = [domain for domain in domains if domain.planned >= FEWEST]
    small = [domain for domain in domains if domain.planned < FEWEST]
    if not small:
        return large
    summed: Counter[DeliveryState] = Counter()
    for domain in small:
        summed.update(domain.states)
    together = DomainCounts("", dict(summed), len(small))
    return sorted([*large, together], key=lambda domain: -domain.planned)


def _states(stored: Mapping[str, int]) -> dict[DeliveryState, int]:
    return {DeliveryState(name): count for name, count in stored.items()}
