"""Tables of the application: sources, library, issues, deliveries. A delivery points at a subscriber, never back."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from subscribers.append_only import only_grows
from subscribers.db import Base
from subscribers.tables import stored_enum


class SourceKind(StrEnum):
    FEED = "feed"
    WORDPRESS = "wordpress"
    CALENDAR = "calendar"
    MARKDOWN = "markdown"
    ARCHIVE_TEXT = "archive-text"


class ItemKind(StrEnum):
    POST = "post"
    EVENT = "event"
    RESOURCE = "resource"
    PAST_ISSUE = "past-issue"
    NOTICE = "notice"


class ItemState(StrEnum):
    """`cancelled`: the source says the event is off. `hidden`: the chair took it out of all proposals."""

    ACTIVE = "active"
    CANCELLED = "cancelled"
    HIDDEN = "hidden"


class IssueState(StrEnum):
    DRAFT = "draft"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"


class BlockKind(StrEnum):
    ITEM = "item"
    QUOTE = "quote"
    DIVIDER = "divider"
    BUTTON = "button"
    LETTER = "letter"


class DeliveryState(StrEnum):
    PENDING = "pending"
    CLAIMED = "claimed"
    INTENT = "intent"
    DEFERRED = "deferred"
    SENT = "sent"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    HELD = "held"
    CANCELLED = "cancelled"
    UNCERTAIN = "uncertain"


class NoticeKind(StrEnum):
    """Why a notice is mailed, which decides its header, its suppression rule and whether a doubtful one is repeated."""

    TEST = "test"
    CONFIRMATION = "confirmation"
    LINK = "link"
    ALERT = "alert"
    REPLY = "reply"


class WebRequestKind(StrEnum):
    """What somebody asked for on the site that the worker answers by mail."""

    SIGN_UP = "sign-up"
    LINK = "link"
    REQUEST = "request"


class PersonRequestKind(StrEnum):
    """What somebody wants about their own data, or that they complain."""

    COMPLAINT = "complaint"
    ACCESS = "access"
    CORRECTION = "correction"
    ERASURE = "erasure"
    OTHER = "other"


class Setting(Base):
    """Facts of this workspace that are no configuration: its instance id, for example."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


class Source(Base):
    """Where posts and events come from. `location` is an https URL, or a path of the operator's."""

    __tablename__ = "sources"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[SourceKind] = mapped_column(stored_enum(SourceKind))
    location: Mapped[str] = mapped_column(Text)
    etag: Mapped[str | None] = mapped_column(Text)
    last_modified: Mapped[str | None] = mapped_column(Text)
    fetched_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]


class Picture(Base):
    """A picture of ours: checked, resized to twice the shown width, in `media/` under the hash of its bytes."""

    __tablename__ = "pictures"

    id: Mapped[int] = mapped_column(primary_key=True)
    source_url: Mapped[str] = mapped_column(Text, index=True)
    file_name: Mapped[str | None] = mapped_column(String(80))
    width: Mapped[int | None]
    height: Mapped[int | None]
    bytes: Mapped[int | None]
    fetched_at: Mapped[datetime]
    error: Mapped[str | None] = mapped_column(Text)


class Item(Base):
    """
    A post, event, resource, past issue or notice of the library, stored once however many sources offer it.

    Times of an event are UTC with its `timezone` beside them; an all-day event has `starts_on` and `ends_on`
    (inclusive) instead. What the source states but cannot be completed is in `stated`, and `missing` names the gaps.
    """

    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[ItemKind] = mapped_column(stored_enum(ItemKind), index=True)
    state: Mapped[ItemState] = mapped_column(stored_enum(ItemState), default=ItemState.ACTIVE)
    title: Mapped[str] = mapped_column(Text)
    norm_title: Mapped[str] = mapped_column(Text, index=True)
    summary: Mapped[str] = mapped_column(Text, default="")
    body_html: Mapped[str] = mapped_column(Text, default="")
    truncated: Mapped[bool] = mapped_column(default=False)
    url: Mapped[str | None] = mapped_column(Text, index=True)
    published_at: Mapped[datetime | None] = mapped_column(index=True)
    published_on: Mapped[date | None]
    authors: Mapped[list[str]] = mapped_column(JSON, default=list)
    categories: Mapped[list[str]] = mapped_column(JSON, default=list)
    image_url: Mapped[str | None] = mapped_column(Text)
    image_alt: Mapped[str | None] = mapped_column(Text)
    image_credit: Mapped[str | None] = mapped_column(Text)
    picture_id: Mapped[int | None] = mapped_column(ForeignKey("pictures.id"))
    starts_at: Mapped[datetime | None] = mapped_column(index=True)
    ends_at: Mapped[datetime | None]
    starts_on: Mapped[date | None]
    ends_on: Mapped[date | None]
    timezone: Mapped[str | None] = mapped_column(String(64))
    place: Mapped[str | None] = mapped_column(Text)
    booking_url: Mapped[str | None] = mapped_column(Text)
    uid: Mapped[str | None] = mapped_column(Text, index=True)
    recurrence_id: Mapped[str | None] = mapped_column(String(64))
    sequence: Mapped[int] = mapped_column(default=0)
    stated: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    missing: Mapped[list[str]] = mapped_column(JSON, default=list)
    set_by_hand: Mapped[list[str]] = mapped_column(JSON, default=list)
    fingerprint: Mapped[str] = mapped_column(String(64))
    first_seen_at: Mapped[datetime] = mapped_column(index=True)
    updated_at: Mapped[datetime]

    sightings: Mapped[list[Sighting]] = relationship(back_populates="item", cascade="all, delete-orphan")


class Sighting(Base):
    """That a source offered an item, under which identity there."""

    __tablename__ = "sightings"
    __table_args__ = (UniqueConstraint("source_id", "guid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"), index=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"))
    guid: Mapped[str] = mapped_column(Text)
    seen_at: Mapped[datetime]

    item: Mapped[Item] = relationship(back_populates="sightings")
    source: Mapped[Source] = relationship()


class Issue(Base):
    """
    One newsletter. `slug` names it; `audience` is the rule as `audience set` wrote it.

    `approved_hash` is the content hash that was approved: another hash voids the approval.
    From the plan on, `content_hash`, `planned`, `planned_at` and the variants are frozen. `published_at` is set while
    the archive shows it, and `indexed` where search engines may.

    A monthly digest has its month in `digest_of` (`2026-11`), and an issue that one took up has its id in
    `gathered_in`: so each month has one digest, and each issue is in one. `left_out` counts who was not planned.
    """

    __tablename__ = "issues"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[IssueState] = mapped_column(stored_enum(IssueState), default=IssueState.DRAFT, index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text, default="")
    preheader: Mapped[str] = mapped_column(Text, default="")
    language: Mapped[str] = mapped_column(String(35), default="en-GB")
    letter: Mapped[str] = mapped_column(Text, default="")
    letter_name: Mapped[str] = mapped_column(Text, default="")
    letter_role: Mapped[str] = mapped_column(Text, default="")
    letter_picture_id: Mapped[int | None] = mapped_column(ForeignKey("pictures.id"))
    section_order: Mapped[list[str]] = mapped_column(JSON, default=list)
    audience: Mapped[dict[str, list[str]] | None] = mapped_column(JSON)
    created_at: Mapped[datetime]
    edited_at: Mapped[datetime]
    edited_by: Mapped[str] = mapped_column(String(200))
    approved_hash: Mapped[str | None] = mapped_column(String(64))
    approved_by: Mapped[str | None] = mapped_column(String(200))
    approved_at: Mapped[datetime | None]
    tested_hash: Mapped[str | None] = mapped_column(String(64))
    scheduled_at: Mapped[datetime | None]
    content_hash: Mapped[str | None] = mapped_column(String(64))
    planned: Mapped[int] = mapped_column(default=0)
    planned_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    indexed: Mapped[bool] = mapped_column(default=False, server_default=false())
    digest_of: Mapped[str | None] = mapped_column(String(7), unique=True, index=True)
    gathered_in: Mapped[int | None]
    left_out: Mapped[dict[str, int] | None] = mapped_column(JSON)

    blocks: Mapped[list[Block]] = relationship(
        back_populates="issue", order_by="Block.section, Block.position", cascade="all, delete-orphan"
    )


class Block(Base):
    """
    One thing in an issue, in a section, at a position: an item, a quotation, a divider, a button, or in a digest the
    letter of one of its issues.

    `snapshot` is the item as it was when the chair last accepted it, so a change at the source is never silent.
    `audience` is a segment expression; null shows the block to everybody.
    """

    __tablename__ = "blocks"

    id: Mapped[int] = mapped_column(primary_key=True)
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id", ondelete="CASCADE"), index=True)
    section: Mapped[str] = mapped_column(String(64))
    position: Mapped[int]
    kind: Mapped[BlockKind] = mapped_column(stored_enum(BlockKind))
    item_id: Mapped[int | None] = mapped_column(ForeignKey("items.id"), index=True)
    snapshot: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    headline: Mapped[str | None] = mapped_column(Text)
    blurb: Mapped[str | None] = mapped_column(Text)
    audience: Mapped[str | None] = mapped_column(Text)
    payload: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)

    issue: Mapped[Issue] = relationship(back_populates="blocks")
    item: Mapped[Item | None] = relationship()


class ArchiveText(Base):
    """
    What one block of an issue in the archive, or the issue itself, is found by: plain words between spaces.

    There is a row only for what every reader got, and only while the issue is in the archive.
    """

    __tablename__ = "archive_texts"

    id: Mapped[int] = mapped_column(primary_key=True)
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id", ondelete="CASCADE"), index=True)
    block_id: Mapped[int | None] = mapped_column(ForeignKey("blocks.id", ondelete="CASCADE"), index=True)
    words: Mapped[str] = mapped_column(Text)


class Variant(Base):
    """
    One frozen rendering of an issue for one set of items: subject, HTML and text with their slots unfilled.

    A `discreet` one is for people who chose that: text alone, under a header that tells nothing.
    """

    __tablename__ = "variants"
    __table_args__ = (UniqueConstraint("issue_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id", ondelete="CASCADE"))
    number: Mapped[int]
    subject: Mapped[str] = mapped_column(Text)
    html: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    content_hash: Mapped[str] = mapped_column(String(64))
    headers: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    discreet: Mapped[bool] = mapped_column(default=False, server_default=false())


class DigestEntry(Base):
    """
    That somebody was left out of an issue because they chose the monthly digest, which owes it to them.

    Written by the freeze that left them out: whoever has a row here has no delivery of that issue, and the other way
    round. `list_id` is why they are mailed, as in a delivery.
    """

    __tablename__ = "digest_entries"

    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id", ondelete="CASCADE"), primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))


_REMOTE_ID = text("remote_id IS NOT NULL")


class Delivery(Base):
    """
    One subscriber's copy of one issue, frozen by the plan, and what came of it.

    `slots` are the personal values, `date` and `message_id` the header values: with the variant they give the same
    bytes in every attempt. `address` and `slots` are blanked by an erasure; the row stays for the counts.
    `rate_key` names the limit of `send.domains` that holds for it, null for none. `remote_id` is what a provider
    calls the copy, where its webhooks are configured.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("issue_id", "subscriber_id"),
        UniqueConstraint("issue_id", "address_hash"),
        Index("ix_deliveries_work", "issue_id", "state", "rate_key", "retry_at", "id"),
        Index("ix_deliveries_remote_id", "remote_id", sqlite_where=_REMOTE_ID, postgresql_where=_REMOTE_ID),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id"))
    subscriber_id: Mapped[int | None] = mapped_column(ForeignKey("subscribers.id", ondelete="SET NULL"), index=True)
    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"))
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    address: Mapped[str] = mapped_column(String(254))
    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16), index=True)
    domain: Mapped[str] = mapped_column(String(253))
    token_id: Mapped[bytes] = mapped_column(LargeBinary(16))
    slots: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    date: Mapped[datetime]
    message_id: Mapped[str] = mapped_column(String(128), index=True)
    state: Mapped[DeliveryState] = mapped_column(stored_enum(DeliveryState), default=DeliveryState.PENDING)
    state_at: Mapped[datetime]
    owner: Mapped[int | None]
    lease_until: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(default=0)
    retry_at: Mapped[datetime | None]
    reply_code: Mapped[int | None]
    reply_status: Mapped[str | None] = mapped_column(String(16))
    reply_text: Mapped[str | None] = mapped_column(String(512))
    reason: Mapped[str | None] = mapped_column(String(64))
    remote_host: Mapped[str | None] = mapped_column(String(255))
    tls_version: Mapped[str | None] = mapped_column(String(16))
    rate_key: Mapped[str | None] = mapped_column(String(253))
    remote_id: Mapped[str | None] = mapped_column(String(128))


class Throttle(Base):
    """What one limit has used, or until when a provider is left alone: shared by all processes that send."""

    __tablename__ = "throttles"

    name: Mapped[str] = mapped_column(String(320), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


class Notice(Base):
    """
    A mail that is no issue, in the outbox: the finished bytes, whom they go to, and what came of them.

    The states are those of a delivery. `message` and `address` are blanked once it has its end; `dedupe` names the
    cause of an alert, so that one cause is told once, or the report that holds a person's reply.
    """

    __tablename__ = "notices"
    __table_args__ = (Index("ix_notices_work", "state", "retry_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[NoticeKind] = mapped_column(stored_enum(NoticeKind))
    address: Mapped[str | None] = mapped_column(String(254))
    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16), index=True)
    domain: Mapped[str] = mapped_column(String(253))
    subject: Mapped[str] = mapped_column(Text)
    message: Mapped[bytes | None] = mapped_column(LargeBinary)
    message_id: Mapped[str] = mapped_column(String(128), index=True)
    dedupe: Mapped[str | None] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    state: Mapped[DeliveryState] = mapped_column(stored_enum(DeliveryState), default=DeliveryState.PENDING)
    state_at: Mapped[datetime]
    owner: Mapped[int | None]
    lease_until: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(default=0)
    retry_at: Mapped[datetime | None]
    reply_code: Mapped[int | None]
    reply_status: Mapped[str | None] = mapped_column(String(16))
    reply_text: Mapped[str | None] = mapped_column(String(512))
    reason: Mapped[str | None] = mapped_column(String(64))


class WebRequest(Base):
    """
    What was asked for on the site, as it was typed; the worker looks it up and answers by mail.

    The site only adds a row, so that nobody can learn from its answer or its speed who is known. `network` is the
    sender's network, cut to its limits' width; `fields` are blanked once it is done.
    """

    __tablename__ = "web_requests"
    __table_args__ = (Index("ix_web_requests_work", "done_at", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[WebRequestKind] = mapped_column(stored_enum(WebRequestKind))
    at: Mapped[datetime] = mapped_column(index=True)
    network: Mapped[str] = mapped_column(String(64), index=True)
    fields: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    done_at: Mapped[datetime | None]


class ApiToken(Base):
    """
    A token of the programming interface: only the digest of its text is kept, so nobody who reads this can use it.

    `list_ids` null means every list. Rows are never deleted: the name stands in the ledger as who did something.
    """

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    list_ids: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(200))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None] = mapped_column(String(200))
    used_on: Mapped[date | None]


class ApiAnswer(Base):
    """
    What a POST with an `Idempotency-Key` was answered, for a day: the same request again is answered the same.

    It is written in the transaction of the work itself. It goes with the person whom it shows.
    """

    __tablename__ = "api_answers"
    __table_args__ = (UniqueConstraint("token_id", "key_digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    token_id: Mapped[int] = mapped_column(ForeignKey("api_tokens.id", ondelete="CASCADE"))
    key_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    request_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    subscriber_id: Mapped[int | None] = mapped_column(ForeignKey("subscribers.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(index=True)
    status: Mapped[int]
    document: Mapped[Any] = mapped_column(JSON)


class PersonRequest(Base):
    """
    A complaint, or a request about somebody's own data, until a person has closed it.

    `contact_hash` is of an address in `contact`. Both words of the person are blanked by an erasure; the row stays with
    its dates, since it shows that somebody was answered.
    """

    __tablename__ = "person_requests"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[PersonRequestKind] = mapped_column(stored_enum(PersonRequestKind))
    received_at: Mapped[datetime]
    due_on: Mapped[date]
    way: Mapped[str] = mapped_column(String(100))
    contact: Mapped[str] = mapped_column(Text)
    contact_hash: Mapped[bytes | None] = mapped_column(LargeBinary(16), index=True)
    words: Mapped[str] = mapped_column(Text)
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None] = mapped_column(String(200))
    closed_at: Mapped[datetime | None] = mapped_column(index=True)
    closed_by: Mapped[str | None] = mapped_column(String(200))
    outcome: Mapped[str | None] = mapped_column(Text)


class Worker(Base):
    """A process that sends. Its life is a lock it holds, not this row; the row tells people who it was."""

    __tablename__ = "workers"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class AuditEntry(Base):
    """
    One entry of the audit log, see `audit`: it only grows, which the database itself enforces.

    `person` is the keyed hash of whom it is about. `code` is over all of it and over `previous`, the code before.
    """

    __tablename__ = "audit_entries"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(200))
    person: Mapped[bytes | None] = mapped_column(LargeBinary(16), index=True)
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    previous: Mapped[bytes] = mapped_column(LargeBinary(32))
    code: Mapped[bytes] = mapped_column(LargeBinary(32))


class IssueTotals(Base):
    """What came of an issue as counts, kept when its deliveries go: from then on its report is made of these."""

    __tablename__ = "issue_totals"

    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id", ondelete="CASCADE"), primary_key=True)
    kept_at: Mapped[datetime]
    report: Mapped[dict[str, Any]] = mapped_column(JSON)


only_grows(AuditEntry.__table__)
