"""
The blocks of an issue: in sections, at positions counted from 1 without a gap; sections in the issue's own order.

Every change goes through here, so that positions stay whole and a section is always one that can be rendered.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from newsletter.config.settings import SectionRule
from newsletter.errors import InvalidValue, NotFound
from newsletter.tables import Block, BlockKind, Issue, Item


@dataclass(frozen=True, slots=True)
class IssueSection:
    """One section of an issue: its rule (title, kinds) and its blocks in order."""

    rule: SectionRule
    blocks: tuple[Block, ...]


def rule_for(kind: str, categories: Iterable[str], rules: Sequence[SectionRule]) -> SectionRule | None:
    """
    Return the section where an item belongs, or null when no rule takes it.

    A rule that names categories is asked before one that takes every category, whatever their order on the page.
    """
    folded = {category.casefold() for category in categories}
    fitting = [rule for rule in rules if kind in rule.kinds]
    by_category = (rule for rule in fitting if folded & {category.casefold() for category in rule.categories})
    return next(by_category, None) or next((rule for rule in fitting if not rule.categories), None)


def sections_of(issue: Issue, rules: Sequence[SectionRule]) -> list[IssueSection]:
    """Return the sections that hold something, in order: the issue's own order first, then the configuration's."""
    by_name = {rule.name: rule for rule in rules}
    held: dict[str, list[Block]] = {}
    for block in issue.blocks:
        held.setdefault(block.section, []).append(block)
    names = dict.fromkeys([*issue.section_order, *by_name, *held])
    return [
        IssueSection(by_name.get(name) or _retired(name), tuple(sorted(held[name], key=lambda b: b.position)))
        for name in names
        if held.get(name)
    ]


def find_block(issue: Issue, block_id: int) -> Block:
    for block in issue.blocks:
        if block.id == block_id:
            return block
    known = ", ".join(str(block.id) for block in issue.blocks)
    raise NotFound(
        f"block in issue {issue.slug}:",
        str(block_id),
        hint=f"Its blocks: {known}." if known else "It has no blocks yet: newsletter issue add",
    )


def add_item(issue: Issue, item: Item, snapshot: dict[str, Any], section: str) -> Block:
    """Append an item to a section, as it is now."""
    return _append(issue, Block(section=section, kind=BlockKind.ITEM, item=item, snapshot=snapshot, payload={}))


def add_ornament(issue: Issue, kind: BlockKind, section: str, payload: dict[str, str]) -> Block:
    """Append a quotation, a divider or a button to a section."""
    return _append(issue, Block(section=section, kind=kind, payload=payload))


def section_named(issue: Issue, name: str | None, rules: Sequence[SectionRule]) -> str:
    """
    Return the section *name*; without a name the last one that holds something, else the first of the configuration.

    Raises:
        NotFound: With the nearest name.
    """
    if name is None:
        present = sections_of(issue, rules)
        return present[-1].rule.name if present else rules[0].name
    known = list(dict.fromkeys([*(rule.name for rule in rules), *(block.section for block in issue.blocks)]))
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(known)}."
    raise NotFound("section", name, hint=hint + " Sections are set by issue.sections in config.toml.")


def remove(issue: Issue, block_ids: Sequence[int]) -> list[Block]:
    """Take blocks out; all of them or, when one is unknown, none."""
    gone = [find_block(issue, block_id) for block_id in dict.fromkeys(block_ids)]
    for block in gone:
        issue.blocks.remove(block)
    _close_gaps(issue)
    return gone


def move(issue: Issue, block_id: int, *, to: int | None, section: str) -> Block:
    """
    Put a block at position *to* (1 is first; null or beyond the end is last) of *section*.

    Raises:
        InvalidValue: When *to* is below 1.
    """
    block = find_block(issue, block_id)
    if to is not None and to < 1:
        raise InvalidValue(f"There is no position {to}.", hint="The first position is 1.")
    others = sorted((b for b in issue.blocks if b.section == section and b is not block), key=lambda b: b.position)
    place = len(others) if to is None else min(to - 1, len(others))
    block.section = section
    for position, each in enumerate([*others[:place], block, *others[place:]], start=1):
        each.position = position
    _close_gaps(issue)
    return block


def order_sections(issue: Issue, names: Sequence[str], rules: Sequence[SectionRule]) -> None:
    """Put the named sections first, in that order; the others follow as they were."""
    wanted = [section_named(issue, name, rules) for name in names]
    present = [section.rule.name for section in sections_of(issue, rules)]
    issue.section_order = list(dict.fromkeys([*wanted, *present]))


def _append(issue: Issue, block: Block) -> Block:
    block.position = 1 + sum(1 for other in issue.blocks if other.section == block.section)
    issue.blocks.append(block)
    return block


def _close_gaps(issue: Issue) -> None:
    for section in {block.section for block in issue.blocks}:
        held = sorted((b for b in issue.blocks if b.section == section), key=lambda b: b.position)
        for position, block in enumerate(held, start=1):
            block.position = position


def _retired(name: str) -> SectionRule:
    """Stand in for a section that the configuration no longer has: nothing is lost from an issue that uses it."""
    return SectionRule(name=name, title=name.replace("-", " ").capitalize(), kinds=("post",))
