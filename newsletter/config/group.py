"""A table of the configuration, and what every table holds to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")


class Group(BaseModel):
    """A table of the file. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def each_once(values: tuple[T, ...], names: Iterable[str], what: str) -> tuple[T, ...]:
    """
    Return *values* when no two have the same name.

    Raises:
        ValueError: When two have.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} '{name}' is there twice")
        seen.add(name)
    return values
