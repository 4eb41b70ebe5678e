"""
Every statement by which a delivery changes its state while an issue is sent, compiled once for the database in use.

The intent asks again for owner, lease, consent, suppression and what the person chose: the last moment at which a copy
can be stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from enum import Enum
from typing import Any

from sqlalchemy import (
    JSON,
    BindParameter,
    ColumnElement,
    Date,
    Dialect,
    Executable,
    Integer,
    String,
    and_,
    any_,
    bindparam,
    case,
    column,
    exists,
    func,
    not_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger

from newsletter.send.permission import may_leave, why_not
from newsletter.send.states import states_before
from newsletter.tables import Delivery, Issue, IssueState
from newsletter.tables import DeliveryState as S
from subscribers.db import UtcDateTime


def given(name: str, type_: Any = None) -> BindParameter[Any]:
    """Return a place for a value that is handed over each time."""
    return bindparam(name, required=False, type_=type_)


NOW, TODAY = given("now", type_=UtcDateTime()), given("today", type_=Date())
TAKEABLE = (S.PENDING, S.DEFERRED)
PARKED, REFUSED_BY_POLICY = "its provider refuses our mail", "refused by policy"
CLAIMED_COLUMNS = (
    Delivery.id,
    Delivery.variant_id,
    Delivery.list_id,
    Delivery.address,
    Delivery.domain,
    Delivery.token_id,
    Delivery.slots,
    Delivery.date,
    Delivery.message_id,
    Delivery.attempt,
)
_WAITING = [S.PENDING.value, S.DEFERRED.value]
_as_json = json.JSONEncoder(default=str, separators=(",", ":")).encode
OUTCOME_FIELDS = {
    "delivery": Integer(),
    "new_state": String(),
    "tries": Integer(),
    "again": UtcDateTime(),
    "code": Integer(),
    "status": String(),
    "words": String(),
    "why": String(),
    "host": String(),
    "tls": String(),
    "remote": String(),
}


class Prepared:
    """One statement as text with its places for values, so that running it costs no compiling and no lookups."""

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
        self.text = str(compiled)
        self._positions: list[str] | None = compiled.positiontup
        self._constants = {k: v.value if isinstance(v, Enum) else v for k, v in compiled.params.items()}

    def values(self, **given: Any) -> tuple[Any, ...] | Mapping[str, Any]:
        """Return *given* as the driver wants it."""
        merged = {**self._constants, **given}
        return merged if self._positions is None else tuple([merged[name] for name in self._positions])


class Statements:
    """
    The statements of one database. Times are handed over as `moment` and `at` make them, ids as `id_list` does.

    A pause of a person ends with a day of *zone*, the organisation's.

    Each does its whole batch at once and gives back one row at most: between two rows the driver lets go of the
    interpreter, and getting it back from a busy event loop costs more than the row.
    """

    def __init__(self, dialect: Dialect, zone: tzinfo = UTC) -> None:
        self.is_sqlite, self._zone = dialect.name == "sqlite", zone
        self._bind_day = Date().dialect_impl(dialect).bind_processor(dialect)
        self._bind_time = UtcDateTime().dialect_impl(dialect).bind_processor(dialect)
        self._read_time = UtcDateTime().dialect_impl(dialect).result_processor(dialect, None)
        self.issue_state = Prepared(select(Issue.state).where(Issue.id == given("issue")), dialect)
        # By state, and whether a limit is named or the rows under none are meant.
        self.candidates = {
            (state, keyed): Prepared(self._candidates(state, keyed), dialect)
            for state in (S.DEFERRED, S.PENDING)
            for keyed in (False, True)
        }
        self.in_hand = Prepared(_in_hand(), dialect)
        self.domains = Prepared(select(Delivery.id, Delivery.domain).where(self._ids), dialect)
        self.park = Prepared(self._park(), dialect)
        self.suppress = Prepared(self._suppress(Delivery.state.in_(TAKEABLE)), dialect)
        self.claim = Prepared(self._claim(), dialect)
        self.claimed = Prepared(self._claimed(), dialect)
        self.intent = Prepared(self._intent(), dialect)
        self.refuse = Prepared(self._suppress(self._mine), dialect)
        self.outcomes = Prepared(self._outcomes(), dialect)
        self.release = Prepared(self._release(), dialect)

    def moment(self, time: Any) -> Any:
        return self._bind_time(time) if self._bind_time and time is not None else time

    def at(self, time: datetime) -> dict[str, Any]:
        """Return the values `now` and `today`."""
        day = time.astimezone(self._zone).date()
        return {"now": self.moment(time), "today": self._bind_day(day) if self._bind_day else day}

    def read_moment(self, stored: Any) -> Any:
        return self._read_time(stored) if self._read_time else stored

    def id_list(self, ids: list[int]) -> Any:
        return str(ids) if self.is_sqlite else ids

    def read_ids(self, row: Any) -> list[int]:
        """Read what `candidates` give."""
        found = row[0] or []
        return json.loads(found) if isinstance(found, str) else list(found)

    def read_claimed(self, rows: list[Any]) -> list[list[Any]]:
        """Read what `claimed` gives, a list for each row in the order of `CLAIMED_COLUMNS`."""
        found = json.loads(rows[0][0]) if self.is_sqlite else [list(row) for row in rows]
        dates: dict[Any, Any] = {}
        for values in found:
            token, date = values[5], values[7]
            values[5] = bytes.fromhex(token) if isinstance(token, str) else bytes(token)
            if date not in dates:
                dates[date] = self.read_moment(date)
            values[7] = dates[date]
        return found

    @property
    def _ids(self) -> ColumnElement[bool]:
        if self.is_sqlite:
            return Delivery.id.in_(select(func.json_each(given("ids")).table_valued("value").c.value))
        return Delivery.id == any_(given("ids", type_=ARRAY(BigInteger)))

    @property
    def _mine(self) -> ColumnElement[bool]:
        return and_(Delivery.owner == given("worker"), Delivery.state == S.CLAIMED)

    def _candidates(self, state: S, keyed: bool) -> Any:
        conditions = [Delivery.rate_key == given("key") if keyed else Delivery.rate_key.is_(None)]
        if state is S.DEFERRED:
            conditions.append(Delivery.retry_at <= NOW)
        found = (
            select(Delivery.id)
            .where(Delivery.issue_id == given("issue"), Delivery.state == state, *conditions)
            # The index to its end, or PostgreSQL sorts all rows that wait each time.
            .order_by(Delivery.rate_key, Delivery.retry_at, Delivery.id)
            .limit(given("most"))
            .with_for_update(skip_locked=True)
            .subquery()
        )
        gather = func.json_group_array if self.is_sqlite else func.array_agg
        return select(gather(found.c.id))

    def _suppress(self, condition: ColumnElement[bool]) -> Any:
        return (
            update(Delivery)
            .where(self._ids, condition, not_(may_leave(NOW, TODAY)))
            .values(state=S.SUPPRESSED, state_at=NOW, reason=why_not(NOW, TODAY))
        )

    def _claim(self) -> Any:
        return (
            update(Delivery)
            .where(self._ids, Delivery.state.in_(TAKEABLE))
            .values(
                state=S.CLAIMED,
                state_at=NOW,
                owner=given("worker"),
                lease_until=given("lease", type_=UtcDateTime()),
                attempt=Delivery.attempt + 1,
            )
        )

    def _park(self) -> Any:
        return (
            update(Delivery)
            .where(self._ids, Delivery.state.in_(TAKEABLE))
            .values(state=S.DEFERRED, state_at=NOW, retry_at=given("again", type_=UtcDateTime()), reason=PARKED)
        )

    def _claimed(self) -> Any:
        mine = select(*CLAIMED_COLUMNS).where(self._ids, self._mine).order_by(Delivery.id)
        if not self.is_sqlite:
            return mine
        rows = mine.subquery()
        as_json = {"token_id": func.hex, "slots": func.json}
        plain = [as_json.get(c.name, _as_text)(c) for c in rows.c]
        return select(func.json_group_array(func.json_array(*plain)))

    def _intent(self) -> Any:
        return (
            update(Delivery)
            .where(self._ids, self._mine, Delivery.lease_until > NOW, may_leave(NOW, TODAY))
            .values(state=S.INTENT, state_at=NOW)
        )

    def _outcomes(self) -> Any:
        """
        Also settle a row that was thought lost: a late reply of its own worker is evidence.

        What would wait for another attempt is cancelled with its issue; only such rows look at the issue.
        """
        rows = self._rows(OUTCOME_FIELDS)
        return (
            update(Delivery)
            .where(
                Delivery.id == rows.delivery,
                Delivery.owner == given("worker"),
                Delivery.state.in_(states_before(S.SENT, S.BOUNCED)),
            )
            .values(
                state=case((and_(rows.new_state.in_(_WAITING), _cancelled()), S.CANCELLED.value), else_=rows.new_state),
                state_at=NOW,
                attempt=rows.tries,
                retry_at=rows.again,
                reply_code=rows.code,
                reply_status=rows.status,
                reply_text=rows.words,
                reason=rows.why,
                remote_host=rows.host,
                tls_version=rows.tls,
                remote_id=rows.remote,
            )
        )

    def _rows(self, fields: Mapping[str, Any]) -> Any:
        """Return a table made of the value `rows`, see `row_list`."""
        if not self.is_sqlite:
            columns = [column(name, type_) for name, type_ in fields.items()]
            values = func.json_to_recordset(given("rows", type_=JSON)).table_valued(*columns)
            return values.render_derived(name="given_rows", with_types=True).c
        each = func.json_each(given("rows")).table_valued("value").c.value
        extracted = [type_coerce(func.json_extract(each, f"$[{n}]"), type_) for n, type_ in enumerate(fields.values())]
        return select(*(e.label(name) for e, name in zip(extracted, fields, strict=True))).subquery("given_rows").c

    def row_list(self, rows: list[tuple[Any, ...]]) -> Any:
        """Return *rows*, in the order of `OUTCOME_FIELDS`, as the value `rows`; their times are made by `moment`."""
        if self.is_sqlite:
            return _as_json(rows)
        return _as_json([dict(zip(OUTCOME_FIELDS, row, strict=True)) for row in rows])

    def _release(self) -> Any:
        """Put rows back as they were before the claim: nobody is charged for an attempt that was not made."""
        first = Delivery.attempt <= 1
        return (
            update(Delivery)
            .where(self._ids, self._mine)
            .values(
                state=case((_cancelled(), S.CANCELLED.value), (first, S.PENDING.value), else_=S.DEFERRED.value),
                state_at=NOW,
                attempt=Delivery.attempt - 1,
                retry_at=case((first, None), else_=NOW),
            )
        )


def _in_hand() -> Any:
    """Return how many rows of a limit are in hand, of all issues and workers."""
    live = select(Issue.id).where(Issue.state.in_((IssueState.SENDING, IssueState.PAUSED, IssueState.CANCELLED)))
    in_hand = Delivery.state.in_((S.CLAIMED, S.INTENT))
    return select(func.count()).where(Delivery.issue_id.in_(live), in_hand, Delivery.rate_key == given("key"))


def _cancelled() -> ColumnElement[bool]:
    return exists().where(Issue.id == Delivery.issue_id, Issue.state == IssueState.CANCELLED)


def _as_text(value: ColumnElement[Any]) -> ColumnElement[str]:
    return type_coerce(value, String)
