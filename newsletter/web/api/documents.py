"""
The documents that the interface takes and gives, with their examples; keys are those of the command line's JSON.

What is taken is read strictly: an unknown key, or a number where words belong, is refused, never guessed at.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from newsletter.tables import DeliveryState, IssueState
from newsletter.web.api.paging import CURSOR_CHARACTERS

MOST_ROWS = 500
USUAL_ROWS = 100
HIGHEST_ID = 2**31 - 1
LONGEST_SEGMENT = 8_000
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
WORDS = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"


def _real_day(text: str) -> str:
    date.fromisoformat(text)
    return text


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", max_length=64)]
Line = Annotated[str, StringConstraints(pattern=NO_CONTROLS, max_length=200)]
Words = Annotated[str, StringConstraints(pattern=WORDS, min_length=1, max_length=1000)]
AddressText = Annotated[str, StringConstraints(pattern=NO_CONTROLS, min_length=3, max_length=254)]
Day = Annotated[
    str,
    StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"),
    AfterValidator(_real_day),
    Field(json_schema_extra={"format": "date"}),
]
TagText = Annotated[str, StringConstraints(pattern=WORDS, min_length=1, max_length=64)]
BasisName = Literal["consent", "soft-opt-in", "corporate", "service"]
AttributeInput = bool | int | float | str | list[str] | None
Cursor = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", min_length=1, max_length=CURSOR_CHARACTERS)]


class Paged(BaseModel):
    """How a list is asked for; a parameter that is not known is refused, so that no filter is lost by a slip."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(USUAL_ROWS, ge=1, le=MOST_ROWS)
    cursor: Cursor | None = Field(None, description="From the link to the next page.")


class SubscriberFilters(Paged):
    list_name: Slug | None = Field(None, alias="list", description="On this list, in any state.")
    state: Literal["pending", "subscribed", "unsubscribed", "suppressed", "none"] | None = None
    segment: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_SEGMENT, pattern=NO_CONTROLS)] | None = (
        Field(None, description="A segment by name, or an expression of the segment language.")
    )
    search: Annotated[str, StringConstraints(min_length=1, max_length=254, pattern=NO_CONTROLS)] | None = Field(
        None, description="Part of the name or address. For a whole address use the lookup: it leaves no trace in logs."
    )


class DeliveryFilters(Paged):
    issue: Slug = Field(description="The slug of the issue.")
    state: DeliveryState | None = None


class ListFilters(Paged):
    archived: bool = Field(False, description="Archived ones too.")


class IssueFilters(Paged):
    state: IssueState | None = None


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Lookup(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"address": "ann@example.org"}]})

    address: AddressText


class NewSubscriber(Body):
    """
    Somebody to be asked for a confirmation by mail; or, with `basis` and `evidence`, to be put on the lists at once.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "address": "ann@example.org",
                    "lists": ["members"],
                    "wording": "I would like to get the members' newsletter of Example Network by email.",
                },
                {
                    "address": "ann@example.org",
                    "lists": ["members"],
                    "name": "Ann Jones",
                    "basis": "consent",
                    "evidence": "membership form of 2 May 2026",
                },
            ]
        }
    )

    address: AddressText
    lists: list[Slug] = Field(min_length=1, max_length=20)
    name: Line | None = None
    first_name: Annotated[Line, StringConstraints(max_length=100)] | None = None
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}$")] | None = None
    wording: Words | None = Field(None, description="What they agreed to, as the form said it: for asking them.")
    basis: BasisName | None = None
    evidence: Words | None = None
    collected_at: Day | None = Field(None, description="When they gave their details; the soft opt-in needs it.")
    tags: list[TagText] = Field(default_factory=list, max_length=50)
    attributes: dict[str, AttributeInput] = Field(default_factory=dict, max_length=50)


class SubscriberChange(Body):
    """What is to be different; what is left out stays, and null clears. `tags` replaces all tags."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Ann Jones", "tags": ["press"], "attributes": {"town": "Dudley"}}]}
    )

    name: Line | None = None
    first_name: Annotated[Line, StringConstraints(max_length=100)] | None = None
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}$")] | None = None
    tags: list[TagText] | None = Field(None, max_length=50)
    attributes: dict[str, AttributeInput] | None = Field(None, max_length=50)


class Subscribe(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"list": "members", "basis": "consent", "evidence": "telephone, 2 November"}]}
    )

    list_name: Slug = Field(alias="list")
    basis: BasisName
    evidence: Words
    collected_at: Day | None = None


class Unsubscribe(Body):
    """`list` null or left out: every list, and never mailed again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"list": "members"}, {"evidence": "letter of 2 May"}]})

    list_name: Slug | None = Field(None, alias="list")
    evidence: Words = "asked for it"


class Erase(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"evidence": "letter of 2 November"}]})

    evidence: Words = Field(description="How they asked; without name or address.")


class NewSuppression(Body):
    """An address, or a domain and those below it, that is never mailed: on one list, or on every list."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"address": "ann@example.org", "evidence": "telephone call of 2 November"}]}
    )

    address: AddressText | None = None
    domain: Annotated[str, StringConstraints(pattern=NO_CONTROLS, min_length=1, max_length=253)] | None = None
    list_name: Slug | None = Field(None, alias="list")
    reason: Literal["by hand", "unsubscribed", "complaint", "hard bounce"] = "by hand"
    evidence: Words
    until: Day | None = Field(None, description="Its last day; null for ever.")


class Given(BaseModel):
    """What is given; described in full, and never with a key that is not described."""

    model_config = ConfigDict(extra="forbid")


class Person(Given):
    id: int
    address: str
    name: str | None
    first_name: str | None
    language: str | None
    state: Literal["pending", "subscribed", "unsubscribed", "suppressed", "none"]
    lists: list[str] = Field(description="Those that they are subscribed to, of the lists that the token is for.")
    tags: list[str]
    attributes: dict[str, Any]
    joined_at: datetime


class SubscriptionShown(Given):
    list: str
    state: Literal["pending", "subscribed", "unsubscribed"]
    basis: BasisName
    since: datetime


class PersonInFull(Person):
    subscriptions: list[SubscriptionShown]


class Made(Given):
    id: int
    address: str
    lists: list[str]
    state: Literal["subscribed"]


class Asked(Given):
    state: Literal["asked"] = Field(
        description="The request is kept. Whoever may be mailed is asked to confirm; the answer is the same for all."
    )


class Standing(Given):
    id: int
    address: str | None = Field(description="Null without the scope subscribers:read.")
    list: str | None
    state: Literal["subscribed", "unsubscribed"]


class Erased(Given):
    erased: Literal[True]
    deliveries: int


class ListShown(Given):
    name: str
    title: str
    description: str
    open: bool
    subscribed: int
    pending: int
    unsubscribed: int
    archived: datetime | None


class IssueShown(Given):
    issue: str
    state: IssueState
    subject: str
    blocks: int
    planned: int
    created_at: datetime
    edited_at: datetime
    edited_by: str
    scheduled_at: datetime | None
    finished_at: datetime | None
    published_at: datetime | None
    indexed: bool
    reason: str | None


class IssueStatus(Given):
    issue: str
    state: IssueState
    reason: str | None
    planned: int
    sent: int
    bounced: int
    expired: int
    suppressed: int
    held: int
    cancelled: int
    uncertain: int
    pending: int
    claimed: int
    intent: int
    deferred: int
    started_at: datetime | None
    finished_at: datetime | None
    rate: float | None


class ReplyShown(Given):
    state: DeliveryState
    code: int | None
    status: str | None
    reason: str | None
    count: int
    example: str | None


class BucketShown(Given):
    start: datetime
    sent: int


class TimelineShown(Given):
    bucket_seconds: int
    buckets: list[BucketShown]


class IssueReportShown(IssueStatus):
    subject: str
    domains: list[dict[str, str | int]]
    replies: list[ReplyShown]
    reasons: list[ReplyShown]
    timeline: TimelineShown


class DeliveryShown(Given):
    delivery: int
    issue: str
    subscriber: int | None = Field(description="Null once they are gone.")
    address: str | None = Field(description="Masked without the scope deliveries:addresses; null once erased.")
    state: DeliveryState
    attempt: int
    reason: str | None
    reply: str | None
    since: datetime
    retry_at: datetime | None


class SuppressionShown(Given):
    id: int
    address: str | None = Field(description="`*@domain` for a domain; null for somebody who was erased.")
    scope: str = Field(description="The name of a list, or `all`.")
    reason: str
    since: datetime
    evidence: str
    expires: datetime | None


class ProblemShown(BaseModel):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | None = None
