"""`subscribers export --person`: everything held about one person, to a file that only its owner can read."""

from __future__ import annotations

from pathlib import Path

from newsletter.cli.list_files import private_file
from newsletter.cli.main import Context


def export_person(context: Context, address: str, file: Path | None) -> None:
    """Write what is held about one person; that it was asked for is recorded first."""
    from newsletter.audit.log import Action
    from newsletter.personal_data.subject_access import as_json, held_about
    from newsletter.personal_data.subject_access_page import as_page
    from subscribers.addresses import parse_address
    from subscribers.tokens import address_hash

    app = context.app
    digest = address_hash(app.keys.pepper, parse_address(address).key)
    with app.database.read() as session:
        held_about(app, session, address)  # whom nothing is held about is told before anything is recorded
    with app.database.write() as session:
        app.audit.record(session, Action.EXPORT_PERSON, "person", person=digest)
    with app.database.read() as session:
        held = held_about(app, session, address)
    if file is None:
        context.output.data(held)
        return
    with private_file(file, bom=False) as out:
        is_page = file.suffix.lower() in (".html", ".htm")
        out.write(as_page(held, name=app.config.organisation.name, at=app.now()) if is_page else as_json(held))
    context.output.note(f"Wrote all that is held about {address} to {file}; only you can read it.")
