"""The fields and clauses that an expression may use here, each with an example: what an admin looks up first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from subscribers.attributes import Attribute, definitions
from subscribers.segments.predicates import Predicate
from subscribers.tables import AttributeKind, Basis, Frequency


@dataclass(frozen=True, slots=True)
class Word:
    """
    A field, or the first word of a clause.

    Attributes:
        name: As it is written.
        kind: What it is compared with.
        example: An expression that uses it.
        choices: The values that there are, where they are fixed.
    """

    name: str
    kind: str
    example: str
    choices: tuple[str, ...] = ()


BUILT_IN_WORDS = (
    Word("address", "text", "address ends with '@example.org'"),
    Word("domain", "domain", "domain = 'gov.uk'"),
    Word("name", "text", "name starts with 'A'"),
    Word("first_name", "text", "first_name is missing"),
    Word("language", "language", "language = 'cy'"),
    Word("joined", "date", "joined in last 6 months"),
    Word("tag", "tag", "not tag 'volunteer'"),
    Word("list", "list", "list 'NAME'"),
    Word("segment", "saved segment", "segment 'NAME'"),
    Word("paused", "yes/no", "paused = yes"),
    Word("frequency", "choice", "frequency = 'monthly'", tuple(one.value for one in Frequency)),
    Word("discreet", "yes/no", "not discreet = yes"),
    Word("consent", "lawful basis", "consent = 'consent'", tuple(basis.value for basis in Basis)),
)
_EXAMPLES = {
    AttributeKind.TEXT: "{name} contains 'TEXT'",
    AttributeKind.NUMBER: "{name} between 1 and 10",
    AttributeKind.DATE: "{name} in next 3 months",
    AttributeKind.YES_NO: "{name} = yes",
    AttributeKind.CHOICE: "{name} = '{value}'",
    AttributeKind.SEVERAL: "{name} any ('{value}')",
}


def vocabulary(session: Session, predicates: Sequence[Predicate] = ()) -> list[Word]:
    """Return what is built in, what the application registers, and the attributes of this database."""
    registered = [Word(one.word, one.word, f"{one.word} 'NAME' {one.verbs[0]}", one.verbs) for one in predicates]
    return [*BUILT_IN_WORDS, *registered, *map(_of_attribute, definitions(session).values())]


def _of_attribute(attribute: Attribute) -> Word:
    value = attribute.choices[0].replace("'", "''") if attribute.choices else "TEXT"
    example = _EXAMPLES[attribute.kind].format(name=attribute.name, value=value)
    return Word(attribute.name, attribute.kind.value, example, attribute.choices)
