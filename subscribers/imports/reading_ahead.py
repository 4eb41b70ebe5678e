"""The next item of a slow source, made while a server works on the present one; order and errors stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """
    Yields what *items* yields. Whoever waits for a server calls `make_next` before: the next item is made then.

    An error that shows meanwhile is kept until the item is asked for: the present one is not its victim.
    """

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._made: list[Item] = []
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if self._made:
            return self._made.pop()
        if self._error is not None:
            raise self._error
        return next(self._items)

    def make_next(self) -> None:
        """Make the next item, unless it is made already or there is none."""
        if self._made or self._error is not None:
            return
        try:
            self._made.append(next(self._items))
        except StopIteration:
            self._items = iter(())
        except Exception as error:
            self._error = error
