"""The verbs of `newsletter subscribers` that read and write files: import and export."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.list_text import basis_option, collected_option, evidence_option
from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from newsletter.app import App
    from newsletter.cli.output import Output
    from subscribers.importing import ImportResult
    from subscribers.tables import ImportBatch


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


@click.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--list", "list_name", required=True, metavar="NAME", help="The list that they join.")
@basis_option
@evidence_option
@collected_option
@click.option("--map", "pairs", multiple=True, metavar="COLUMN=FIELD", help="What a column is. May be repeated.")
@click.option("--dry-run", is_flag=True, help="Count what would happen; change nothing.")
@pass_context
def import_people(
    context: Context,
    file: Path,
    list_name: str,
    basis: str,
    evidence: str,
    collected_at: datetime | None,
    pairs: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Import people from a CSV, TSV, Excel or OpenDocument file onto a list.

    Columns are recognised by their headings; others become attributes. Fields for --map: address, name,
    first_name, last_name, language, timezone, tags, joined, status, ignore, or an attribute's name. A row that
    cannot be used goes into an error file with the reason; nobody who left is brought back.

    Example: newsletter subscribers import members.csv --list members --basis consent --evidence "forms of 2026"
    """
    from newsletter.cli.list_text import day_of, declare_attributes, evidence_of
    from subscribers.columns import parse_mapping
    from subscribers.importing import import_file
    from subscribers.tables import Basis

    app, output = context.app, context.output
    if app.config.attributes:
        with app.database.write() as session:
            declare_attributes(app, session)
    app.workspace.outbox.mkdir(parents=True, exist_ok=True)
    mapping = parse_mapping(pairs)
    if not _confirm_columns(output, file, mapping, ask=not dry_run):
        raise click.Abort
    evidence = evidence if dry_run else evidence_of(context, basis, evidence)
    with output.progress("Importing", None) as bar:
        result = import_file(
            app.database,
            file,
            list_name=list_name,
            basis=Basis(basis),
            evidence=evidence,
            actor=app.actor,
            pepper=app.keys.pepper,
            now=app.now(),
            mapping=mapping,
            dry_run=dry_run,
            progress=lambda done, total: bar.update(done, total=total),
            errors_folder=app.workspace.outbox,
            charity_number=app.config.organisation.charity_number,
            collected_on=day_of(collected_at),
            audited=lambda session, batch: _audit_import(app, session, batch, list_name),
        )
    if output.as_json:
        output.data(result.to_json())
    else:
        _tell(output, result, dry_run)


def _audit_import(app: App, session: Session, batch: ImportBatch, list_name: str) -> None:
    from newsletter.audit import Action

    action, counts = Action.IMPORT_DONE, {**batch.counts}
    if batch.finished_at is None:
        action, counts = Action.IMPORT_BEGUN, {"rows_done": batch.rows_done}
    basis = batch.basis.value
    app.audit.record(session, action, f"import {batch.id}", list=list_name, basis=basis, details=counts)


def _confirm_columns(output: Output, file: Path, said: dict[str, str], *, ask: bool) -> bool:
    """Say what each column is taken for, before anything is written; on a terminal ask, unless it was said."""
    from subscribers.columns import map_columns
    from subscribers.tabular import Table

    columns = Table(file).columns
    mapping = map_columns(columns, said).to_json(columns)
    told = [f"{column} is {mapping.get(column, 'ignored')}" for column in columns if column]
    output.note("Columns: " + ", ".join(told) + ".")
    if not ask or not output.asks or said.keys() >= set(mapping):
        return True
    output.note("Another meaning is given with: --map COLUMN=FIELD")
    return output.confirm("Is that right?")


def _tell(output: Output, result: ImportResult, dry_run: bool) -> None:
    from newsletter.cli.list_text import lines

    title = "Dry run: nothing was changed." if dry_run else f"Import {result.batch}"
    if result.continued_at:
        title += f", continued after row {result.continued_at:,}"
    counts: dict[str, Any] = {
        name: f"{getattr(result, name):,}" for name in ("read", "new", "changed", "unchanged", "refused", "suppressed")
    }
    output.show(f"{title}\n{lines(counts)}")
    if result.learnt:
        output.note("New attributes: " + ", ".join(f"{name} ({kind})" for name, kind in result.learnt.items()) + ".")
    if result.suppressed:
        output.note("Suppressed: people who unsubscribed, bounced or were erased; they stay out.")
    if result.errors_file:
        output.warn(f"Refused rows, with the reason: {result.errors_file}")
    if result.batch is not None:
        output.note(f"To take it back: newsletter imports undo {result.batch} --reason TEXT")


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
    from newsletter.audit import Action
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
    from subscribers import attributes, exporting

    with app.database.read() as session:
        statement = wanted_people(
            app, session, list_name=chosen["list_name"], segment=chosen["segment"], state=chosen["state"]
        )
        persons = exporting.read_people(session, session.scalars(statement).all(), now=app.now())
        if as_lines:
            return exporting.write_json_lines(out, persons)
        return exporting.write_csv(out, persons, list(attributes.definitions(session)), raw=raw)


VERBS = (import_people, export)
