"""Tables of the list. A person is found by id, by `token_id` in links, and by `address_hash` in suppressions."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    Enum,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    event,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from subscribers.append_only import only_grows
from subscribers.bounces.event import BounceClass, Reason, ReportKind
from subscribers.bounces.policy import Rule, Sign
from subscribers.comparing import folded
from subscribers.db import Base


def stored_enum(kind: type[StrEnum]) -> Enum:
    """Return a column type that stores an enum's values as text, on every database alike."""
    return Enum(kind, native_enum=False, length=32, values_callable=lambda e: [m.value for m in e])


class Basis(StrEnum):
    """Lawful basis on which somebody is mailed."""

    CONSENT = "consent"
    SOFT_OPT_IN = "soft-opt-in"
    CORPORATE = "corporate"
    SERVICE = "service"


class SubscriptionState(StrEnum):
    PENDING = "pending"
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"


class ConsentAction(StrEnum):
    """What a line of the ledger records; the present state is the replay of these."""

    REQUESTED = "requested"
    GRANTED = "granted"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"
    UNDONE = "undone"


class AttributeKind(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    YES_NO = "yes/no"
    CHOICE = "choice"
    SEVERAL = "several"


class Frequency(StrEnum):
    """How often somebody is mailed: each issue as it goes out, or one digest of a month's issues instead."""

    EACH = "each"
    MONTHLY = "monthly"


class WhyLeft(StrEnum):
    """What somebody may say of why they left; the words that a page shows for it are the page's."""

    TOO_MANY = "too many"
    NOT_FOR_ME = "not for me"
    NEVER_ASKED = "never asked"
    MOVED_ON = "moved on"
    SEEN_BY_OTHERS = "seen by others"
    OTHER = "other"


class Subscriber(Base):
    """
    A person or mailbox. `key` is the comparable address; `token_id` the random id that links carry.

    What the person chose: `paused_until` mails nothing before that day, `frequency` how often, and `discreet` asks for
    mail that shows neither in an inbox nor on a screen what it is about.
    """

    __tablename__ = "subscribers"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_id: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    address: Mapped[str] = mapped_column(String(254))
    key: Mapped[str] = mapped_column(String(254), unique=True)
    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    domain: Mapped[str] = mapped_column(String(253), index=True)
    name: Mapped[str | None] = mapped_column(String(200))
    first_name: Mapped[str | None] = mapped_column(String(100))
    language: Mapped[str | None] = mapped_column(String(35), index=True)
    timezone: Mapped[str | None] = mapped_column(String(64))
    paused_until: Mapped[date | None]
    frequency: Mapped[Frequency] = mapped_column(stored_enum(Frequency), default=Frequency.EACH, server_default="each")
    discreet: Mapped[bool] = mapped_column(default=False, server_default=false())
    joined_at: Mapped[datetime] = mapped_column(index=True)
    updated_at: Mapped[datetime]


class MailingList(Base):
    """A list. `name` is its slug; `title` is what members read; only an `open` one is offered on the site."""

    __tablename__ = "lists"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, default="")
    open: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class Subscription(Base):
    """The present state of one person on one list: the replay of the ledger, kept beside it."""

    __tablename__ = "subscriptions"
    __table_args__ = (Index("ix_subscriptions_list_state", "list_id", "state", "subscriber_id"),)

    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscribers.id", ondelete="CASCADE"), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True)
    state: Mapped[SubscriptionState] = mapped_column(stored_enum(SubscriptionState))
    basis: Mapped[Basis] = mapped_column(stored_enum(Basis))
    since: Mapped[datetime]


class ConsentEvent(Base):
    """One line of the append-only ledger. After an erasure `subscriber_id` is null and `address_hash` stays."""

    __tablename__ = "consent_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int | None] = mapped_column(ForeignKey("subscribers.id", ondelete="SET NULL"), index=True)
    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16), index=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    action: Mapped[ConsentAction] = mapped_column(stored_enum(ConsentAction))
    basis: Mapped[Basis] = mapped_column(stored_enum(Basis))
    at: Mapped[datetime]
    wording: Mapped[str | None] = mapped_column(Text)
    wording_hash: Mapped[str | None] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(200))
    actor: Mapped[str] = mapped_column(String(200))
    evidence: Mapped[str] = mapped_column(Text, default="")
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("import_batches.id"), index=True)


class LeavingReason(Base):
    """Why somebody left, where they said so afterwards: a choice, words of their own, or both; goes with the person."""

    __tablename__ = "leaving_reasons"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscribers.id", ondelete="CASCADE"), index=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("consent_events.id"), unique=True)
    at: Mapped[datetime]
    choice: Mapped[WhyLeft | None] = mapped_column(stored_enum(WhyLeft))
    words: Mapped[str] = mapped_column(Text, default="")


class PreferenceChange(Base):
    """A change of what somebody chose, or is called: who made it, when, from what to what; goes with the person."""

    __tablename__ = "preference_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscribers.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    field: Mapped[str] = mapped_column(String(64))
    before: Mapped[str | None] = mapped_column(Text)
    after: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(200))
    actor: Mapped[str] = mapped_column(String(200))


class Suppression(Base):
    """
    Somebody who is never mailed, since when and why.

    Matched by `address_hash`, or by `domain` where that is set instead. `list_id` null means every list.
    `address` is for people to read and is null once erased.
    """

    __tablename__ = "suppressions"

    id: Mapped[int] = mapped_column(primary_key=True)
    address_hash: Mapped[bytes | None] = mapped_column(LargeBinary(16), index=True)
    domain: Mapped[str | None] = mapped_column(String(253), index=True)
    address: Mapped[str | None] = mapped_column(String(254))
    list_id: Mapped[int | None] = mapped_column(ForeignKey("lists.id"))
    reason: Mapped[str] = mapped_column(String(64))
    since: Mapped[datetime]
    evidence: Mapped[str] = mapped_column(Text, default="")
    expires_at: Mapped[datetime | None]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str | None] = mapped_column(String(200))
    lifted_reason: Mapped[str | None] = mapped_column(Text)


class NeverMailKind(StrEnum):
    """
    What changed about whom may be mailed.

    `suppressed` and `lifted` are about an entry of the suppressions, `left` and `back` about one list, `gone` says that
    a record was deleted, and `merged` into which other one, just before. `discreet` and `plain` are how somebody wants
    what they are mailed to look: a mail that is not discreet can endanger them as much as one too many.
    """

    SUPPRESSED = "suppressed"
    LIFTED = "lifted"
    LEFT = "left"
    BACK = "back"
    GONE = "gone"
    MERGED = "merged"
    DISCREET = "discreet"
    PLAIN = "plain"


# SQLite finds an index of some rows by these words alone, never by a value that is bound.
_ENDED = text("kind IN ('gone', 'merged')")
ENDED = text("never_mail_changes.kind IN ('gone', 'merged')")


class NeverMailChange(Base):
    """
    One change of whom may be mailed, written by the database itself, to be copied to a file outside it.

    `mark` names it for ever, in the file too. `number` is the order in which changes were committed, given on
    PostgreSQL once they are; on SQLite that is `id`. `person` is a token id, and so is `kept`: the record that the
    other was merged into.
    """

    __tablename__ = "never_mail_changes"
    __table_args__ = (
        Index("ix_never_mail_changes_ended", "person", sqlite_where=_ENDED, postgresql_where=_ENDED),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int | None] = mapped_column(unique=True)
    mark: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    kind: Mapped[NeverMailKind] = mapped_column(stored_enum(NeverMailKind))
    at: Mapped[datetime]
    address_hash: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    domain: Mapped[str | None] = mapped_column(String(253))
    list_id: Mapped[int | None] = mapped_column(ForeignKey("lists.id"))
    person: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    kept: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    reason: Mapped[str | None] = mapped_column(String(64))
    expires_at: Mapped[datetime | None]


class OneTimeToken(Base):
    """A link that works once; only the digest of its token is kept."""

    __tablename__ = "one_time_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(String(32))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    subscriber_id: Mapped[int | None] = mapped_column(ForeignKey("subscribers.id", ondelete="CASCADE"), index=True)
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class SignUp(Base):
    """
    An address that was typed into the form, and how often it was written to because of that.

    `address` is there only while a link to confirm can be used. The counts stay, under the keyed hash: a stranger who
    never answers must not be written to for ever. `mailbox_hash` is the same for all spellings of one mailbox.
    """

    __tablename__ = "sign_ups"

    id: Mapped[int] = mapped_column(primary_key=True)
    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    mailbox_hash: Mapped[bytes] = mapped_column(LargeBinary(16), index=True)
    address: Mapped[str | None] = mapped_column(String(254))
    mails: Mapped[int] = mapped_column(default=0)
    mailed_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Tag(Base):
    __tablename__ = "subscriber_tags"
    __table_args__ = (Index("ix_subscriber_tags_tag", "tag", "subscriber_id"),)

    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscribers.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(64), primary_key=True)


class AttributeDefinition(Base):
    """An attribute's name and kind, declared in the configuration or learnt at import."""

    __tablename__ = "attribute_definitions"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[AttributeKind] = mapped_column(stored_enum(AttributeKind))
    choices: Mapped[list[str] | None] = mapped_column(JSON)


def _index_where_set(name: str, first: str, wanted: str, *rest: str) -> Index:
    """Return an index of the rows that have *wanted*: most values are text, and writing each index has its price."""
    is_set = text(f"{wanted} IS NOT NULL")
    return Index(name, first, wanted, *rest, sqlite_where=is_set, postgresql_where=is_set)


class AttributeValue(Base):
    """One value of one attribute; an attribute of several values has a row for each `position`."""

    __tablename__ = "attribute_values"
    __table_args__ = (
        _index_where_set("ix_attribute_values_number", "definition_id", "number", "subscriber_id"),
        _index_where_set("ix_attribute_values_date", "definition_id", "date", "subscriber_id"),
    )

    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscribers.id", ondelete="CASCADE"), primary_key=True)
    definition_id: Mapped[int] = mapped_column(ForeignKey("attribute_definitions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, default=0)
    text: Mapped[str | None] = mapped_column(Text)
    number: Mapped[float | None]
    date: Mapped[date | None]


# Of the folded text, which is what segments compare; like those above, of the rows that have one.
Index(
    "ix_attribute_values_folded",
    AttributeValue.definition_id,
    folded(AttributeValue.text),
    AttributeValue.subscriber_id,
    sqlite_where=text("text IS NOT NULL"),
    postgresql_where=text("text IS NOT NULL"),
)


class ImportBatch(Base):
    """One import: what was read, by whom, on which basis, and what came of it."""

    __tablename__ = "import_batches"

    id: Mapped[int] = mapped_column(primary_key=True)
    file_name: Mapped[str] = mapped_column(String(255))
    file_sha256: Mapped[str] = mapped_column(String(64))
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    basis: Mapped[Basis] = mapped_column(stored_enum(Basis))
    evidence: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(200))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]
    forgotten_at: Mapped[datetime | None]
    rows_done: Mapped[int] = mapped_column(default=0)
    counts: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    kept_out: Mapped[dict[str, int]] = mapped_column(JSON, default=dict, server_default="{}")
    mapping: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class ImportChange(Base):
    """What one batch did to one subscriber: `before` is null when the batch created the person."""

    __tablename__ = "import_changes"
    __table_args__ = (UniqueConstraint("batch_id", "subscriber_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("import_batches.id", ondelete="CASCADE"))
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscribers.id", ondelete="CASCADE"), index=True)
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    after: Mapped[dict[str, Any]] = mapped_column(JSON)


class ImportSuppression(Base):
    """A suppression that one batch made, and that an undo of the batch may lift, until something else shows it too."""

    __tablename__ = "import_suppressions"

    batch_id: Mapped[int] = mapped_column(ForeignKey("import_batches.id", ondelete="CASCADE"), primary_key=True)
    suppression_id: Mapped[int] = mapped_column(
        ForeignKey("suppressions.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class ImportProfile(Base):
    """
    What the columns of a file mean, kept by name: heading -> field, attribute or ``ignore``.

    `conditions` says how people who come in such a file meet those of the charity soft opt-in, as `stated_by` said.
    """

    __tablename__ = "import_profiles"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    mapping: Mapped[dict[str, str]] = mapped_column(JSON)
    conditions: Mapped[str] = mapped_column(Text, default="", server_default="")
    stated_by: Mapped[str] = mapped_column(String(200), default="", server_default="")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Segment(Base):
    """A named expression of the segment language."""

    __tablename__ = "segments"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    expression: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class BounceReport(Base):
    """
    One thing that came back, as it came: a mail, a batch of a provider's events, or refusals met while sending.

    `digest` is of what a mail says, without its trace fields: the same mail again changes nothing. `raw` goes after
    some weeks, and with an erasure; `size` stays. A row of the way ``token`` only remembers for a day that a webhook's
    token was used: the digests of it and of its body.
    """

    __tablename__ = "bounce_reports"

    id: Mapped[int] = mapped_column(primary_key=True)
    way: Mapped[str] = mapped_column(String(32))
    received_at: Mapped[datetime] = mapped_column(index=True)
    digest: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    size: Mapped[int]
    sender: Mapped[str | None] = mapped_column(Text)
    sender_hash: Mapped[bytes | None] = mapped_column(LargeBinary(16), index=True)
    subject: Mapped[str | None] = mapped_column(Text)


class BounceEvent(Base):
    """
    What one report says of one recipient, what was made of it and by which rule; every line of `bounces list` is one.

    `delivery_id` and `issue_id` name rows of the application, which this package does not know. `address` is the one
    that the report names, `marked_hash` whom the marked copy went to: only where both agree is anybody touched.
    `sign` is what it counts as in the policy; an undone one counts as nothing.
    """

    __tablename__ = "bounce_events"
    __table_args__ = (Index("ix_bounce_events_marked", "marked_hash", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("bounce_reports.id", ondelete="CASCADE"), index=True)
    event_key: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    kind: Mapped[ReportKind] = mapped_column(stored_enum(ReportKind))
    at: Mapped[datetime] = mapped_column(index=True)
    address: Mapped[str | None] = mapped_column(Text)
    address_hash: Mapped[bytes | None] = mapped_column(LargeBinary(16), index=True)
    domain: Mapped[str] = mapped_column(String(253), default="")
    marked_hash: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    delivery_id: Mapped[int | None] = mapped_column(index=True)
    issue_id: Mapped[int | None] = mapped_column(index=True)
    list_id: Mapped[int | None] = mapped_column(ForeignKey("lists.id"))
    klass: Mapped[BounceClass] = mapped_column(stored_enum(BounceClass), default=BounceClass.NONE)
    status: Mapped[str] = mapped_column(String(32), default="")
    reason: Mapped[Reason | None] = mapped_column(stored_enum(Reason))
    words: Mapped[str] = mapped_column(Text, default="")
    sign: Mapped[Sign] = mapped_column(stored_enum(Sign), default=Sign.NONE)
    at_once: Mapped[bool] = mapped_column(default=False)
    rule: Mapped[Rule] = mapped_column(stored_enum(Rule))
    score: Mapped[float] = mapped_column(default=0.0)
    suppression_ids: Mapped[list[int]] = mapped_column(JSON, default=list)
    consent_event_ids: Mapped[list[int]] = mapped_column(JSON, default=list)
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None] = mapped_column(String(200))
    undone_reason: Mapped[str | None] = mapped_column(Text)


# An erasure takes the person and the words away; a merge gives the line to the record that is kept. Nothing else moves.
only_grows(ConsentEvent.__table__, movable=("subscriber_id",), blankable={"evidence": "''", "wording": "NULL"})


@event.listens_for(Base.metadata, "after_create")
def _with_its_triggers(_metadata: MetaData, connection: Connection, **_: object) -> None:
    """Make the triggers with the tables, where these are made without the migrations."""
    from subscribers.never_mail.triggers import make_triggers

    make_triggers(connection)
