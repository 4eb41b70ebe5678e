"""Reading ahead changes neither the order of what is read nor where its errors show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from subscribers.imports.reading_ahead import Ahead


def counted(made: list[int], until: int) -> Iterator[int]:
    for number in range(until):
        made.append(number)
        yield number
    raise ValueError("no more can be read")


def test_items_come_in_their_order_and_an_error_in_its_place() -> None:
    reading = Ahead(counted([], 3))
    seen = []
    for _ in range(3):
        seen.append(next(reading))
        reading.make_next()
        reading.make_next()
    assert seen == [0, 1, 2]
    with pytest.raises(ValueError, match="no more"):
        next(reading)


def test_the_end_is_the_end_whether_it_was_met_ahead_or_not() -> None:
    reading = Ahead(iter([1]))
    reading.make_next()
    assert list(reading) == [1]
    reading.make_next()
    assert list(reading) == []


def test_no_more_than_one_item_is_made_in_advance() -> None:
    made: list[int] = []
    reading = Ahead(counted(made, 100))
    assert next(reading) == 0
    for _ in range(5):
        reading.make_next()
    assert made == [0, 1]
