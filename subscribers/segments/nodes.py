"""
The tree that a segment expression becomes: frozen values, each knowing its place in the text for errors.

Two trees are equal when they mean the same, wherever they stood.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from subscribers.errors import InvalidValue

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "starts with", "ends with"]
Unit = Literal["day", "week", "month", "year"]
Literal_ = str | float | bool | date

_SHOWN_BEFORE, _SHOWN_AFTER = 50, 30


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the text of an expression."""

    text: str
    start: int
    end: int

    @property
    def clause(self) -> str:
        return " ".join(self.text[self.start : self.end].split())

    def pointed_at(self) -> str:
        """Return the line with a caret under this place, cut so that it fits a narrow terminal."""
        line_start = self.text.rfind("\n", 0, self.start) + 1
        line_end = self.text.find("\n", self.start)
        line_end = len(self.text) if line_end < 0 else line_end
        first = max(line_start, self.start - _SHOWN_BEFORE)
        last = min(line_end, self.start + _SHOWN_AFTER)
        lead = "..." if first > line_start else ""
        width = max(1, min(self.end, last) - self.start)
        shown = lead + self.text[first:last].replace("\t", " ") + ("..." if last < line_end else "")
        return f"  {shown}\n  {' ' * (len(lead) + self.start - first)}{'^' * width}"


class SegmentError(InvalidValue):
    """An expression cannot be used; the message points at the place with a caret."""

    code = "segment"

    def __init__(self, message: str, place: Place, *, hint: str = "") -> None:
        super().__init__(f"{message}\n{place.pointed_at()}", hint=hint)
        self.reason = message
        self.place = place


@dataclass(frozen=True, slots=True)
class Compare:
    """``town = 'Dudley'``: one field, one value."""

    name: str
    operator: Operator
    value: Literal_
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class OneOf:
    """``role in ('police', 'council')``, or ``any``, or ``all`` of the values."""

    name: str
    quantifier: Literal["in", "any", "all"]
    values: tuple[Literal_, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Between:
    """``age between 18 and 25``, both ends included."""

    name: str
    low: Literal_
    high: Literal_
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Relative:
    """``joined in last 6 months`` or ``renewal in next 30 days``, today included."""

    name: str
    direction: Literal["last", "next"]
    count: int
    unit: Unit
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Present:
    """``town is set``, ``town is missing``."""

    name: str
    present: bool
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Belongs:
    """``tag 'volunteer'``, ``list 'members'``, ``issue '2026-10' sent``: a word, a name, perhaps a verb."""

    word: str
    argument: str
    verb: str | None
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Named:
    """``segment 'police-north'``; `node` is its expression once it is resolved."""

    name: str
    node: Node | None
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    node: Node
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class And:
    nodes: tuple[Node, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    nodes: tuple[Node, ...]
    place: Place = field(compare=False)


Leaf = Compare | OneOf | Between | Relative | Present | Belongs
Node = Leaf | Named | Not | And | Or


def children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, And | Or):
        return node.nodes
    if isinstance(node, Not):
        return (node.node,)
    if isinstance(node, Named) and node.node is not None:
        return (node.node,)
    return ()


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Yield every node with its depth, without recursion."""
    waiting = [(node, 1)]
    while waiting:
        current, depth = waiting.pop()
        yield current, depth
        waiting.extend((child, depth + 1) for child in reversed(children(current)))
