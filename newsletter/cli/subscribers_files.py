"""`newsletter subscribers export`, and whom the options of `list` and `export` mean."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from newsletter.app import App


def wanted_people(
    app: App,
    session: Session,
    *,
    list_name: str | None,
    segment: str | None,
    search: str = "",
    state: str | None = None,
) -> Select[int]:
    """Return the statement for the people that the options of `list` and `export` name."""
    from newsletter.predicates import PREDICATES
    from subscribers import exporting, lists, segments

    condition = None
    if segment:
        condition = segments.condition(
            session,
            segments.resolve(session, segment),
            now=app.now(),
            timezone=app.config.organisation.timezone,
            predicates=PREDICATES,
        )
    list_id = lists.get(session, list_name).id if list_name else None
    return exporting.select_people(now=app.now(), list_id=list_id, state=state, search=search, condition=condition)


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, writable=True, path_type=Path))
@click.option("--list", "list_name", metavar="LIST", help="Only people of this list.")
@click.option("--segment", metavar="SEGMENT", help="Only people of this segment; a name or an expression.")
@click.option("--state", type=click.Choice(("subscribed", "pending", "unsubscribed", "suppressed", "none")))
@click.option("--format", "shape", type=click.Choice(("csv", "jsonl")), help="Default: by the file's ending, else csv.")
@click.option("--raw", is_flag=True, help="Do not guard cells that a spreadsheet would run as formulas.")
@click.option("--person", metavar="ADDRESS", help="All that is held about one person, for a request for access.")
@pass_context
def export(
    context: Context,
    file: Path | None,
    list_name: str | None,
    segment: str | None,
    state: str | None,
    shape: str | None,
    raw: bool,
    person: str | None,
) -> None:
    """Write people to a file, or to standard output.

    With --person: everything about one person as JSON, or as a page when the file ends in .html.

    Example: newsletter subscribers export dudley.csv --segment "town = 'Dudley'"
    """
    from newsletter.cli.list_files import private_file
    from newsletter.cli.list_text import people_words

    if person is not None:
        from newsletter.cli.subscribers_access import export_person

        export_person(context, person, file)
        return
    if file is not None and "@" in file.name and file.suffix not in (".csv", ".jsonl"):
        raise click.UsageError(f"'{file}' is an address. All that is held about one person: --person {file}")
    _audit_export(context.app, list_name=list_name, segment=segment, state=state)
    lines = (shape or ("jsonl" if file and file.suffix == ".jsonl" else "csv")) == "jsonl"
    chosen = {"list_name": list_name, "segment": segment, "state": state}
    if file is None:
        _export(context.app, sys.stdout, chosen, as_lines=lines, raw=raw)
        return
    with private_file(file, bom=not lines) as out:
        number = _export(context.app, out, chosen, as_lines=lines, raw=raw)
    if context.output.as_json:
        context.output.data({"file": str(file), "written": number})
    else:
        context.output.note(f"Wrote {people_words(number)} to {file}; only you can read it.")


def _audit_export(app: App, *, list_name: str | None, segment: str | None, state: str | None) -> None:
    """Record an export before anything leaves: whom it is about, and how many."""
    from newsletter.audit.log import Action
    from subscribers import exporting
    from subscribers.naming import is_slug

    with app.database.read() as session:
        number = exporting.count(
            session, wanted_people(app, session, list_name=list_name, segment=segment, state=state)
        )
    # An expression may hold a name or an address, which no entry may.
    shown = segment if segment is None or is_slug(segment) else "(an expression)"
    chosen = {"list": list_name, "segment": shown, "state": state}
    with app.database.write() as session:
        given = {name: value for name, value in chosen.items() if value}
        app.audit.record(session, Action.EXPORT, "people", people=number, details=given)


def _export(app: App, out: Any, chosen: dict[str, str | None], *, as_lines: bool, raw: bool) -> int:
    from subscribers import attributes, exporting, lists

    with app.database.read() as session:
        statement = wanted_people(
            app, session, list_name=chosen["list_name"], segment=chosen["segment"], state=chosen["state"]
        )
        list_id = lists.get(session, chosen["list_name"]).id if chosen["list_name"] else None
        ids = session.scalars(statement).all()
        persons = exporting.read_people(session, ids, now=app.now(), state_on=list_id)
        if as_lines:
            return exporting.write_json_lines(out, persons)
        return exporting.write_csv(out, persons, list(attributes.definitions(session)), raw=raw)


VERBS = (export,)
