"""Rules on dates: no past, cancelled or impossible event, and a time of sending that makes sense."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from zoneinfo import ZoneInfo

from newsletter.compose.content import Event
from newsletter.compose.dates import is_over
from newsletter.preflight.document import Document
from newsletter.preflight.holidays import holiday_name
from newsletter.preflight.registry import Found, document_rule, issue_rule
from newsletter.preflight.values import IssueFacts
from newsletter.render.dates import zone_of


@document_rule("past-event", blocks=True, of_form="any")
def past_event(document: Document, facts: IssueFacts) -> Iterator[Found]:
    moment = _sending_time(facts)
    for event in document.events:
        if _is_over(event, moment, facts.timezone):
            yield Found(
                event.title,
                "This event is over, or will have begun, when the issue goes out.",
                "Take it out: newsletter issue remove ISSUE ITEM.",
            )


@document_rule("cancelled-event", blocks=True, of_form="any")
def cancelled_event(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for event in document.events:
        if event.cancelled:
            yield Found(event.title, "Its source says that this event is cancelled.", "Take it out.")


@document_rule("event-ends-before-start", blocks=True, of_form="any")
def event_ends_before_start(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for event in document.events:
        timed = _aware(event.starts) and _aware(event.ends) and event.ends < event.starts  # type: ignore[operator]
        if timed or (event.starts_on and event.ends_on and event.ends_on < event.starts_on):
            yield Found(event.title, "It ends before it starts.", "Mend it: newsletter library set ID ends=...")


@document_rule("event-without-zone", blocks=True, of_form="any")
def event_without_zone(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for event in document.events:
        if event.starts and (
            zone_of(event.timezone) is None or not _aware(event.starts) or not _aware(event.ends or event.starts)
        ):
            yield Found(
                event.title,
                "It has a time without a known time zone, so nobody knows when it is.",
                "Set one: newsletter library set ID timezone=Europe/London.",
            )


@document_rule("event-without-date", blocks=False, of_form="any")
def event_without_date(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for event in document.events:
        if event.starts is None and event.starts_on is None:
            yield Found(event.title, "Its date is not known.", "Fill it in: newsletter library set ID starts=...")


@document_rule("events-at-one-time", blocks=False, of_form="any")
def events_at_one_time(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    at: dict[datetime, list[str]] = defaultdict(list)
    for event in document.events:
        if event.starts and _aware(event.starts):
            at[event.starts].append(event.title)
    for titles in at.values():
        if len(titles) > 1:
            yield Found(" / ".join(titles), "These begin at the same moment.", "Check both dates.")


@document_rule("event-on-unusual-day", blocks=False, of_form="any")
def event_on_unusual_day(document: Document, facts: IssueFacts) -> Iterator[Found]:
    """A weekend event is ordinary; on a bank holiday a date is more often a slip."""
    for event in document.events:
        day = _first_day(event, facts.timezone)
        if day and (name := holiday_name(day)):
            yield Found(event.title, f"It is on a bank holiday ({name}).", "Check the date.")


@issue_rule("scheduled-in-past", blocks=True)
def scheduled_in_past(facts: IssueFacts) -> Iterator[Found]:
    """Not judged when the schedule has come due: by then its time is past by nature."""
    if facts.scheduled_at and facts.scheduled_at < facts.now and not facts.for_sending:
        yield Found(
            "schedule",
            f"The issue is scheduled for {facts.scheduled_at:%Y-%m-%d %H:%M}, which is past.",
            "Schedule it again: newsletter issue schedule ISSUE TIME.",
        )


@issue_rule("scheduled-on-unusual-day", blocks=False)
def scheduled_on_unusual_day(facts: IssueFacts) -> Iterator[Found]:
    if facts.scheduled_at is None:
        return
    day = facts.scheduled_at.astimezone(ZoneInfo(facts.timezone)).date()
    name = holiday_name(day) or {5: "a Saturday", 6: "a Sunday"}.get(day.weekday(), "")
    if name:
        yield Found("schedule", f"The issue would go out on {name}, when few read work mail.", "Choose a working day.")


def _sending_time(facts: IssueFacts) -> datetime:
    return max(facts.now, facts.scheduled_at) if facts.scheduled_at else facts.now


def _is_over(event: Event, moment: datetime, timezone: str) -> bool:
    return is_over(
        moment,
        starts=event.starts,
        ends=event.ends,
        starts_on=event.starts_on,
        ends_on=event.ends_on,
        zone=zone_of(event.timezone) or ZoneInfo(timezone),
    )


def _first_day(event: Event, timezone: str) -> date | None:
    if event.starts is not None:
        return event.starts.astimezone(zone_of(event.timezone) or ZoneInfo(timezone)).date()
    return event.starts_on


def _aware(moment: datetime | None) -> bool:
    return moment is not None and moment.tzinfo is not None
