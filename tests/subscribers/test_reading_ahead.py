"""Reading ahead changes neither the order of what is read nor where its errors show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from subscribers.reading_ahead import read_ahead


def test_items_come_in_their_order_and_an_error_in_its_place() -> None:
    def slow() -> Iterator[int]:
        yield from (0, 1, 2)
        raise ValueError("the fourth cannot be read")

    seen = []
    with pytest.raises(ValueError, match="the fourth"):
        seen.extend(read_ahead(slow()))
    assert seen == [0, 1, 2]


def test_who_stops_early_leaves_no_more_than_one_item_made_in_vain() -> None:
    made = []

    def counted() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    reading = read_ahead(counted())
    assert next(reading) == 0
    reading.close()  # type: ignore[attr-defined]
    assert len(made) <= 2
