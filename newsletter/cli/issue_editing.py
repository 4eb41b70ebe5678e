"""`issue set, letter, add, remove, move, accept`: change what an issue is made of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.issue_argument import done, fetch_item_pictures, issue_argument
from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.app import App
    from newsletter.tables import Block, Issue

LONGEST_LETTER_BYTES = 100_000


@contextmanager
def editing(context: Context, name: str) -> Iterator[tuple[Session, Issue]]:
    """Open an issue for an edit; afterwards record who edited and tell when that voids an approval."""
    from newsletter.cli.issue_text import tell
    from newsletter.compose.issue import check_editable, content_hash, find, mark_edited

    app = context.app
    with app.database.write() as session:
        issue = find(session, name)
        check_editable(issue)
        before = content_hash(issue, app.config)
        yield session, issue
        session.flush()
        changed = content_hash(issue, app.config) != before
        note = mark_edited(issue, actor=app.actor, now=app.now()) if changed else None
    if note:
        tell(context.output, note)


@click.command("set")
@issue_argument
@click.argument("assignments", metavar="FIELD=VALUE...", nargs=-1, required=True)
@pass_context
def set_words(context: Context, issue_name: str, assignments: tuple[str, ...]) -> None:
    """Set words of an issue, or of a block by its number.

    Of the issue: subject, preheader, language. Of an item: headline, blurb (Markdown), audience (a segment). An empty
    value goes back to the item's own words.

    Example: newsletter issue set 2026-11 subject="Our news" 12.headline="Join us" 12.audience="town = 'Dudley'"
    """
    from newsletter.compose.fields import set_fields

    with editing(context, issue_name) as (session, issue):
        names = set_fields(issue, assignments, check_segment=lambda text: _check_segment(context.app, session, text))
        slug = issue.slug
    done(context.output, {"issue": slug, "set": names}, f"Set {', '.join(names)} in {slug}.")


@click.command()
@issue_argument
@click.option("--file", "path", type=click.Path(path_type=Path, allow_dash=True), help="Markdown; - reads input.")
@click.option("--text", help="The letter itself, in Markdown.")
@click.option("--name", help="Who signs it.")
@click.option("--role", help="What they are, such as chair.")
@click.option("--photograph", type=click.Path(path_type=Path), help="A picture file of whoever signs.")
@click.option("--remove", "removing", is_flag=True, help="Take the letter out.")
@pass_context
def letter(
    context: Context,
    issue_name: str,
    path: Path | None,
    text: str | None,
    name: str | None,
    role: str | None,
    photograph: Path | None,
    removing: bool,
) -> None:
    """Set the chair's letter, or print it when nothing is given.

    It is Markdown and may hold {{first_name|friend}}.

    Example: newsletter issue letter 2026-11 --file letter.md --name "Ann Lee" --role Chair
    """
    from newsletter.compose.fields import set_letter

    if path and text is not None:
        raise click.UsageError("Give --file or --text, not both.")
    given: dict[str, Any] = {"letter": _letter_text(path) if path else text, "letter_name": name, "letter_role": role}
    values = {key: value for key, value in given.items() if value is not None}
    if removing:
        values = {"letter": "", "letter_name": "", "letter_role": "", "letter_picture_id": None}
    if not values and photograph is None:
        _print_letter(context, issue_name)
        return
    with editing(context, issue_name) as (session, issue):
        if photograph is not None and not removing:
            values["letter_picture_id"] = _photograph(context.app, session, photograph)
        set_letter(issue, values)
        slug = issue.slug
    words = f"The letter of {slug} is {'gone' if removing else 'set'}."
    done(context.output, {"issue": slug, "letter": not removing}, words)


@click.command()
@issue_argument
@click.argument("items", metavar="[ITEM]...", type=int, nargs=-1)
@click.option("--section", help="Where to. Default: where its kind belongs.")
@click.option("--quote", help="A quotation.")
@click.option("--by", default="", help="Whose quotation it is.")
@click.option("--divider", is_flag=True, help="A thin line.")
@click.option("--button", nargs=2, metavar="LABEL URL", help="A button.")
@pass_context
def add(
    context: Context,
    issue_name: str,
    items: tuple[int, ...],
    section: str | None,
    quote: str | None,
    by: str,
    divider: bool,
    button: tuple[str, str] | None,
) -> None:
    """Add items of the library, or a quotation, a divider, a button.

    Example: newsletter issue add 2026-11 41 42 --section news
    """
    from newsletter.compose import fields
    from newsletter.compose.sections import add_ornament, section_named
    from newsletter.tables import BlockKind

    if not (items or quote or divider or button):
        raise click.UsageError("Say what to add: item numbers, --quote, --divider or --button.")
    with editing(context, issue_name) as (session, issue):
        rules = context.app.config.issue.sections
        added = _add_items(context, session, issue, items, section)
        where = section_named(issue, section, rules) if quote or divider or button else ""
        if quote:
            added.append(add_ornament(issue, BlockKind.QUOTE, where, fields.quotation(quote, by)))
        if button:
            added.append(add_ornament(issue, BlockKind.BUTTON, where, fields.button(*button)))
        if divider:
            added.append(add_ornament(issue, BlockKind.DIVIDER, where, {}))
        session.flush()
        slug, numbers = issue.slug, [block.id for block in added]
    if items:
        fetch_item_pictures(context.app, context.output, items)
    words = f"Added block {', '.join(map(str, numbers))} to {slug}."
    done(context.output, {"issue": slug, "blocks": numbers}, words)


@click.command()
@issue_argument
@click.argument("blocks", metavar="BLOCK...", type=int, nargs=-1, required=True)
@pass_context
def remove(context: Context, issue_name: str, blocks: tuple[int, ...]) -> None:
    """Take blocks out; their items can be proposed again.

    Example: newsletter issue remove 2026-11 12 14
    """
    from newsletter.compose import sections

    with editing(context, issue_name) as (_, issue):
        gone = [block.id for block in sections.remove(issue, blocks)]
        slug = issue.slug
    done(context.output, {"issue": slug, "removed": gone}, f"Took block {', '.join(map(str, gone))} out of {slug}.")


@click.command()
@issue_argument
@click.argument("block_id", metavar="[BLOCK]", type=int, required=False)
@click.option("--to", type=int, metavar="POSITION", help="1 is first. Default: last.")
@click.option("--section", help="To another section.")
@click.option("--sections", "order", metavar="NAME,NAME", help="Put sections in this order instead.")
@pass_context
def move(
    context: Context, issue_name: str, block_id: int | None, to: int | None, section: str | None, order: str | None
) -> None:
    """Move a block within or between sections, or set the order of the sections.

    Example: newsletter issue move 2026-11 12 --to 1, or: newsletter issue move 2026-11 --sections events,news
    """
    from newsletter.compose import sections

    if (block_id is None) == (order is None):
        raise click.UsageError("Give a block with --to or --section, or --sections with the order of the sections.")
    if block_id is not None and to is None and section is None:
        raise click.UsageError(f"Say where block {block_id} goes: --to POSITION or --section NAME.")
    rules = context.app.config.issue.sections
    with editing(context, issue_name) as (_, issue):
        slug = issue.slug
        if block_id is None:
            names = [name.strip() for name in (order or "").split(",") if name.strip()]
            sections.order_sections(issue, names, rules)
            words = f"The sections of {slug}: {', '.join(issue.section_order)}."
        else:
            target = section or sections.find_block(issue, block_id).section
            block = sections.move(issue, block_id, to=to, section=sections.section_named(issue, target, rules))
            words = f"Block {block.id} is number {block.position} of {block.section} in {slug}."
        shown = {s.rule.name: [b.id for b in s.blocks] for s in sections.sections_of(issue, rules)}
    done(context.output, {"issue": slug, "sections": shown}, words)


@click.command()
@issue_argument
@click.argument("blocks", metavar="BLOCK...", type=int, nargs=-1, required=True)
@pass_context
def accept(context: Context, issue_name: str, blocks: tuple[int, ...]) -> None:
    """Take over what changed at the source of an item since it was drafted.

    Example: newsletter issue accept 2026-11 12
    """
    from newsletter.compose import review
    from newsletter.compose.sections import find_block

    with editing(context, issue_name) as (_, issue):
        chosen = [find_block(issue, number) for number in blocks]
        item_ids = [block.item_id for block in chosen if block.item_id]
        changes = {block.id: review.accept(block) for block in chosen}
        slug = issue.slug
    fetch_item_pictures(context.app, context.output, item_ids)
    words = "; ".join(f"block {n}: {', '.join(each) or 'nothing had changed'}" for n, each in changes.items())
    done(context.output, {"issue": slug, "accepted": changes}, f"Accepted in {slug}: {words}.")


def _add_items(
    context: Context, session: Session, issue: Issue, items: tuple[int, ...], section: str | None
) -> list[Block]:
    from newsletter.compose import sections
    from newsletter.compose.digest import check_usable
    from newsletter.compose.library import snapshot
    from newsletter.errors import Conflict, NotFound
    from newsletter.tables import Item

    app, added = context.app, []
    rules = app.config.issue.sections
    for item_id in dict.fromkeys(items):
        item = session.get(Item, item_id)
        if item is None:
            raise NotFound("item", str(item_id), hint="See what there is: newsletter library list")
        if any(block.item_id == item_id for block in issue.blocks):
            raise Conflict(f"'{item.title}' is in {issue.slug} already.")
        check_usable(item, app.now(), app.config.organisation.zone)
        rule = sections.rule_for(item.kind, item.categories, rules)
        name = section or (rule.name if rule else None)
        added.append(sections.add_item(issue, item, snapshot(item), sections.section_named(issue, name, rules)))
    return added


def _check_segment(app: App, session: Session, text: str) -> None:
    from newsletter.predicates import PREDICATES
    from subscribers import segments

    segments.condition(
        session,
        segments.resolve(session, text),
        now=app.now(),
        timezone=app.config.organisation.timezone,
        predicates=PREDICATES,
    )


def _letter_text(path: Path) -> str:
    from newsletter.errors import InvalidValue

    data = sys.stdin.buffer.read(LONGEST_LETTER_BYTES) if str(path) == "-" else path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidValue(f"{path} is not UTF-8 text.", hint="Save it as plain text in UTF-8.") from None


def _photograph(app: App, session: Session, path: Path) -> int:
    from newsletter.compose.pictures import add_picture_file

    picture = add_picture_file(session, path, media=app.workspace.media, now=app.now())
    session.flush()
    return picture.id


def _print_letter(context: Context, name: str) -> None:
    from newsletter.cli.issue_text import issue_document
    from newsletter.compose.issue import find

    with context.app.database.read() as session:
        issue = find(session, name)
        document = issue_document(context.app, issue)["letter"]
    if context.output.as_json:
        context.output.data({"issue": issue.slug, "letter": document})
    elif document is None:
        context.output.note(f"{issue.slug} has no letter yet: newsletter issue letter {issue.slug} --file letter.md")
    else:
        signed = ", ".join(filter(None, (issue.letter_name, issue.letter_role)))
        context.output.show(f"{issue.letter.rstrip()}\n\n{signed}".rstrip())


VERBS = (
    set_words,
    letter,
    add,
    remove,
    move,
    accept,
)
