"""`newsletter imports`: what was imported, by whom, on which basis; and taking it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.main import Context, Verbs, pass_context

if TYPE_CHECKING:
    from subscribers.tables import ImportBatch


@click.group(cls=Verbs, name="imports")
def command() -> None:
    """Imports of people: each is a batch that can be looked at and undone.

    Example: newsletter imports list
    """


def _facts(batch: ImportBatch, list_name: str) -> dict[str, Any]:
    from subscribers.imports import batches

    return {
        "batch": batch.id,
        "file": batch.file_name,
        "list": list_name,
        "state": batches.state(batch),
        "started": batch.started_at,
        "actor": batch.actor,
        "basis": batch.basis.value,
        "evidence": batch.evidence,
        **batch.counts,
    }


@command.command(name="list")
@pass_context
def list_imports(context: Context) -> None:
    """Show the imports, the newest first.

    Example: newsletter imports list --json
    """
    from subscribers.imports import batches

    with context.app.database.read() as session:
        rows = [_facts(batch, name) for batch, name in batches.all_batches(session)]
    columns = ["batch", "started", "file", "list", "state", "new", "changed", "refused", "suppressed"]
    empty = "Nothing was imported yet: newsletter subscribers import FILE --list NAME --basis BASIS --evidence TEXT"
    context.output.table(rows, columns, empty=empty)


@command.command()
@click.argument("batch", type=int)
@pass_context
def show(context: Context, batch: int) -> None:
    """Show one import: counts, columns, basis and evidence.

    Example: newsletter imports show 3
    """
    from newsletter.cli.list_text import lines
    from subscribers.imports import batches
    from subscribers.tables import MailingList

    with context.app.database.read() as session:
        found = batches.get(session, batch)
        name = session.get_one(MailingList, found.list_id).name
        facts = {
            **_facts(found, name),
            "finished": found.finished_at,
            "undone": found.undone_at,
            "forgotten": found.forgotten_at,
            "kept_out": found.kept_out,
            "sha256": found.file_sha256,
            "columns": found.mapping,
        }
    if context.output.as_json:
        context.output.data(facts)
    else:
        context.output.show(lines(facts))


@command.command()
@click.argument("batch", type=int)
@click.option("--reason", required=True, metavar="TEXT", help="Why; it goes into the ledger.")
@pass_context
def undo(context: Context, batch: int, reason: str) -> None:
    """Take an import back; what was changed since stays, and is listed.

    Example: newsletter imports undo 3 --reason "wrong list"
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import people_words
    from subscribers.imports import batches

    with context.app.database.read() as session:
        found = batches.get(session, batch)
        readers = batches.later_readers(session, found)
        number = found.counts.get("new", 0) + found.counts.get("changed", 0)
    for later in readers:
        context.output.warn(
            f"Import {later} found people as they were, perhaps by this one: import its file again after the undo."
        )
    if not context.output.confirm(f"Undo import {batch} ({found.file_name}, {people_words(number)})?"):
        return
    with context.app.database.write() as session:
        result = batches.undo(
            session, batches.get(session, batch), actor=context.app.actor, why=reason, at=context.app.now()
        )
        counts = {"removed": result.removed, "restored": result.restored, "kept": len(result.kept)}
        context.app.audit.record(session, Action.IMPORT_UNDONE, f"import {batch}", details=counts)
    kept = [{"address": address, "reason": why} for address, why in result.kept]
    counts = {"removed": result.removed, "restored": result.restored, "lifted": result.lifted}
    if context.output.as_json:
        context.output.data({"batch": batch, **counts, "kept": kept})
        return
    context.output.note(f"Removed {people_words(result.removed)}, put back {people_words(result.restored)}.")
    if result.lifted:
        context.output.note(f"Lifted {result.lifted:,} suppressions that only this file had shown.")
    if kept:
        context.output.note("What the import said of consent is taken back. Left, because of what came after it:")
        context.output.table(kept, ["address", "reason"], empty="")
