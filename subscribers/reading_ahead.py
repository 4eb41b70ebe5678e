"""The next item of a slow source is made in a thread while the present one is used; order and errors stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """
    Yield what *items* yields, one made ahead.

    It pays where the caller waits for a server. SQLite's driver takes and leaves the interpreter's lock for each row,
    so that there a second thread costs more than it gives.
    """

    def following() -> list[Item]:
        return [item] if (item := next(items, None)) is not None else []

    with ThreadPoolExecutor(1, "read-ahead") as thread:
        made = thread.submit(following)
        while found := made.result():
            made = thread.submit(following)
            yield found[0]
