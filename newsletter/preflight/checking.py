"""All rules over all variants: what blocks, what warns, and the facts to show; nothing here decides, the rules do."""

from __future__ import annotations

from collections.abc import Sequence

from newsletter.preflight import addresses, discreet, events, pictures, process, reading, required, size, subject
from newsletter.preflight.document import Document
from newsletter.preflight.registry import registered
from newsletter.preflight.shown import shown_facts
from newsletter.preflight.values import Finding, IssueFacts, RenderedVariant, Report

MOST_VARIANTS = 64
# Importing a module of rules registers them; the order is the order of the report.
RULE_MODULES = (process, subject, required, events, addresses, pictures, reading, size, discreet)


def check(variants: Sequence[RenderedVariant], facts: IssueFacts) -> Report:
    """Judge every variant by every rule; what all variants share is told once."""
    documents = [Document.of(variant) for variant in variants]
    blocks = list(_too_many_variants(variants))
    warnings: list[Finding] = []
    for rule in registered():
        (blocks if rule.blocks else warnings).extend(rule.check_issue(documents, facts))
    return Report(facts.slug, tuple(blocks), tuple(warnings), shown_facts(documents, facts))


def _too_many_variants(variants: Sequence[RenderedVariant]) -> list[Finding]:
    if len(variants) <= MOST_VARIANTS:
        return []
    message = f"The items' audiences make {len(variants)} different mails; {MOST_VARIANTS} is the most."
    return [Finding("too-many-variants", "items", message, "Give fewer items an audience of their own.")]
