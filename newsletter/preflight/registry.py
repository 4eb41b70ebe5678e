"""
The register of rules: each a small function of one document (or of the issue) and the facts, under a stable name.

A rule yields what it found and never raises for content; whether that blocks or warns is said once, where it is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from newsletter.preflight.document import Document
from newsletter.preflight.values import Finding, IssueFacts


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule saw: where, what is wrong, and what to do."""

    where: str
    message: str
    fix: str


Form = Literal["ordinary", "discreet", "any"]
DocumentCheck = Callable[[Document, IssueFacts], Iterable[Found]]
IssueCheck = Callable[[IssueFacts], Iterable[Found]]


@dataclass(frozen=True, slots=True)
class Rule:
    """
    A named rule. One of `of_document` and `of_issue` is set.

    Attributes:
        of_form: Which variants it judges. A rule of the HTML has nothing to judge in a discreet one, which has none.
    """

    name: str
    blocks: bool
    of_document: DocumentCheck | None = None
    of_issue: IssueCheck | None = None
    of_form: Form = "ordinary"

    def check_issue(self, documents: Sequence[Document], facts: IssueFacts) -> Iterator[Finding]:
        """Yield findings; one that not every variant has says in which variants it stands."""
        if self.of_issue is not None:
            yield from (Finding(self.name, f.where, f.message, f.fix) for f in self.of_issue(facts))
        if self.of_document is None:
            return
        seen: dict[Found, list[int]] = {}
        documents = [document for document in documents if self._judges(document)]
        for document in documents:
            for found in dict.fromkeys(self.of_document(document, facts)):
                seen.setdefault(found, []).append(document.variant.number)
        for found, numbers in seen.items():
            which = "" if len(numbers) == len(documents) else f" (variant {', '.join(map(str, numbers))})"
            yield Finding(self.name, found.where + which, found.message, found.fix)

    def _judges(self, document: Document) -> bool:
        return self.of_form == "any" or document.variant.discreet == (self.of_form == "discreet")


_RULES: dict[str, Rule] = {}


def document_rule(name: str, *, blocks: bool, of_form: Form = "ordinary") -> Callable[[DocumentCheck], DocumentCheck]:
    """Register a rule that judges each variant of a form."""

    def register(function: DocumentCheck) -> DocumentCheck:
        _add(Rule(name, blocks, of_document=function, of_form=of_form))
        return function

    return register


def issue_rule(name: str, *, blocks: bool) -> Callable[[IssueCheck], IssueCheck]:
    """Register a rule that judges the issue once."""

    def register(function: IssueCheck) -> IssueCheck:
        _add(Rule(name, blocks, of_issue=function))
        return function

    return register


def registered() -> tuple[Rule, ...]:
    return tuple(_RULES.values())


def _add(rule: Rule) -> None:
    if rule.name in _RULES:
        raise ValueError(f"two rules are named {rule.name}")
    _RULES[rule.name] = rule
