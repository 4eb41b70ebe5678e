"""`newsletter library`: the posts, events and resources that were gathered, and filling in what sources left open."""

from __future__ import annotations

from typing import Any

import click

from newsletter.cli.main import Context, Verbs, pass_context

_KINDS = ("post", "event", "resource", "past-issue", "notice")
_STATES = ("active", "cancelled", "hidden")


@click.group(cls=Verbs, name="library")
def command() -> None:
    """The posts, events and resources that sources gave.

    Example: newsletter library list --kind event
    """


@command.command(name="list")
@click.option("--kind", type=click.Choice(_KINDS), help="Only this kind.")
@click.option("--state", type=click.Choice(_STATES), help="Only in this state.")
@click.option("--search", default="", metavar="WORDS", help="Only items whose title or summary holds all these words.")
@pass_context
def list_items(context: Context, kind: str | None, state: str | None, search: str) -> None:
    """List items: events by date, then the others, the newest first.

    Example: newsletter library list --kind post --search training
    """
    from newsletter.compose.library_listing import describe_items, find_items
    from newsletter.tables import ItemKind, ItemState

    with context.app.database.read() as session:
        items = find_items(
            session, kind=ItemKind(kind) if kind else None, state=ItemState(state) if state else None, search=search
        )
        rows = describe_items(session, items, context.app.config.organisation.zone)
    _table(
        context,
        rows,
        ["id", "kind", "when", "title", "source", "state", "used_in"],
        empty="Nothing here. Fetch the sources: newsletter source fetch",
    )


@command.command()
@click.argument("item_id", metavar="ID", type=int)
@pass_context
def show(context: Context, item_id: int) -> None:
    """Show all that is known of one item.

    Example: newsletter library show 12
    """
    from newsletter.compose.library_listing import describe_items, get_item

    with context.app.database.read() as session:
        item = get_item(session, item_id)
        row = describe_items(session, [item], context.app.config.organisation.zone)[0]
        row |= {"body_html": item.body_html, "set_by_hand": list(item.set_by_hand), "first_seen": item.first_seen_at}
    if context.output.as_json:
        context.output.data(row)
        return
    for name, value in row.items():
        if value not in (None, "", [], False):
            context.output.show(f"{name.replace('_', ' ')}: {_words(value)}")


@command.command(name="set")
@click.argument("item_id", metavar="ID", type=int)
@click.argument("assignments", metavar="FIELD=VALUE...", nargs=-1, required=True)
@pass_context
def set_item(context: Context, item_id: int, assignments: tuple[str, ...]) -> None:
    """Set fields of an item; sources no longer change them. year=2026 completes a day whose year was unknown.

    Fields: title, summary, url, date, year, starts, ends, timezone, place, booking_url, image_url, image_alt,
    image_credit, authors, categories, kind, state.

    Example: newsletter library set 12 year=2019 place="Carrs Lane"
    """
    from newsletter.compose.library_editing import set_fields
    from newsletter.compose.library_listing import describe_items, get_item

    values = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"'{assignment}' is not FIELD=VALUE.")
        values[name] = value
    app = context.app
    zone = app.config.organisation.zone
    with app.database.write() as session:
        item = get_item(session, item_id)
        names = set_fields(item, values, zone=zone, now=app.now())
        session.flush()
        row = describe_items(session, [item], zone)[0]
    if context.output.as_json:
        context.output.data(row)
    left = f" Still missing: {', '.join(row['missing'])}." if row["missing"] else ""
    context.output.note(f"Set {', '.join(names)} of item {item_id}.{left}")


@command.command()
@pass_context
def missing(context: Context) -> None:
    """List what sources left open, for you to fill in.

    Example: newsletter library missing
    """
    from newsletter.compose.library_listing import describe_items, find_items

    with context.app.database.read() as session:
        items = find_items(session, gaps_at=context.app.now())
        rows = describe_items(session, items, context.app.config.organisation.zone)
    _table(context, rows, ["id", "kind", "title", "missing", "stated"], empty="Nothing is missing.")
    if rows:
        context.output.note("Fill in with, for example: newsletter library set ID year=2026")


def _table(context: Context, rows: list[dict[str, Any]], columns: list[str], *, empty: str) -> None:
    if not context.output.as_json:
        rows = [{**row, "when": _when(row), "state": _unusual(row["state"])} for row in rows]
    context.output.table(rows, columns, empty=empty)


def _unusual(state: str) -> str:
    """Say nothing of the usual state: the room is the title's."""
    return "" if state == "active" else state


def _when(row: dict[str, Any]) -> str:
    moment: str | None = row["starts"] if row["kind"] == "event" else row["published"]
    if moment is None:
        return str((row["stated"] or {}).get("day", ""))
    return moment[:16].replace("T", " ") if row["kind"] == "event" else moment[:10]


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {entry}" for name, entry in value.items() if entry is not None)
    return str(value)
