"""Segments under a name: stored as text, checked when stored, expanded where another expression names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers.errors import Conflict, NotFound
from subscribers.naming import check_slug, is_slug, nearest
from subscribers.segments.grammar import DEEPEST, check_size, parse
from subscribers.segments.nodes import And, Named, Node, Not, Or, Place, SegmentError, walk
from subscribers.tables import Segment

_MOST_EXPANDED = 200


def get(session: Session, name: str) -> Segment:
    """
    Return the segment of that name.

    Raises:
        NotFound: With the nearest known name.
    """
    found = session.scalar(select(Segment).where(Segment.name == name))
    if found is None:
        known = session.scalars(select(Segment.name)).all()
        hint = nearest(name, known) or "Make one with: newsletter segments create NAME EXPRESSION"
        raise NotFound("segment", name, hint=hint)
    return found


def all_segments(session: Session) -> Sequence[Segment]:
    return session.scalars(select(Segment).order_by(Segment.name)).all()


def create(session: Session, name: str, expression: str, *, at: datetime, replace: bool = False) -> Segment:
    """
    Store an expression under a name. Its fields are checked by `condition`, which the caller asks for.

    Raises:
        InvalidValue: When the name cannot be used.
        SegmentError: When the expression cannot be read, or leads back to this segment.
        Conflict: When the name is taken and *replace* is not set.
    """
    check_slug("segment", name)
    parse(expression)
    found = session.scalar(select(Segment).where(Segment.name == name))
    if found is not None and not replace:
        raise Conflict(
            f"There is a segment '{name}' already: {found.expression}", hint="Add --replace to give it another meaning."
        )
    if found is None:
        found = Segment(name=name, created_at=at)
        session.add(found)
    found.expression, found.updated_at = expression.strip(), at
    session.flush()
    resolve(session, name)
    return found


def remove(session: Session, name: str) -> None:
    """
    Forget a segment.

    Raises:
        NotFound: When there is none.
        Conflict: When another segment is built on it.
    """
    found = get(session, name)
    users = [other.name for other in all_segments(session) if other.id != found.id and name in names_in(other)]
    if users:
        raise Conflict(f"The segment '{name}' is part of {', '.join(users)}.", hint="Change or remove those first.")
    session.delete(found)
    session.flush()


def names_in(segment: Segment) -> set[str]:
    """Return the segments that an expression names."""
    return {node.name for node, _ in walk(parse(segment.expression)) if isinstance(node, Named)}


def meanings(session: Session, texts: Iterable[str]) -> dict[str, str]:
    """Return the named segments that names or expressions rest on, also through others, each with its expression."""
    known = {segment.name: segment for segment in all_segments(session)}
    found: dict[str, str] = {}
    waiting = [name for text in texts for name in _names_in_text(text)]
    while waiting:
        segment = known.get(waiting.pop())
        if segment is not None and segment.name not in found:
            found[segment.name] = segment.expression
            waiting += names_in(segment)
    return found


def _names_in_text(text: str) -> set[str]:
    if is_slug(text.strip()):
        return {text.strip()}
    try:
        return {node.name for node, _ in walk(parse(text)) if isinstance(node, Named)}
    except SegmentError:  # whoever uses it is told; it means nothing until then
        return set()


def resolve(session: Session, name_or_expression: str) -> Node:
    """
    Return the tree of a segment by name, or of an expression, with the segments that it names put in.

    Raises:
        NotFound: When one bare word names no segment.
        SegmentError: When the expression cannot be read, names an unknown segment, or leads back to itself.
    """
    text = name_or_expression.strip()
    if not is_slug(text):
        return _expanded(session, parse(name_or_expression))
    place = Place(text, 0, len(text))
    return _expanded(session, Named(text, parse(get(session, text).expression), place), (text,))


def _expanded(session: Session, root: Node, inside: tuple[str, ...] = ()) -> Node:
    found = _Expansion({segment.name: segment.expression for segment in all_segments(session)}).expand(root, inside, 1)
    check_size(found)
    return found


class _Expansion:
    """Puts named segments in; stops at a circle, at too many and at too deep."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known
        self._left = _MOST_EXPANDED

    def expand(self, node: Node, inside: tuple[str, ...], depth: int) -> Node:
        if depth > DEEPEST:
            raise SegmentError(
                f"With the segments that it names, this is nested more than {DEEPEST} levels deep.", node.place
            )
        if isinstance(node, And):
            return And(tuple(self.expand(child, inside, depth + 1) for child in node.nodes), node.place)
        if isinstance(node, Or):
            return Or(tuple(self.expand(child, inside, depth + 1) for child in node.nodes), node.place)
        if isinstance(node, Not):
            return Not(self.expand(node.node, inside, depth + 1), node.place)
        if not isinstance(node, Named):
            return node
        if node.node is not None:
            return Named(node.name, self.expand(node.node, inside, depth + 1), node.place)
        return Named(node.name, self.expand(self._parsed(node, inside), (*inside, node.name), depth + 1), node.place)

    def _parsed(self, node: Named, inside: tuple[str, ...]) -> Node:
        if node.name in inside:
            path = " -> ".join((*inside[inside.index(node.name) :], node.name))
            raise SegmentError(f"The segment '{node.name}' leads back to itself: {path}.", node.place)
        if node.name not in self._known:
            raise SegmentError(f"There is no segment '{node.name}'.", node.place, hint=nearest(node.name, self._known))
        self._left -= 1
        if self._left < 0:
            raise SegmentError(f"More than {_MOST_EXPANDED} segments are named inside one another.", node.place)
        return parse(self._known[node.name])
