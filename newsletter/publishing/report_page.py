"""
The report of an issue as one page: drawn in SVG, told in tables, complete in itself; pure.

It needs no script, no network and no other file, so it can be kept and opened years later. It holds names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from newsletter.config.settings import Organisation
from newsletter.render.environment import make_environment
from newsletter.send.reporting import (
    DomainCounts,
    IssueReport,
    Person,
    ReplyGroup,
    left_out_words,
    step_words,
    what_to_do,
)
from newsletter.send.states import FINAL, TO_DO
from newsletter.tables import DeliveryState as S

TEMPLATE = "report/issue.html.j2"
MOST_DOMAINS = 12
ROW_PIXELS, LABEL_PIXELS, BAR_PIXELS = 46, 18, 16
PLOT_PIXELS, PLOT_TOP, PLOT_BOTTOM = 160, 22, 24
MOST_TICKS = 4
THINNEST = 0.8

# Which of four kinds each state is shown as; the kind decides colour and pattern, the words say which state it is.
KINDS = {
    S.SENT: "good",
    **dict.fromkeys((S.BOUNCED, S.EXPIRED, S.HELD, S.UNCERTAIN), "bad"),
    **dict.fromkeys((S.PENDING, S.CLAIMED, S.INTENT, S.DEFERRED), "open"),
    **dict.fromkeys((S.SUPPRESSED, S.CANCELLED), "left"),
}
MEANINGS = {
    S.SENT: "taken over by the mail server",
    S.BOUNCED: "refused for good, or came back",
    S.EXPIRED: "tried for days, then given up",
    S.SUPPRESSED: "left, paused or was suppressed before it went",
    S.HELD: "held back: something is wrong with the copy",
    S.CANCELLED: "stopped by a person",
    S.UNCERTAIN: "may or may not have arrived",
    S.PENDING: "not yet begun",
    S.CLAIMED: "in hand",
    S.INTENT: "on the wire",
    S.DEFERRED: "to be tried again",
}


@dataclass(frozen=True, slots=True)
class _Share:
    """One piece of a bar: where it begins and how wide it is, in hundredths of the chart's width."""

    kind: str
    start: float
    width: float


def report_page(
    report: IssueReport, template_folders: Sequence[Path], *, organisation: Organisation, now: datetime
) -> str:
    """
    Return the page.

    Raises:
        TemplateError: When the template, or a workspace's own version of it, cannot be rendered.
    """
    counts = report.counts
    return make_environment(template_folders).render(
        TEMPLATE,
        language=organisation.language,
        organisation=organisation.name,
        slug=report.slug,
        subject=report.subject,
        state=str(counts["state"]).replace("_", " "),
        reason=counts["reason"] or "",
        planned=counts["planned"],
        rate=counts["rate"],
        left_out=left_out_words(report),
        made=_moment(now, report),
        started=_moment(counts["started_at"], report),
        finished=_moment(counts["finished_at"], report),
        zone=str(report.zone),
        outcomes=_outcomes(report),
        domains=_domains(report.largest_domains(MOST_DOMAINS)),
        timeline=_timeline(report),
        leavers=_leavers(report),
        replies=[_reply(group) for group in report.replies],
        held=_people(report, S.HELD),
        uncertain=_people(report, S.UNCERTAIN),
        deferred=_people(report, S.DEFERRED),
        row=ROW_PIXELS,
        label=LABEL_PIXELS,
        bar=BAR_PIXELS,
    )


def _outcomes(report: IssueReport) -> list[dict[str, Any]]:
    planned = int(report.counts["planned"]) or 1
    found = [(state, int(report.counts[state.value])) for state in (*FINAL, *TO_DO)]
    return [
        {
            "name": state.value,
            "meaning": MEANINGS[state],
            "count": count,
            "percent": _percent(count, planned),
            "shares": [_share(KINDS[state], 0, count, planned)],
        }
        for state, count in found
        if count
    ]


def _domains(domains: Sequence[DomainCounts]) -> list[dict[str, Any]]:
    most = max((domain.planned for domain in domains), default=1)
    return [
        {
            "name": f"{d.merged:,} more domains" if d.merged > 1 else d.domain or "(erased)",
            "planned": d.planned,
            "shares": _stack(d, most),
            **{kind: d.count(*(s for s, k in KINDS.items() if k == kind)) for kind in ("good", "bad", "open", "left")},
        }
        for d in domains
    ]


def _stack(domain: DomainCounts, most: int) -> list[_Share]:
    shares, before = [], 0
    for kind in ("good", "open", "left", "bad"):
        count = domain.count(*(state for state, k in KINDS.items() if k == kind))
        if count:
            shares.append(_share(kind, before, count, most))
        before += count
    return shares


def _share(kind: str, before: int, count: int, most: int) -> _Share:
    """What is there at all is a sliver at least, so that somebody is never drawn as nobody."""
    width = max(round(count / most * 100, 2), THINNEST)
    return _Share(kind, min(round(before / most * 100, 2), 100 - width), width)


def _timeline(report: IssueReport) -> dict[str, Any]:
    buckets, most = report.timeline.buckets, report.timeline.most
    width = 100 / (len(buckets) or 1)
    rows = [
        {
            "label": label.strip(),
            "sent": bucket.sent,
            "x": round(index * width + width * 0.1, 2),
            "middle": round((index + 0.5) * width, 2),
            "width": round(width * 0.8, 2),
            "height": max(round(bucket.sent / most * PLOT_PIXELS, 1), 1.5) if bucket.sent else 0,
        }
        for index, (bucket, label) in enumerate(zip(buckets, report.bucket_labels(), strict=True))
    ]
    every = -(-len(rows) // MOST_TICKS) or 1
    return {
        "rows": rows,
        "ticks": rows[::every],
        "most": most,
        "step": step_words(report.timeline.step),
        "day": _moment(buckets[0].start, report).partition(",")[0] if buckets else "",
        "top": PLOT_TOP,
        "plot": PLOT_PIXELS,
        "height": PLOT_TOP + PLOT_PIXELS + PLOT_BOTTOM,
    }


def _leavers(report: IssueReport) -> dict[str, Any]:
    left = report.leavers
    told = [*left.reasons.items(), ("in their own words", left.in_own_words), ("no reason given", left.said_nothing)]
    return {"total": left.total, "rows": [{"reason": reason, "count": count} for reason, count in told if count]}


def _reply(group: ReplyGroup) -> dict[str, Any]:
    return {
        "count": group.count,
        "state": group.state.value,
        "reply": " ".join(str(part) for part in (group.code, group.status) if part),
        "reason": group.reason or "",
        "example": group.example,
    }


def _people(report: IssueReport, state: S) -> dict[str, Any]:
    people = report.in_state(state)
    total = int(report.counts[state.value])
    return {"total": total, "more": total - len(people), "rows": [_person(person, report) for person in people]}


def _person(person: Person, report: IssueReport) -> dict[str, Any]:
    return {
        "delivery": person.delivery,
        "name": person.name,
        "address": person.address or "(erased)",
        "reason": person.reason,
        "reply": person.reply,
        "since": _moment(person.since, report),
        "retry_at": _moment(person.retry_at, report) or "soon",
        "command": what_to_do(person, report.slug),
    }


def _moment(moment: datetime | None, report: IssueReport) -> str:
    if moment is None:
        return ""
    local = moment.astimezone(report.zone)
    return f"{local.day} {local:%B %Y, %H:%M}"


def _percent(count: int, planned: int) -> str:
    """Round so that nothing looks like all, and something never like nothing."""
    if count == planned:
        return "100 %"
    return f"{min(max(count / planned * 100, 0.1), 99.9):.1f} %"
