"""`newsletter subscribers import`: what the columns mean is shown and agreed before anybody is put on a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.list_text import basis_option, collected_option, evidence_option
from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.app import App
    from newsletter.cli.output import Output
    from subscribers.imports.diff import Difference
    from subscribers.imports.importing import ImportResult
    from subscribers.imports.reading import Source
    from subscribers.tables import ImportBatch, ImportProfile

SHOWN_DIFFERENCES = 20


@click.command(name="import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--list", "list_name", required=True, metavar="NAME", help="The list that they join.")
@basis_option
@evidence_option
@collected_option
@click.option(
    "--conditions",
    default="",
    metavar="TEXT",
    help="Soft opt-in: how its conditions are met (given directly, interest shown, a way to refuse); else it is asked.",
)
@click.option("--from", "system", type=click.Choice(("listmonk", "mailchimp", "mailman")), help="Whose export it is.")
@click.option(
    "--state",
    type=click.Choice(("subscribed", "unsubscribed", "bounced")),
    help="What everybody in the file is, where the file does not say it; who left stays out.",
)
@click.option("--map", "pairs", multiple=True, metavar="COLUMN=FIELD", help="What a column is. May be repeated.")
@click.option("--profile", metavar="NAME", help="Take the columns as this profile says.")
@click.option("--save-profile", metavar="NAME", help="Keep what the columns mean under this name.")
@click.option("--dry-run", is_flag=True, help="Say what would change for whom; change nothing.")
@click.option("--diff", "whole_diff", is_flag=True, help="With --dry-run: every change, not the first few.")
@pass_context
def import_people(
    context: Context,
    files: tuple[Path, ...],
    list_name: str,
    basis: str,
    evidence: str,
    collected_at: datetime | None,
    conditions: str,
    system: str | None,
    state: str | None,
    pairs: tuple[str, ...],
    profile: str | None,
    save_profile: str | None,
    dry_run: bool,
    whole_diff: bool,
) -> None:
    """Import people from a CSV, TSV, Excel or OpenDocument file onto a list.

    Columns are recognised by their headings; others become attributes. Fields for --map: address, name,
    first_name, last_name, language, timezone, tags, joined, status, opted_out, evidence, ignore, or an attribute's
    name. A row that cannot be used, or does not say that its person agreed, goes into an error file with the reason;
    nobody who left is brought back.

    Example: newsletter subscribers import members.csv --list members --basis consent --evidence "forms of 2026"
    """
    from newsletter.cli.list_text import day_of, declare_attributes, evidence_of
    from subscribers.imports.columns import parse_mapping
    from subscribers.imports.importing import import_file
    from subscribers.tables import Basis

    app, output = context.app, context.output
    if app.config.attributes:
        with app.database.write() as session:
            declare_attributes(app, session)
    app.workspace.outbox.mkdir(parents=True, exist_ok=True)
    if conditions and basis != "soft-opt-in":
        raise click.UsageError("--conditions are those of --basis soft-opt-in.")
    kept = _of_profile(app, profile)
    stated = (conditions, app.actor) if conditions else (kept.conditions, kept.stated_by) if kept else ("", "")
    said = {**(kept.mapping if kept else {}), **parse_mapping(pairs)}
    sources = _opened(files, system, state)
    for source in sources:
        if not _agree_on_columns(output, source, said, ask=not dry_run, agreed=profile is not None):
            raise click.Abort
    evidence = evidence if dry_run else evidence_of(context, basis, evidence, *stated)
    documents = []
    for source in sources:
        diff = _Diff(whole=whole_diff)
        with output.progress(f"Importing {source.path.name}" if len(sources) > 1 else "Importing", None) as bar:
            result = import_file(
                app.database,
                source,
                list_name=list_name,
                basis=Basis(basis),
                evidence=evidence,
                actor=app.actor,
                pepper=app.keys.pepper,
                now=app.now(),
                mapping=said,
                dry_run=dry_run,
                differs=diff.take,
                progress=lambda done, total: bar.update(done, total=total),
                errors_folder=app.workspace.outbox,
                charity_number=app.config.organisation.charity_number,
                collected_on=day_of(collected_at),
                audited=lambda session, batch: _audit(app, session, batch, list_name),
            )
        documents.append({**result.to_json(), **diff.to_json(dry_run=dry_run)})
        if not output.as_json:
            _tell(output, result, diff, source.path.name if len(sources) > 1 else "")
    if save_profile is not None and not dry_run:
        _save_profile(app, output, save_profile, sources[0], said, stated)
    if output.as_json:
        output.data(documents if len(documents) > 1 else documents[0])


def _audit(app: App, session: Session, batch: ImportBatch, list_name: str) -> None:
    """Record that an import has begun or gone on, and what came of it."""
    from newsletter.audit.log import Action

    action, counts = Action.IMPORT_DONE, {**batch.counts}
    if batch.finished_at is None:
        action, counts = Action.IMPORT_BEGUN, {"rows_done": batch.rows_done}
    basis = batch.basis.value
    app.audit.record(session, action, f"import {batch.id}", list=list_name, basis=basis, details=counts)


def _of_profile(app: App, name: str | None) -> ImportProfile | None:
    from subscribers.imports import profiles

    if name is None:
        return None
    with app.database.read() as session:
        return profiles.get(session, name)


def _opened(files: Sequence[Path], system: str | None, state: str | None) -> list[Source]:
    """Open the files; those of people who left come first, so that nobody joins who is in both."""
    from subscribers.imports.peers import Export, State, read_export, stated
    from subscribers.imports.tabular import Table

    stands = State(state) if state else None
    opened: list[Source] = []
    for path in files:
        if system is not None:
            opened.append(read_export(system, path, stands))
        else:
            opened.append(stated(Table(path), stands) if stands else Table(path))
    return sorted(opened, key=lambda source: not (isinstance(source, Export) and source.holds_leavers))


def _agree_on_columns(output: Output, source: Source, said: dict[str, str], *, ask: bool, agreed: bool) -> bool:
    """Say what each column is taken for, before anything is written; ask on a terminal, and wherever it is in doubt."""
    from subscribers.imports.columns import doubtful, map_columns
    from subscribers.imports.peers import Export

    columns = [column for column in source.columns if column]
    known = {**source.meaning, **said} if isinstance(source, Export) else said
    mapping = map_columns(source.columns, known).to_json(source.columns)
    told = [f"{column} is {mapping.get(column, 'ignored')}" for column in columns]
    output.note(f"Columns of {source.path.name}: " + ", ".join(told) + ".")
    doubts = doubtful(source.columns, known)
    for name, several in doubts.items():
        others = " or ".join(f"'{column}'" for column in several)
        output.warn(f"Not clear which column is {name}: {others}. Say it with: --map '{several[0]}={name}'")
    if not ask:
        return True
    if doubts:
        return output.confirm("Import with the columns as shown?")
    if agreed or not output.asks or known.keys() >= set(mapping):
        return True
    output.note("Another meaning is given with: --map COLUMN=FIELD")
    return output.confirm("Is that right?")


def _save_profile(
    app: App, output: Output, name: str, source: Source, said: Mapping[str, str], stated: tuple[str, str]
) -> None:
    from subscribers.imports import profiles
    from subscribers.imports.columns import map_columns
    from subscribers.imports.peers import Export

    known = {**source.meaning, **said} if isinstance(source, Export) else said
    mapping = map_columns(source.columns, known).to_json(source.columns)
    with app.database.write() as session:
        columns = profiles.whole(source.columns, mapping)
        profiles.save(session, name, columns, at=app.now(), conditions=stated[0], stated_by=stated[1])
    output.note(f"Saved; next time: newsletter subscribers import FILE --profile {name}")


@dataclass
class _Diff:
    """The differences that a dry run found: all of them, or the first few of each kind."""

    whole: bool
    kept: list[Difference] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)

    def take(self, difference: Difference) -> None:
        seen = self.counted.get(difference.what, 0)
        self.counted[difference.what] = seen + 1
        if self.whole or seen < SHOWN_DIFFERENCES:
            self.kept.append(difference)

    def to_json(self, *, dry_run: bool) -> dict[str, Any]:
        return {"diff": [one.to_json() for one in self.kept]} if self.whole and dry_run else {}


def _tell(output: Output, result: ImportResult, diff: _Diff, name: str) -> None:
    from newsletter.cli.import_text import difference_lines
    from newsletter.cli.list_text import lines

    title = "Dry run: nothing was changed." if result.batch is None else f"Import {result.batch}"
    title = f"{name}: {title}" if name else title
    if result.continued_at:
        title += f", continued after row {result.continued_at:,}"
    counts: dict[str, Any] = {
        name: f"{getattr(result, name):,}" for name in ("read", "new", "changed", "unchanged", "refused", "suppressed")
    }
    output.show(f"{title}\n{lines(counts)}")
    if diff.kept:
        output.show("\n" + "\n".join(difference_lines(diff.kept, diff.counted)))
    if result.learnt:
        output.note("New attributes: " + ", ".join(f"{name} ({kind})" for name, kind in result.learnt.items()) + ".")
    if result.kept_out:
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(result.kept_out.items()))
        output.note(f"Kept out, and not brought back: {why}.")
    if result.errors_file:
        output.warn(f"Refused rows, with the reason: {result.errors_file}")
    if result.batch is not None:
        output.note(f"To take it back: newsletter imports undo {result.batch} --reason TEXT")
