"""The segment language: the same answer as plain Python, and errors that point at the place."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.app import App
from newsletter.predicates import PREDICATES
from subscribers import attributes, consent, lists, people, segments
from subscribers.errors import Conflict, NotFound
from subscribers.segments import SegmentError
from subscribers.segments.nodes import And, Belongs, Between, Named, Node, Not, OneOf, Or, Present, Relative
from subscribers.tables import AttributeKind, Basis, Frequency, Subscriber

NOW = datetime(2026, 11, 2, 23, 30, tzinfo=UTC)
ZONE = "Europe/London"
KINDS = {
    "town": AttributeKind.TEXT,
    "age": AttributeKind.NUMBER,
    "since": AttributeKind.DATE,
    "trustee": AttributeKind.YES_NO,
    "interests": AttributeKind.SEVERAL,
}


@dataclass
class Person:
    """What the plain Python evaluation knows."""

    address: str
    name: str | None = None
    language: str | None = None
    joined_at: datetime = NOW
    tags: tuple[str, ...] = ()
    on: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    paused_until: date | None = None
    frequency: str = "each"
    discreet: bool = False


PEOPLE = [
    Person(
        "ann@example.org",
        "Ann Jones",
        "en-GB",
        tags=("volunteer",),
        on={"members": "consent"},
        values={
            "town": "Dudley",
            "age": 33.0,
            "since": date(2026, 10, 1),
            "trustee": True,
            "interests": ["Housing", "training"],
        },
    ),
    Person(
        "bob@dudley.gov.uk",
        "bob O'Brien",
        "cy",
        NOW - timedelta(days=40),
        on={"members": "corporate", "events": "consent"},
        values={"town": "dudley", "age": 18.0, "since": date(2020, 2, 29), "interests": ["housing"]},
    ),
    Person(
        "cy@gov.uk",
        joined_at=NOW - timedelta(days=200),
        tags=("press", "volunteer"),
        values={"town": "100%_sure", "trustee": False},
        paused_until=date(2026, 11, 2),
        discreet=True,
    ),
    Person(
        "dé@example.org",
        "Élodie",
        "en",
        NOW - timedelta(days=2),
        on={"events": "consent"},
        values={"town": "ÉCOLE", "age": -1.5},
        paused_until=date(2026, 11, 3),
        frequency="monthly",
    ),
    Person("eve@notgov.uk", "Eve", "EN-us", datetime(2026, 11, 2, tzinfo=UTC), ("press",), values={"age": 33.5}),
]


def fold(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "contains": lambda a, b: b in a,
    "starts with": lambda a, b: a.startswith(b),
    "ends with": lambda a, b: a.endswith(b),
}


def held(person: Person, name: str) -> Any:
    if name == "joined":
        return person.joined_at.astimezone(ZoneInfo(ZONE)).date()
    if name == "paused":
        return person.paused_until is not None and person.paused_until > NOW.astimezone(ZoneInfo(ZONE)).date()
    if name in ("address", "name", "language", "frequency", "discreet"):
        return getattr(person, name)
    if name == "domain":
        return person.address.partition("@")[2]
    return person.values.get(name)


def evaluate(node: Node, person: Person) -> bool:
    """The meaning of a tree, in plain Python."""
    if isinstance(node, And):
        return all(evaluate(child, person) for child in node.nodes)
    if isinstance(node, Or):
        return any(evaluate(child, person) for child in node.nodes)
    if isinstance(node, Not):
        return not evaluate(node.node, person)
    if isinstance(node, Named):
        assert node.node is not None
        return evaluate(node.node, person)
    if isinstance(node, Belongs):
        return node.argument.lower() in person.tags if node.word == "tag" else node.argument in person.on
    if node.name in ("tag", "list", "consent"):
        return _member(node, person)
    value = held(person, node.name)
    if isinstance(node, Present):
        return (value is not None) is node.present
    return value is not None and _compare(node, value)


def _member(node: Any, person: Person) -> bool:
    mine = {"tag": set(person.tags), "list": set(person.on), "consent": set(person.on.values())}[node.name]
    if isinstance(node, Present):
        return bool(mine) is node.present
    if isinstance(node, OneOf):
        return (all if node.quantifier == "all" else any)(v in mine for v in node.values)
    return (node.value in mine) is (node.operator == "=")


def _compare(node: Any, value: Any) -> bool:
    if isinstance(node, Relative):
        day = NOW.astimezone(ZoneInfo(ZONE)).date()
        span = timedelta(days=node.count * {"day": 1, "week": 7}[node.unit])
        return day - span <= value <= day if node.direction == "last" else day <= value <= day + span
    if isinstance(value, list):
        mine = {fold(v) for v in value}
        if isinstance(node, OneOf):
            return (all if node.quantifier == "all" else any)(fold(v) in mine for v in node.values)
        return any(OPERATORS[node.operator](v, fold(node.value)) for v in mine)
    alike = str.casefold if node.name in ("address", "domain") else fold
    if isinstance(value, str):
        value = alike(value)
    if isinstance(node, Between):
        low, high = ((alike(v) if isinstance(v, str) else v) for v in (node.low, node.high))
        return low <= value <= high
    if isinstance(node, OneOf):
        quantifier = all if node.quantifier == "all" else any
        return quantifier(_equal(node.name, value, v) for v in node.values)
    if node.operator in ("=", "!="):
        return _equal(node.name, value, node.value) is (node.operator == "=")
    return OPERATORS[node.operator](value, alike(node.value) if isinstance(node.value, str) else node.value)


def _equal(name: str, value: Any, wanted: Any) -> bool:
    alike = str.casefold if name in ("address", "domain") else fold
    wanted = alike(wanted) if isinstance(wanted, str) else wanted
    if name == "domain":
        return value == wanted or value.endswith(f".{wanted}")
    if name == "language":
        return value == wanted or value.startswith(f"{wanted}-")
    return bool(value == wanted)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


TEXTS = st.sampled_from(
    [
        "Dudley",
        "dudley",
        "DUD",
        "",
        "100%",
        "%",
        "_",
        "é",
        "É",
        "ann jones",
        "O'Brien",
        "en",
        "gov.uk",
        "housing",
        "z",
        "/",
    ]
).map(quoted)
ORDER = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
PARTS = st.sampled_from(["contains", "starts with", "ends with"])
DAYS = st.dates(date(2019, 1, 1), date(2027, 1, 1)).map(str)
NUMBERS = st.sampled_from(["18", "33", "33.5", "-1.5", "0"])
TEXT_FIELDS = st.sampled_from(["town", "name", "language", "domain", "address"])


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=3).map(lambda found: f"({', '.join(found)})")


CLAUSES = st.one_of(
    st.builds("{} {} {}".format, TEXT_FIELDS, st.one_of(ORDER, PARTS), TEXTS),
    st.builds("{} {} {}".format, TEXT_FIELDS, st.sampled_from(["in", "not in", "any"]), listed(TEXTS)),
    st.builds("town between {} and {}".format, TEXTS, TEXTS),
    st.builds("age {} {}".format, ORDER, NUMBERS),
    st.builds("age in {}".format, listed(NUMBERS)),
    st.builds("age between {} and {}".format, NUMBERS, NUMBERS),
    st.builds("{} {} {}".format, st.sampled_from(["since", "joined"]), ORDER, DAYS),
    st.builds("{} between {} and {}".format, st.sampled_from(["since", "joined"]), DAYS, DAYS),
    st.builds(
        "{} in last {} {}".format,
        st.sampled_from(["since", "joined"]),
        st.integers(1, 300),
        st.sampled_from(["days", "weeks"]),
    ),
    st.builds("trustee {} {}".format, st.sampled_from(["=", "!="]), st.sampled_from(["yes", "no", "TRUE"])),
    st.builds("interests {} {}".format, st.sampled_from(["any", "all", "in"]), listed(TEXTS)),
    st.builds("interests {} {}".format, PARTS, TEXTS),
    st.builds(
        "{} is {}".format, st.sampled_from([*KINDS, "name", "tag", "joined"]), st.sampled_from(["set", "missing"])
    ),
    st.builds(
        "tag {} ({})".format,
        st.sampled_from(["in", "any", "all"]),
        st.sampled_from(["'press'", "'press', 'volunteer'"]),
    ),
    st.sampled_from(["tag 'Volunteer'", "list 'members'", "list in ('members', 'events')", "consent = 'consent'"]),
    st.sampled_from(["paused = yes", "paused != yes", "discreet = no", "paused is set", "discreet is missing"]),
    st.sampled_from(["frequency = 'Monthly'", "frequency != 'monthly'", "frequency not in ('each')"]),
    st.sampled_from(["consent != 'corporate'", "segment 'saved'", "list all ('members', 'events')"]),
)
EXPRESSIONS = st.recursive(
    CLAUSES,
    lambda inner: st.one_of(
        st.builds("not ({})".format, inner),
        st.builds("({}) AND ({})".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
        st.builds("{} and not {}".format, inner, inner),
    ),
    max_leaves=6,
)


def _fill(session: Session) -> None:
    for name in ("members", "events"):
        if name not in {one.name for one in lists.all_lists(session)}:
            lists.create(session, name, at=NOW)
    for name, kind in KINDS.items():
        attributes.declare(session, name, kind)
    for one in PEOPLE:
        made = people.add(
            session,
            pepper=b"p" * 32,
            address=one.address,
            name=one.name,
            language=one.language,
            at=NOW,
            joined_at=one.joined_at,
        )
        made.paused_until, made.frequency, made.discreet = one.paused_until, Frequency(one.frequency), one.discreet
        for tag in one.tags:
            people.add_tag(session, made, tag, at=NOW)
        for name, basis in one.on.items():
            consent.grant(
                session, made, lists.get(session, name), basis=Basis(basis), source="t", actor="t", evidence="t", at=NOW
            )
        for name, value in one.values.items():
            text = "; ".join(value) if isinstance(value, list) else {True: "yes", False: "no"}.get(value, str(value))
            attribute = attributes.get(session, name)
            attributes.store(session, made, attribute, attributes.read_values(attribute, text))
    segments.create(session, "saved", "town = 'Dudley' or tag 'press'", at=NOW)


@pytest.fixture
def filled(app: App) -> App:
    with app.database.write() as session:
        _fill(session)
    return app


@pytest.fixture
def filled_on_postgresql(app_on_postgresql: App) -> App:
    with app_on_postgresql.database.write() as session:
        _fill(session)
    return app_on_postgresql


def _members(session: Session, expression: str) -> set[str]:
    node = segments.resolve(session, expression)
    condition = segments.condition(session, node, now=NOW, timezone=ZONE, predicates=PREDICATES)
    return set(session.scalars(select(Subscriber.address).where(condition)))


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(expression=EXPRESSIONS)
@example("address contains 'É'")
@example("town = 'Dudley' and not tag 'volunteer' and (list 'members' or interests any ('housing'))")
@example("town in ('Dudley', 'z') and not (age = 33 and list 'events') and interests all ('housing', 'training')")
def test_sql_and_plain_python_agree(filled: App, expression: str) -> None:
    with filled.database.read() as session:
        node = segments.resolve(session, expression)
        expected = {person.address for person in PEOPLE if evaluate(node, person)}
        assert _members(session, expression) == expected, expression


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(expression=EXPRESSIONS)
@example("address < 'Dudley'")
@example("domain between 'd' and 'é'")
def test_postgresql_and_plain_python_agree(filled_on_postgresql: App, expression: str) -> None:
    """Its collation is a language's; comparisons go by code points all the same."""
    with filled_on_postgresql.database.read() as session:
        node = segments.resolve(session, expression)
        expected = {person.address for person in PEOPLE if evaluate(node, person)}
        assert _members(session, expression) == expected, expression


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(expression=EXPRESSIONS, one=st.sampled_from(PEOPLE))
def test_the_explanation_agrees_with_the_selection(filled: App, expression: str, one: Person) -> None:
    with filled.database.read() as session:
        person, node = people.find(session, one.address), segments.resolve(session, expression)
        found = segments.explain(session, node, person, now=NOW, timezone=ZONE, predicates=PREDICATES)
        assert found.member == (one.address in _members(session, expression))


@pytest.mark.parametrize(
    ("expression", "reason", "pointed", "hint"),
    [
        ("town == 'x'", "cannot stand here", "=", "single quotes"),
        ("town = 'a' nad age = 3", "cannot stand here", "nad", "Did you mean 'and'?"),
        ("tonw = 'x'", "no field 'tonw'", "tonw", "Did you mean 'town'?"),
        ("town = 5", "holds text", "town = 5", ""),
        ("age = '5'", "holds a number", "age = '5'", ""),
        ("since > 'soon'", "holds a date", "since > 'soon'", "6 months"),
        ("joined >= 2026-02-31", "no day 2026-02-31", "2026-02-31", ""),
        ("town = 'x", "no closing quote", "'x", ""),
        ('town = "x"', "single quotes", '"', ""),
        ("town = 'x' and", "ends too early", "", "a field"),
        ("list 'membres'", "no list", "list 'membres'", "Did you mean 'members'?"),
        ("segment 'savd'", "no segment", "segment 'savd'", "Did you mean 'saved'?"),
        ("consent = 'consnet'", "no lawful basis", "consent = 'consnet'", "Did you mean 'consent'?"),
        ("frequency = 'montly'", "no frequency", "frequency = 'montly'", "Did you mean 'monthly'?"),
        ("paused = 3", "yes or no", "paused = 3", "paused = yes"),
        ("interests != 'x'", "several values", "interests != 'x'", "not interests any"),
        ("issue '2026-10' sent", "no issue", "issue '2026-10' sent", ""),
        ("issue '2026-10' lost", "stands sent or bounced", "issue '2026-10' lost", ""),
        ("trustee = 'maybe'", "yes or no", "trustee = 'maybe'", ""),
        ("town 'x'", "right before a text", "town 'x'", "town = 'x'"),
        ("joined in last 0 days", "whole number", "0", ""),
    ],
)
def test_an_error_points_at_the_place(filled: App, expression: str, reason: str, pointed: str, hint: str) -> None:
    with filled.database.read() as session, pytest.raises(SegmentError) as caught:
        _members(session, expression)
    assert reason in caught.value.message
    assert hint in caught.value.hint
    place = caught.value.place
    assert expression[place.start : place.end].strip() == pointed
    shown, carets = caught.value.message.splitlines()[-2:]
    assert shown[carets.index("^") :].startswith(pointed)


@pytest.mark.parametrize(
    "expression",
    [
        "not " * 20_000 + "age = 1",
        " or ".join(["age = 1"] * 10_000),
        " and ".join(["age = 1"] * 401),
        f"town in ({', '.join(['1'] * 6000)})",
        "not (" * 200 + "age = 1" + ")" * 200,
        "town = '\0'",
        "",
        "''" * 1000,
    ],
)
def test_too_large_too_deep_or_unreadable_is_a_clear_error(filled: App, expression: str) -> None:
    with filled.database.read() as session, pytest.raises(SegmentError):
        _members(session, expression)


def test_the_largest_allowed_expression_runs(filled: App) -> None:
    many = " or ".join([f"town = 't{n}'" for n in range(399)] + ["town = 'dudley'"])
    with filled.database.read() as session:
        assert _members(session, many) == {"ann@example.org", "bob@dudley.gov.uk"}
        assert len(_members(session, "(" * 5000 + "age = 33" + ")" * 5000)) == 1


def test_values_are_bound_never_written_into_the_statement(filled: App) -> None:
    with filled.database.read() as session:
        node = segments.resolve(session, "town = 'x'' or 1=1 --' or tag 'y''); drop table subscribers; --'")
        condition = segments.condition(session, node, now=NOW, timezone=ZONE)
        assert "drop table" not in str(select(Subscriber.id).where(condition))
        assert session.scalars(select(Subscriber.id).where(condition)).all() == []


def test_a_segment_that_leads_back_to_itself_is_refused_and_not_saved(filled: App) -> None:
    with filled.database.write() as session:
        segments.create(session, "outer", "segment 'saved' and age > 1", at=NOW)
    with (
        pytest.raises(SegmentError, match="leads back to itself: saved -> outer -> saved"),
        filled.database.write() as session,
    ):
        segments.create(session, "saved", "segment 'outer'", at=NOW, replace=True)
    with filled.database.read() as session:
        assert segments.get(session, "saved").expression == "town = 'Dudley' or tag 'press'"


def test_a_segment_that_others_name_is_not_removed(filled: App) -> None:
    with filled.database.write() as session:
        segments.create(session, "outer", "segment 'saved'", at=NOW)
    with filled.database.write() as session, pytest.raises(Conflict, match="part of outer"):
        segments.remove(session, "saved")


def test_a_bare_word_is_a_name_with_the_nearest_known(filled: App) -> None:
    with filled.database.read() as session, pytest.raises(NotFound) as caught:
        segments.resolve(session, "savde")
    assert caught.value.hint == "Did you mean 'saved'?"


def test_months_are_counted_by_the_calendar_and_days_begin_at_local_midnight(filled: App) -> None:
    with filled.database.read() as session:
        node = segments.resolve(session, "joined = 2026-11-02")
        condition = segments.condition(session, node, now=NOW, timezone="America/New_York")
        assert "eve@notgov.uk" not in set(session.scalars(select(Subscriber.address).where(condition)))
        assert "cy@gov.uk" not in _members(session, "joined in last 6 months")
        assert "cy@gov.uk" in _members(session, "joined in last 7 months")


GUIDE = (Path(__file__).parents[2] / "docs" / "people.md").read_text()
SHOWN = re.findall(r"^\| `([^`]+)`", GUIDE.partition("## Segments")[2].partition("\n## ")[0], re.M)


@pytest.mark.parametrize("expression", SHOWN)
def test_every_expression_of_the_guide_can_be_read(expression: str) -> None:
    assert segments.parse(expression)
