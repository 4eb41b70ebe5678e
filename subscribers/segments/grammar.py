"""
Text to tree: the grammar of segment expressions and every error that points at a place in it.

The parser is LALR and its tree is turned into ours without recursion: no text, deep or long, exhausts the stack.
"""

from __future__ import annotations

import datetime
import re
from functools import cache
from typing import Any

from lark import Lark, Token, UnexpectedCharacters, UnexpectedEOF, UnexpectedToken, v_args
from lark.exceptions import UnexpectedInput, VisitError
from lark.visitors import Transformer_NonRecursive

from subscribers.naming import nearest
from subscribers.segments.nodes import (
    And,
    Belongs,
    Between,
    Compare,
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
    walk,
)

LONGEST_TEXT = 50_000
LONGEST_STRING = 1_000
MOST_CLAUSES = 400
MOST_VALUES = 5_000
DEEPEST = 40

GRAMMAR = r"""
start: expression
?expression: conjunction (_OR conjunction)*      -> disjunction
?conjunction: negation (_AND negation)*          -> conjunction
?negation: _NOT negation                         -> negation
    | "(" expression ")"                         -> group
    | clause

?clause: NAME OPERATOR value                     -> compare
    | NAME _CONTAINS value                       -> contains
    | NAME _STARTS _WITH value                   -> starts
    | NAME _ENDS _WITH value                     -> ends
    | NAME _IN values                            -> one_of
    | NAME _NOT _IN values                       -> none_of
    | NAME _ANY values                           -> any_of
    | NAME _ALL values                           -> all_of
    | NAME _BETWEEN value _AND value             -> between
    | NAME _IN _LAST NUMBER UNIT                 -> last
    | NAME _IN _NEXT NUMBER UNIT                 -> next
    | NAME _IS _SET                              -> is_set
    | NAME _IS _MISSING                          -> is_missing
    | NAME STRING                                -> belongs
    | NAME STRING NAME                           -> belongs
    | NAME STRING _NOT NAME                      -> belongs_not

values: "(" value ("," value)* ")"
value: STRING -> string
    | DATE    -> date
    | NUMBER  -> number
    | TRUTH   -> truth

_OR.2: /or\b/i
_AND.2: /and\b/i
_NOT.2: /not\b/i
_IN.2: /in\b/i
_ANY.2: /any\b/i
_ALL.2: /all\b/i
_CONTAINS.2: /contains\b/i
_STARTS.2: /starts\b/i
_ENDS.2: /ends\b/i
_WITH.2: /with\b/i
_BETWEEN.2: /between\b/i
_LAST.2: /last\b/i
_NEXT.2: /next\b/i
_IS.2: /is\b/i
_SET.2: /set\b/i
_MISSING.2: /missing\b/i
TRUTH.2: /(yes|no|true|false)\b/i
UNIT.2: /(days?|weeks?|months?|years?)\b/i
NAME: /[a-z][a-z0-9_]*/i
OPERATOR: "!=" | "<>" | "<=" | ">=" | "=" | "<" | ">"
DATE.2: /[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}/
NUMBER: /-?[0-9]+(\.[0-9]+)?/
STRING: /'(?:[^']|'')*'/
%ignore /[ \t\r\n]+/
"""

# What stands between the words, for a person: terminal -> how it is shown in "expected".
_SHOWN = {
    "NAME": "a field",
    "STRING": "a text in single quotes",
    "NUMBER": "a number",
    "DATE": "a date",
    "TRUTH": "yes or no",
    "UNIT": "days, weeks, months or years",
    "OPERATOR": "a comparison such as = or !=",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": ",",
    "$END": "the end",
}
_WORDS = ("and", "or", "not", "in", "any", "all", "contains", "starts with", "ends with", "between", "is set")
_UNITS = {"d": "day", "w": "week", "m": "month", "y": "year"}


def parse(text: str) -> Node:
    """
    Read an expression.

    Raises:
        SegmentError: Pointing at the place that cannot be read.
    """
    _check_text(text)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise _explain(text, error) from None
    try:
        found: Node = _Build(text).transform(tree)
    except VisitError as error:
        if isinstance(error.orig_exc, SegmentError):
            raise error.orig_exc from None
        raise
    check_size(found)
    return found


def check_size(node: Node) -> None:
    """
    Refuse a tree that a database could not take.

    Raises:
        SegmentError: Naming the limit.
    """
    clauses = values = 0
    for current, depth in walk(node):
        if depth > DEEPEST:
            raise SegmentError(
                f"This expression is nested more than {DEEPEST} levels deep.",
                current.place,
                hint="Save its parts as segments of their own, or write it flatter.",
            )
        clauses += not isinstance(current, And | Or | Not | Named)
        values += len(current.values) if isinstance(current, OneOf) else 0
        if clauses > MOST_CLAUSES or values > MOST_VALUES:
            raise SegmentError(
                f"This expression is too large: {MOST_CLAUSES} clauses and {MOST_VALUES} listed values are the most.",
                current.place,
                hint="Write `field in ('a', 'b', ...)` instead of many `field = ... or`, or tag the people.",
            )


def _check_text(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        start = Place(text, 0, 1)
        raise SegmentError(
            f"This expression has {len(text)} characters; {LONGEST_TEXT} are the most.",
            start,
            hint="Write `field in ('a', 'b', ...)`, or tag the people.",
        )
    if not text.strip():
        raise SegmentError("This expression is empty.", Place(text, 0, 1), hint="For example: town = 'Dudley'")
    bad = re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", text)
    if bad:
        raise SegmentError("A control character cannot stand here.", Place(text, bad.start(), bad.end()))
    for quote in '‘’“”"':
        at = _outside_strings(text).find(quote)
        if at >= 0:
            raise SegmentError(
                "Texts stand in straight single quotes.", Place(text, at, at + 1), hint="For example: town = 'Dudley'"
            )


def _outside_strings(text: str) -> str:
    return re.sub(r"'(?:[^']|'')*(?:'|$)", lambda found: " " * len(found.group()), text)


def _explain(text: str, error: UnexpectedInput) -> SegmentError:
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        token = error.token
        place = Place(text, token.start_pos or 0, token.end_pos or 0)
        near = nearest(str(token).casefold(), _WORDS) if token.type == "NAME" else ""
        hint = near if near.startswith("Did") else f"Expected here: {_expected(error.accepts or error.expected)}."
        return SegmentError(f"'{str(token)[:40]}' cannot stand here.", place, hint=hint)
    if isinstance(error, UnexpectedCharacters):
        at = error.pos_in_stream or 0
        if text[at] == "'":
            return SegmentError("This text has no closing quote.", Place(text, at, len(text)))
        return SegmentError(f"'{text[at]}' cannot stand here.", Place(text, at, at + 1))
    expected = error.accepts or error.expected if isinstance(error, UnexpectedToken) else []
    if isinstance(error, UnexpectedEOF):
        expected = error.expected
    end = len(text.rstrip())
    return SegmentError(
        "The expression ends too early.", Place(text, end, end + 1), hint=f"Expected here: {_expected(expected)}."
    )


def _expected(terminals: Any) -> str:
    words = {_SHOWN.get(t) or t.strip("_").lower() for t in terminals}
    return ", ".join(sorted(words))


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True, maybe_placeholders=False)


@v_args(meta=True)
class _Build(Transformer_NonRecursive[Token, Node]):
    """Turns the parser's tree into ours, without recursion, so that ten thousand parentheses are no trouble."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def _place(self, meta: Any) -> Place:
        return Place(self._text, meta.start_pos, meta.end_pos)

    def _at(self, token: Token) -> Place:
        return Place(self._text, token.start_pos or 0, token.end_pos or 0)

    def start(self, _meta: Any, found: list[Any]) -> Node:
        node: Node = found[0]
        return node

    group = start

    def disjunction(self, meta: Any, found: list[Any]) -> Node:
        return found[0] if len(found) == 1 else Or(tuple(found), self._place(meta))

    def conjunction(self, meta: Any, found: list[Any]) -> Node:
        return found[0] if len(found) == 1 else And(tuple(found), self._place(meta))

    def negation(self, meta: Any, found: list[Any]) -> Node:
        return Not(found[0], self._place(meta))

    def compare(self, meta: Any, found: list[Any]) -> Node:
        operator = "!=" if found[1] == "<>" else str(found[1])
        return self._compare(meta, operator, [found[0], found[2]])

    def _compare(self, meta: Any, operator: Any, found: list[Any]) -> Node:
        return Compare(_word(found[0]), operator, found[1], self._place(meta))

    def contains(self, meta: Any, found: list[Any]) -> Node:
        return self._compare(meta, "contains", found)

    def starts(self, meta: Any, found: list[Any]) -> Node:
        return self._compare(meta, "starts with", found)

    def ends(self, meta: Any, found: list[Any]) -> Node:
        return self._compare(meta, "ends with", found)

    def one_of(self, meta: Any, found: list[Any]) -> Node:
        return OneOf(_word(found[0]), "in", found[1], self._place(meta))

    def none_of(self, meta: Any, found: list[Any]) -> Node:
        return Not(self.one_of(meta, found), self._place(meta))

    def any_of(self, meta: Any, found: list[Any]) -> Node:
        return OneOf(_word(found[0]), "any", found[1], self._place(meta))

    def all_of(self, meta: Any, found: list[Any]) -> Node:
        return OneOf(_word(found[0]), "all", found[1], self._place(meta))

    def between(self, meta: Any, found: list[Any]) -> Node:
        return Between(_word(found[0]), found[1], found[2], self._place(meta))

    def last(self, meta: Any, found: list[Any]) -> Node:
        return self._relative(meta, "last", found)

    def next(self, meta: Any, found: list[Any]) -> Node:
        return self._relative(meta, "next", found)

    def _relative(self, meta: Any, direction: Any, found: list[Any]) -> Node:
        name, number, unit = found
        if not str(number).isdecimal() or not 1 <= len(number) <= 5 or int(number) < 1:
            raise SegmentError("Write a whole number from 1 to 99999 here.", self._at(number))
        word: Any = _UNITS[unit[0].lower()]
        return Relative(_word(name), direction, int(number), word, self._place(meta))

    def is_set(self, meta: Any, found: list[Any]) -> Node:
        return Present(_word(found[0]), True, self._place(meta))

    def is_missing(self, meta: Any, found: list[Any]) -> Node:
        return Present(_word(found[0]), False, self._place(meta))

    def belongs(self, meta: Any, found: list[Any]) -> Node:
        word, argument = _word(found[0]), str(found[1])[1:-1].replace("''", "'")
        if word == "segment" and len(found) == 2:
            return Named(argument, None, self._place(meta))
        return Belongs(word, argument, _word(found[2]) if len(found) > 2 else None, self._place(meta))

    def belongs_not(self, meta: Any, found: list[Any]) -> Node:
        return Not(self.belongs(meta, found), self._place(meta))

    def values(self, _meta: Any, found: list[Any]) -> tuple[Literal_, ...]:
        return tuple(found)

    def string(self, _meta: Any, found: list[Any]) -> str:
        text = str(found[0])[1:-1].replace("''", "'")
        if len(text) > LONGEST_STRING:
            raise SegmentError(f"A text here has at most {LONGEST_STRING} characters.", self._at(found[0]))
        return text

    def date(self, _meta: Any, found: list[Any]) -> datetime.date:
        try:
            year, month, day = (int(part) for part in found[0].split("-"))
            return datetime.date(year, month, day)
        except ValueError:
            raise SegmentError(f"There is no day {found[0]}.", self._at(found[0])) from None

    def number(self, _meta: Any, found: list[Any]) -> float:
        if len(found[0]) > 30:
            raise SegmentError("This number is too long.", self._at(found[0]))
        return float(found[0])

    def truth(self, _meta: Any, found: list[Any]) -> bool:
        return found[0].casefold() in ("yes", "true")


def _word(token: Token) -> str:
    return str(token).casefold()
