"""
The report of an issue on a terminal: 80 columns are enough, nothing rests on colour, a screen reader gets sentences.

Bars are drawn only where somebody sees a terminal with colours; elsewhere the same numbers stand in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from newsletter.cli.issue_text import terminal_width, wrapped
from newsletter.cli.output import plain
from newsletter.send.reporting import (
    Bucket,
    DomainCounts,
    IssueReport,
    Person,
    ReplyGroup,
    left_out_words,
    short_day,
    step_words,
    what_to_do,
)
from newsletter.send.states import FINAL, TO_DO
from newsletter.tables import DeliveryState as S

MOST_DOMAINS, MOST_REPLIES, MOST_PEOPLE = 10, 12, 20
WIDEST_BAR = 40
NARROWEST_NAME, WIDEST_NAME = 18, 40
COUNT_WIDTH = 9
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_COLUMNS = ("planned", "sent", "bounced", "deferred", "other")
_OTHER = tuple(s for s in (*FINAL, *TO_DO) if s not in (S.SENT, S.BOUNCED, S.DEFERRED))


def report_text(report: IssueReport, *, drawn: bool) -> str:
    """
    Return the whole report.

    Args:
        drawn: Draw bars and columns; else say the numbers in words, as a screen reader needs them.
    """
    parts = [
        counts_text(report.counts),
        _left_out(report),
        _timeline(report, drawn=drawn),
        _domains(report, drawn=drawn),
        _replies(report),
        _leavers(report),
        _needy(report),
        _deferred(report),
    ]
    return "\n\n".join(part for part in parts if part)


def counts_text(counts: Mapping[str, Any], *, with_time_left: bool = False) -> str:
    """Return the counts of `issue status`, without the states that nobody is in."""
    from newsletter.cli.progress import rate_words, time_left_words
    from newsletter.send.status import seconds_left

    lines = [f"{counts['issue']}  {counts['state'].replace('_', ' ')}"]
    if counts["reason"]:
        lines.append(wrapped(counts["reason"], indent=11, first="Reason"))
    names = ["planned", "sent", *(s.value for s in (*FINAL, *TO_DO) if s is not S.SENT)]
    lines += [f"{name.capitalize():<11}{counts[name]:>9,}" for name in names if counts[name] or name in names[:2]]
    if counts["rate"]:
        number, _, unit = rate_words(counts["rate"]).partition(" ")
        left = seconds_left(counts) if with_time_left else None
        words = f"{unit}, {time_left_words(left)}" if left else unit
        lines.append(wrapped(words, indent=21, first=f"{'Rate':<11}{number:>9} "))
    return "\n".join(lines)


def _left_out(report: IssueReport) -> str:
    words = left_out_words(report)
    return wrapped(words, indent=11, first="Left out") if words else ""


def _timeline(report: IssueReport, *, drawn: bool) -> str:
    buckets = report.timeline.buckets
    if not buckets:
        return ""
    day = buckets[0].start.astimezone(report.zone)
    every = step_words(report.timeline.step)
    title = f"When it went: a line for every {every}, from {day.day} {day:%B %Y}, {day:%H:%M} {day:%Z}"
    labels = report.bucket_labels()
    lines = _drawn(buckets, labels, report.timeline.most) if drawn else _spoken(buckets, labels)
    return "\n".join([_heading(wrapped(title)), *lines])


def _drawn(buckets: Sequence[Bucket], labels: Sequence[str], most: int) -> Iterator[str]:
    room = min(WIDEST_BAR, terminal_width() - max(map(len, labels)) - COUNT_WIDTH - 4)
    for bucket, label in zip(buckets, labels, strict=True):
        yield f"{label}  {bucket.sent:>{COUNT_WIDTH},}  {click.style(bar(bucket.sent, most, room), fg='cyan')}".rstrip()


def bar(count: int, most: int, room: int) -> str:
    """Return a bar of *room* characters for *most*; whatever is more than nothing shows."""
    eighths = round(count / most * room * 8) if most else 0
    if count and not eighths:
        eighths = 1
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def _spoken(buckets: Sequence[Bucket], labels: Sequence[str]) -> Iterator[str]:
    """Say each step that had any; those without are passed over."""
    return (f"{label}  {b.sent:>{COUNT_WIDTH},} sent" for b, label in zip(buckets, labels, strict=True) if b.sent)


def _domains(report: IssueReport, *, drawn: bool) -> str:
    shown = report.largest_domains(MOST_DOMAINS)
    if not shown:
        return ""
    room = terminal_width() - len(_COLUMNS) * (COUNT_WIDTH + 1)
    if not drawn or room < NARROWEST_NAME:
        return "\n".join([_heading("Receiving domains"), *map(_domain_words, shown)])
    room = min(room, WIDEST_NAME)
    head = "".join(f"{word:>{COUNT_WIDTH + 1}}" for word in _COLUMNS)
    return "\n".join([_heading(f"{'Receiving domains':<{room}}{head}"), *(_domain_row(d, room) for d in shown)])


def _numbers(domain: DomainCounts) -> tuple[int, ...]:
    return (domain.planned, *(domain.count(s) for s in (S.SENT, S.BOUNCED, S.DEFERRED)), domain.count(*_OTHER))


def _domain_name(domain: DomainCounts) -> str:
    return f"{domain.merged:,} more domains" if domain.merged > 1 else plain(domain.domain) or "(erased)"


def _domain_words(domain: DomainCounts) -> str:
    told = zip(_numbers(domain), _COLUMNS, strict=True)
    words = ", ".join(f"{number:,} {column}" for number, column in told if number)
    return wrapped(words, indent=2, first=f"{_domain_name(domain)}: ")


def _domain_row(domain: DomainCounts, room: int) -> str:
    name = _domain_name(domain)
    cells = "".join(f"{number or '-':>{COUNT_WIDTH + 1}{',' if number else ''}}" for number in _numbers(domain))
    if len(name) > room - 1:  # a name is never cut: it takes a line of its own
        return f"{name}\n{'':<{room}}{cells}"
    return f"{name:<{room}}{cells}"


def _replies(report: IssueReport) -> str:
    groups = report.replies
    if not groups:
        return ""
    lines = [_reply_line(group) for group in groups[:MOST_REPLIES]]
    rest = groups[MOST_REPLIES:]
    if rest:
        lines.append(
            f"{sum(g.count for g in rest):>{COUNT_WIDTH},}  in {len(rest)} more groups; all of them with --json"
        )
    return "\n".join([_heading("What was answered, and one example each"), *lines])


def _reply_line(group: ReplyGroup) -> str:
    code = " ".join(str(part) for part in (group.code, group.status) if part)
    words = ", ".join(part for part in (group.state.value, code, group.reason or "") if part)
    line = wrapped(words, indent=COUNT_WIDTH + 2, first=f"{group.count:>{COUNT_WIDTH},}  ")
    said = plain(group.example)
    said = said.removeprefix(group.status or "").strip()
    return f"{line}\n{wrapped(f'“{said}”', indent=COUNT_WIDTH + 2)}" if said else line


def _leavers(report: IssueReport) -> str:
    left = report.leavers
    if not left.total:
        return ""
    told = [*left.reasons.items(), ("in their own words", left.in_own_words), ("no reason given", left.said_nothing)]
    lines = [f"{count:>{COUNT_WIDTH},}  {words}" for words, count in told if count]
    return "\n".join([_heading(f"Left after it: {left.total:,}"), *lines])


def _needy(report: IssueReport) -> str:
    lines: list[str] = []
    for state, meaning in ((S.HELD, "Held back"), (S.UNCERTAIN, "May or may not have arrived")):
        people, total = report.in_state(state), int(report.counts[state.value])
        if not people:
            continue
        lines += [_heading(f"{meaning}: {total:,}"), *_people(people)]
        if total > MOST_PEOPLE:
            lines.append(f"and {total - MOST_PEOPLE:,} more; all of them with --json, or on the page of --html FILE")
        lines += [*_advice(state, report, people), ""]
    return "\n".join(lines[:-1])


def _advice(state: S, report: IssueReport, people: Sequence[Person]) -> list[str]:
    if state is S.HELD:
        return [
            wrapped("Mend what the reasons say, then try all that failed again, the bounced and the expired too:"),
            f"  {what_to_do(people[0], report.slug)}",
        ]
    return [
        wrapped("Look for them in the log of your mail server, then say of each what is true:"),
        f"  newsletter uncertain resolve {people[0].delivery} --sent    it arrived",
        f"  newsletter uncertain resolve {people[0].delivery} --resend  send it again; it may arrive twice",
    ]


def _people(people: Sequence[Person]) -> Iterator[str]:
    width = max(len(str(person.delivery)) for person in people)
    for person in people[:MOST_PEOPLE]:
        yield wrapped(_who(person), indent=width + 2, first=f"{person.delivery:>{width}}  ")
        why = ": ".join(part for part in (person.reason, plain(person.reply)) if part)
        if why:
            yield wrapped(why, indent=width + 4)


def _who(person: Person) -> str:
    address = plain(person.address) or "(erased)"
    return f"{plain(person.name)} <{address}>" if person.name else address


def _deferred(report: IssueReport) -> str:
    people, total = report.in_state(S.DEFERRED), int(report.counts["deferred"])
    if not people:
        return ""
    lines = [_heading(f"Deferred, and tried again by newsletter work: {total:,}")]
    for person in people[:MOST_PEOPLE]:
        at = person.retry_at.astimezone(report.zone) if person.retry_at else None
        label = f"{short_day(at)} {at:%H:%M}  " if at else "soon  "
        lines.append(wrapped(f"{_who(person)}: {person.reason}", indent=len(label), first=label))
    if total > MOST_PEOPLE:
        lines.append(f"and {total - MOST_PEOPLE:,} more, later; all of them with --json")
    return "\n".join(lines)


def _heading(text: str) -> str:
    return click.style(text, bold=True)
