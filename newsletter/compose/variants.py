"""
Which sets of items occur in an audience, and in which form: one variant for each, never for all that could.

The database answers once: people grouped by which of the issue's segments hold for them, and by whether they chose
discreet mail.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, select
from sqlalchemy.orm import Session

from newsletter.errors import Conflict
from newsletter.tables import Block
from subscribers import segments
from subscribers.tables import Subscriber

MOST_VARIANTS = 64


class TooManyVariants(Conflict):
    """The segments of an issue's blocks divide its audience into more sets than are rendered."""

    code = "too_many_variants"


@dataclass(frozen=True, slots=True)
class ItemSet:
    """
    Blocks that some people of the audience see together.

    Attributes:
        number: 1 is the set that most people get; discreet ones come after all others.
        blocks: Ids of the blocks.
        condition: Over `Subscriber`, true for these people; null when it is everybody.
        people: How many they are; null when no audience was asked.
        discreet: These people chose discreet mail.
    """

    number: int
    blocks: frozenset[int]
    condition: ColumnElement[bool] | None
    people: int | None
    discreet: bool = False


def occurring(
    session: Session,
    audience: Select[int, int] | None,
    blocks: Iterable[Block],
    *,
    now: datetime,
    timezone: str,
    predicates: Sequence[segments.Predicate] = (),
) -> tuple[ItemSet, ...]:
    """
    Return the sets of blocks that occur in *audience*, the commonest first.

    Without an audience, or with nobody in it, the one set of all blocks is returned: something can be looked at.

    Raises:
        SegmentError, NotFound: When a block's audience cannot be read.
        TooManyVariants: When more than `MOST_VARIANTS` sets occur.
    """
    blocks = list(blocks)
    wanted = list(dict.fromkeys(block.audience for block in blocks if block.audience))
    conditions = [
        segments.condition(session, segments.resolve(session, text), now=now, timezone=timezone, predicates=predicates)
        for text in wanted
    ]
    everything = frozenset(block.id for block in blocks)
    if audience is None:
        return (ItemSet(1, everything, None, None),)
    conditions.append(Subscriber.discreet.is_(True))
    found = _count(session, audience, conditions)
    if not found:
        return (ItemSet(1, everything, None, 0),)
    alone = len(found) == 1
    return tuple(
        ItemSet(
            number=number,
            blocks=_visible(blocks, wanted, holds[:-1]),
            condition=None if alone else _all_of(conditions, holds),
            people=people,
            discreet=holds[-1],
        )
        for number, (holds, people) in enumerate(found, start=1)
    )


def _count(
    session: Session, audience: Select[int, int], conditions: Sequence[ColumnElement[bool]]
) -> list[tuple[tuple[bool, ...], int]]:
    chosen = audience.subquery()
    bits = [case((condition, 1), else_=0).label(f"holds_{n}") for n, condition in enumerate(conditions)]
    # Two steps: PostgreSQL does not see that a grouped expression with parameters is the selected one.
    people = (
        select(literal(1).label("one"), *bits)
        .select_from(Subscriber)
        .join(chosen, chosen.c.subscriber_id == Subscriber.id)
        .subquery()
    )
    holds = [people.c[bit.name] for bit in bits]
    rows = session.execute(select(func.count(people.c.one), *holds).group_by(*holds).limit(MOST_VARIANTS + 1)).all()
    if len(rows) > MOST_VARIANTS:
        raise TooManyVariants(
            f"The audiences of its items divide the readers into more than {MOST_VARIANTS} different issues.",
            hint="Give fewer items an audience of their own, or use the same segment for several.",
        )
    found = [(tuple(bool(bit) for bit in row[1:]), int(row[0])) for row in rows if row[0]]
    return sorted(found, key=lambda each: (each[0][-1], -each[1], tuple(not bit for bit in each[0])))


def _visible(blocks: Sequence[Block], wanted: Sequence[str], holds: Sequence[bool]) -> frozenset[int]:
    shown = {text for text, bit in zip(wanted, holds, strict=True) if bit}
    return frozenset(block.id for block in blocks if not block.audience or block.audience in shown)


def _all_of(conditions: Sequence[ColumnElement[bool]], holds: Sequence[bool]) -> ColumnElement[bool]:
    return and_(*(case((condition, 1), else_=0) == int(bit) for condition, bit in zip(conditions, holds, strict=True)))
