"""`subscribers export --person`: everything held about one person, for a request for access."""

from __future__ import annotations

from pathlib import Path

from newsletter.cli.list_files import private_file
from newsletter.cli.main import Context


def export_person(context: Context, address: str, file: Path | None) -> None:
    """Write what is held about one person: record, lists, ledger, suppressions and every copy sent."""
    from newsletter.subject_access import as_json, as_page, held_about
    from subscribers import people

    app = context.app
    with app.database.read() as session:
        held = held_about(session, people.find(session, address), now=app.now())
    if file is None:
        context.output.data(held)
        return
    with private_file(file, bom=False) as out:
        out.write(as_page(held) if file.suffix == ".html" else as_json(held))
    context.output.note(f"Wrote all that is held about {address} to {file}; only you can read it.")
