"""
Tree to SQL: one condition over `Subscriber`, bound parameters only, columns from fixed maps, never NULL.

Two-valued: a comparison with a missing value is false, so its `not` is true.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, not_, or_, select, true
from sqlalchemy.orm import Session

from subscribers.attributes import Attribute, definitions, read_date
from subscribers.comparing import by_code_point, fold, folded
from subscribers.errors import SubscribersError
from subscribers.naming import nearest
from subscribers.segments import dates
from subscribers.segments.chosen import CHOICES, choice_condition
from subscribers.segments.nodes import (
    And,
    Belongs,
    Between,
    Compare,
    Leaf,
    Literal_,
    Named,
    Node,
    Not,
    OneOf,
    Or,
    Place,
    Present,
    Relative,
    SegmentError,
)
from subscribers.segments.predicates import Predicate
from subscribers.tables import (
    AttributeKind,
    AttributeValue,
    Basis,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionState,
    Tag,
)

Condition = ColumnElement[bool]

BUILT_IN = ("address", "name", "first_name", "language", "domain", "joined", "tag", "list", "consent", *CHOICES)
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXT_COLUMNS = {"name": Subscriber.name, "first_name": Subscriber.first_name}
_PARTS = ("contains", "starts with", "ends with")


@dataclass
class Translator:
    """Turns clauses into SQL for one session, moment and zone."""

    session: Session
    now: datetime
    timezone: str
    predicates: Sequence[Predicate] = ()
    _lists: dict[str, int] = field(default_factory=dict)
    _narrowed: bool = False

    @cached_property
    def _is_sqlite(self) -> bool:
        return self.session.get_bind().dialect.name == "sqlite"

    @cached_property
    def attributes(self) -> dict[str, Attribute]:
        return definitions(self.session)

    def condition(self, node: Node) -> Condition:
        """
        Return the condition of a resolved tree.

        Raises:
            SegmentError: When a name is unknown or a value does not fit its field.
        """
        if isinstance(node, And):
            return and_(true(), *self._conjunction(node))
        if isinstance(node, Or):
            return or_(false(), *(self.condition(child) for child in node.nodes))
        if isinstance(node, Not):
            return not_(self.condition(node.node).self_group())
        if isinstance(node, Named):
            if node.node is None:
                raise SegmentError(f"The segment '{node.name}' was not looked up.", node.place)
            return self.condition(node.node)
        return self.leaf(node)

    def _conjunction(self, node: And) -> list[Condition]:
        """
        Translate clauses that hold together; where one of them leaves few people, the others ask about these alone.

        SQLite makes each set of people whole. Asked of each person instead, a set of most of the people costs little
        after a clause such as ``town = 'Dudley'``, and much before it. PostgreSQL chooses by itself.
        """
        may_narrow = self._is_sqlite and not self._narrowed
        narrow = next((child for child in node.nodes if self._is_narrow(child)), None) if may_narrow else None
        conditions = []
        before = self._narrowed
        for child in node.nodes:
            self._narrowed = before or (narrow is not None and child is not narrow)
            conditions.append(self.condition(child))
        self._narrowed = before
        return conditions

    def _is_narrow(self, node: Node) -> bool:
        """Tell whether a clause names values of an attribute, or a tag."""
        if isinstance(node, And):
            return any(self._is_narrow(child) for child in node.nodes)
        if isinstance(node, Or):
            return all(self._is_narrow(child) for child in node.nodes)
        if isinstance(node, Named):
            return node.node is not None and self._is_narrow(node.node)
        if isinstance(node, Compare | OneOf):
            named = isinstance(node, OneOf) or node.operator == "="
            return named and (node.name == "tag" or node.name in self.attributes)
        return isinstance(node, Belongs) and node.word == "tag"

    def _among(self, holders: Select[int]) -> Condition:
        """Return that somebody is among those whom a statement of one column, the person's id, yields."""
        if self._narrowed:
            (owner,) = holders.selected_columns
            return holders.where(owner == Subscriber.id).correlate(Subscriber).exists()
        return Subscriber.id.in_(holders)

    def leaf(self, node: Leaf) -> Condition:
        if isinstance(node, Belongs):
            return self._belongs(node)
        if node.name in ("tag", "list", "consent"):
            return self._membership(node)
        if node.name in _TEXT_COLUMNS:
            column = _TEXT_COLUMNS[node.name]
            if isinstance(node, Present):
                return column.is_not(None) if node.present else column.is_(None)
            return and_(column.is_not(None), text_condition(folded(column), node))
        if node.name == "address":
            return self._always_there(node) or text_condition(Subscriber.key, node, prepare=str.casefold)
        if node.name == "domain":
            return self._always_there(node) or tree_condition(Subscriber.domain, node, ".", _to_ascii)
        if node.name == "language":
            if isinstance(node, Present):
                return Subscriber.language.is_not(None) if node.present else Subscriber.language.is_(None)
            found = tree_condition(folded(Subscriber.language), node, "-", fold)
            return and_(Subscriber.language.is_not(None), found)
        if node.name == "joined":
            return self._joined(node)
        if node.name in CHOICES:
            return choice_condition(node, dates.today(self.now, self.timezone))
        return self._attribute(node)

    def _always_there(self, node: Leaf) -> Condition | None:
        return (true() if node.present else false()) if isinstance(node, Present) else None

    def _belongs(self, node: Belongs) -> Condition:
        for predicate in self.predicates:
            if predicate.word == node.word:
                return self._registered(predicate, node)
        if node.verb is None and node.word in ("tag", "list"):
            return self._member_of(node.word, node.argument, node.place)
        words = ["tag", "list", "segment", *(p.word for p in self.predicates)]
        if node.verb is not None and node.word in words:
            raise SegmentError(f"'{node.verb}' cannot stand after {node.word} '{node.argument}'.", node.place)
        hint = nearest(node.word, words) if node.word not in self.attributes else ""
        raise SegmentError(
            f"'{node.word}' cannot stand right before a text.",
            node.place,
            hint=hint or f"For a field write: {node.word} = '{node.argument}'",
        )

    def _registered(self, predicate: Predicate, node: Belongs) -> Condition:
        if node.verb not in predicate.verbs:
            shown = " or ".join(predicate.verbs)
            raise SegmentError(
                f"After {node.word} '{node.argument}' stands {shown}.",
                node.place,
                hint=f"For example: {node.word} '{node.argument}' {predicate.verbs[0]}",
            )
        try:
            return predicate.condition(self.session, node.argument, node.verb)
        except SubscribersError as error:
            raise SegmentError(error.message, node.place, hint=error.hint) from None

    def _membership(self, node: Compare | OneOf | Between | Relative | Present) -> Condition:
        if isinstance(node, Compare) and node.operator in ("=", "!="):
            found = self._member_of(node.name, _text(node.value, node.place), node.place)
            return found if node.operator == "=" else not_(found)
        if isinstance(node, OneOf):
            each = [self._member_of(node.name, _text(value, node.place), node.place) for value in node.values]
            return and_(true(), *each) if node.quantifier == "all" else or_(false(), *each)
        if isinstance(node, Present):
            holds = self._among(select(Tag.subscriber_id) if node.name == "tag" else _subscribed())
            return holds if node.present else not_(holds)
        raise SegmentError(f"{node.name} is compared with =, !=, in, any or all.", node.place)

    def _member_of(self, word: str, name: str, place: Place) -> Condition:
        if word == "tag":
            return self._among(select(Tag.subscriber_id).where(Tag.tag == " ".join(name.casefold().split())))
        if word == "list":
            return self._among(_subscribed().where(Subscription.list_id == self._list_id(name, place)))
        try:
            basis = Basis(name.casefold())
        except ValueError:
            known = [b.value for b in Basis]
            raise SegmentError(f"'{name}' is no lawful basis.", place, hint=nearest(name, known)) from None
        return self._among(_subscribed().where(Subscription.basis == basis))

    def _list_id(self, name: str, place: Place) -> int:
        if not self._lists:
            rows = self.session.execute(select(MailingList.name, MailingList.id))
            self._lists = {row[0]: row[1] for row in rows}
        if name not in self._lists:
            raise SegmentError(f"There is no list '{name}'.", place, hint=nearest(name, self._lists))
        return self._lists[name]

    def _joined(self, node: Leaf) -> Condition:
        def starts(day: date) -> datetime:
            return dates.midnight(day, self.timezone)

        column = Subscriber.joined_at
        if isinstance(node, Present):
            return true() if node.present else false()
        return day_condition(
            node,
            dates.today(self.now, self.timezone),
            from_day=lambda day: column >= starts(day),
            until_day=lambda day: column < starts(dates.next_day(day)),
        )

    def _attribute(self, node: Compare | OneOf | Between | Relative | Present) -> Condition:
        attribute = self.attributes.get(node.name)
        if attribute is None:
            known = [*self.attributes, *BUILT_IN, *(p.word for p in self.predicates)]
            name = Place(node.place.text, node.place.start, node.place.start + len(node.name))
            raise SegmentError(f"There is no field '{node.name}'.", name, hint=nearest(node.name, known))
        holders = select(AttributeValue.subscriber_id).where(AttributeValue.definition_id == attribute.id)
        if isinstance(node, Present):
            return self._among(holders) if node.present else not_(self._among(holders))
        if isinstance(node, OneOf) and node.quantifier == "all":
            each = (Compare(node.name, "=", value, node.place) for value in dict.fromkeys(node.values))
            return and_(true(), *(self._among(holders.where(self._value(attribute, one))) for one in each))
        return self._among(holders.where(self._value(attribute, node)))

    def _value(self, attribute: Attribute, node: Compare | OneOf | Between | Relative) -> Condition:
        if attribute.kind is AttributeKind.DATE:
            column = AttributeValue.date
            return day_condition(
                node,
                dates.today(self.now, self.timezone),
                from_day=lambda day: column >= day,
                until_day=lambda day: column <= day,
            )
        if attribute.kind is AttributeKind.NUMBER:
            return number_condition(AttributeValue.number, node)
        if attribute.kind is AttributeKind.YES_NO:
            return yes_no_condition(AttributeValue.number, node)
        single = attribute.kind is not AttributeKind.SEVERAL
        if not single and not isinstance(node, OneOf) and getattr(node, "operator", "<") not in ("=", *_PARTS):
            raise SegmentError(
                f"{node.name} holds several values; this comparison is for one.",
                node.place,
                hint=f"Write: not {node.name} any ('...')",
            )
        compared = text_condition(folded(AttributeValue.text), node)
        # Said in so many words, or SQLite does not see that the index of the rows that have a text fits. PostgreSQL
        # does, and would take the words for a further condition.
        return and_(AttributeValue.text.is_not(None), compared) if self._is_sqlite else compared


def _subscribed() -> Any:
    return select(Subscription.subscriber_id).where(Subscription.state == SubscriptionState.SUBSCRIBED)


def text_condition(column: Any, node: Leaf, prepare: Callable[[str], str] = fold) -> Condition:
    """Compare a column that is folded already."""
    if isinstance(node, OneOf):
        values = [prepare(_text(value, node.place)) for value in node.values]
        if node.quantifier == "all":
            return and_(true(), *(column == value for value in dict.fromkeys(values)))
        found: Condition = column.in_(values)
        return found
    if isinstance(node, Between):
        low, high = (prepare(_text(value, node.place)) for value in (node.low, node.high))
        ordered = by_code_point(column)
        return and_(ordered >= low, ordered <= high)
    if isinstance(node, Compare):
        return _compare_text(column, node.operator, prepare(_text(node.value, node.place)))
    raise SegmentError(f"{_name(node)} holds text, not a date.", node.place)


def _compare_text(column: Any, how: str, value: str) -> Condition:
    found: Condition
    if how == "contains":
        found = column.contains(value, autoescape=True)
    elif how == "starts with":
        found = column.startswith(value, autoescape=True)
    elif how == "ends with":
        found = column.endswith(value, autoescape=True)
    elif how in ("=", "!="):
        found = _ORDER[how](column, value)
    else:
        found = _ORDER[how](by_code_point(column), value)
    return found


def tree_condition(column: Any, node: Leaf, separator: str, prepare: Callable[[str], str]) -> Condition:
    """Compare a domain or language: ``=`` also holds below (``gov.uk`` for dudley.gov.uk, ``en`` for en-GB)."""

    def within(value: Literal_) -> Condition:
        text = prepare(_text(value, node.place))
        if separator == ".":
            below = column.endswith(f".{text}", autoescape=True)
        else:
            below = column.startswith(f"{text}-", autoescape=True)
        return or_(column == text, below)

    if isinstance(node, OneOf) and node.quantifier != "all":
        return or_(false(), *(within(value) for value in node.values))
    if isinstance(node, Compare) and node.operator in ("=", "!="):
        return within(node.value) if node.operator == "=" else not_(within(node.value))
    return text_condition(column, node, prepare)


def day_condition(
    node: Leaf,
    today: date,
    *,
    from_day: Callable[[date], Condition],
    until_day: Callable[[date], Condition],
) -> Condition:
    """Compare by whole days, given how a column is on or after, and on or before, a day."""

    def on(day: date) -> Condition:
        return and_(from_day(day), until_day(day))

    if isinstance(node, Relative):
        first, last = dates.bounds(node, today)
        return and_(from_day(first), until_day(last))
    if isinstance(node, Between):
        return and_(from_day(_day(node.low, node)), until_day(_day(node.high, node)))
    if isinstance(node, OneOf):
        each = [on(_day(value, node)) for value in node.values]
        return and_(true(), *each) if node.quantifier == "all" else or_(false(), *each)
    if isinstance(node, Compare) and node.operator in _ORDER:
        day = _day(node.value, node)
        return _compare_day(node.operator, on(day), from_day(day), until_day(day))
    raise SegmentError(f"{_name(node)} holds a date; it has no parts of text.", node.place)


def _compare_day(how: str, on: Condition, from_day: Condition, until_day: Condition) -> Condition:
    if how in ("=", "!="):
        return on if how == "=" else not_(on)
    if how in ("<", ">="):
        return from_day if how == ">=" else not_(from_day)
    return until_day if how == "<=" else not_(until_day)


def number_condition(column: Any, node: Leaf) -> Condition:
    if isinstance(node, OneOf):
        values = [_number(value, node) for value in node.values]
        found: Condition = column.in_(values)
        return found if node.quantifier != "all" else and_(true(), *(column == value for value in values))
    if isinstance(node, Between):
        return and_(column >= _number(node.low, node), column <= _number(node.high, node))
    if isinstance(node, Compare) and node.operator in _ORDER:
        compared: Condition = _ORDER[node.operator](column, _number(node.value, node))
        return compared
    raise SegmentError(f"{_name(node)} holds a number; compare it with =, !=, <, >, in or between.", node.place)


def yes_no_condition(column: Any, node: Leaf) -> Condition:
    if isinstance(node, Compare) and node.operator in ("=", "!=") and isinstance(node.value, bool):
        compared: Condition = _ORDER[node.operator](column, float(node.value))
        return compared
    raise SegmentError(f"{_name(node)} holds yes or no.", node.place, hint=f"Write: {_name(node)} = yes")


def _name(node: Leaf) -> str:
    return node.word if isinstance(node, Belongs) else node.name


def _text(value: Literal_, place: Place) -> str:
    if isinstance(value, str):
        return value
    raise SegmentError("This field holds text: write the value in single quotes.", place)


def _number(value: Literal_, node: Leaf) -> float:
    if isinstance(value, float) and not isinstance(value, bool):
        return value
    raise SegmentError(f"{_name(node)} holds a number: write it without quotes.", node.place)


def _day(value: Literal_, node: Leaf) -> date:
    day = value if isinstance(value, date) else read_date(value) if isinstance(value, str) else None
    if day is None:
        raise SegmentError(
            f"{_name(node)} holds a date: write it as 2026-11-02.", node.place, hint="Or: in last 6 months"
        )
    return day


def _to_ascii(text: str) -> str:
    try:
        return text.casefold().encode("idna").decode()
    except UnicodeError:
        return text.casefold()
