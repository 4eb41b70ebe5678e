"""`newsletter suppressions`: who is never mailed, since when and why."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.list_text import limit_option, offset_option
from newsletter.cli.main import Context, Verbs, pass_context

if TYPE_CHECKING:
    from subscribers.tables import Suppression


@click.group(cls=Verbs, name="suppressions")
def command() -> None:
    """Addresses and domains that are never mailed.

    Example: newsletter suppressions list
    """


def _row(entry: Suppression, list_name: str | None) -> dict[str, Any]:
    return {
        "address": f"*@{entry.domain}" if entry.domain else entry.address,
        "scope": list_name or "all",
        "reason": entry.reason,
        "since": entry.since,
        "evidence": entry.evidence,
        "expires": entry.expires_at,
    }


@command.command(name="list")
@click.option("--all", "lifted", is_flag=True, help="Lifted and expired ones too.")
@limit_option
@offset_option
@pass_context
def list_suppressions(context: Context, lifted: bool, limit: int | None, offset: int) -> None:
    """Show who is not mailed; an erased person has no address any more.

    Example: newsletter suppressions list --limit 50
    """
    from subscribers import suppression

    with context.app.database.read() as session:
        statement = suppression.entries(now=context.app.now(), lifted=lifted).limit(limit).offset(offset)
        found = [(entry.id, _row(entry, name)) for entry, name in session.execute(statement)]
    if context.output.as_json:
        context.output.data([row for _, row in found])
        return
    rows = [{"id": number, **row, "address": row["address"] or "(erased)"} for number, row in found]
    columns = ["id", "address", "scope", "reason", "since", "evidence", "expires"]
    context.output.table(rows, columns, empty="Nobody is suppressed.")


@command.command()
@click.argument("what", metavar="ADDRESS_OR_DOMAIN")
@click.option("--list", "list_name", metavar="LIST", help="Only for this list; default: all.")
@click.option("--reason", default="by hand", show_default=True, metavar="WORDS", help="A short word.")
@click.option("--evidence", required=True, metavar="TEXT", help="What shows it, for example a letter.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Last day; default: for ever.")
@pass_context
def add(context: Context, what: str, list_name: str | None, reason: str, evidence: str, until: datetime | None) -> None:
    """Never mail an address, or a domain and those below it.

    Example: newsletter suppressions add ann@example.org --evidence "telephone call of 2 November"
    """
    from datetime import timedelta

    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from subscribers import lists, suppression

    app = context.app
    address = what if "@" in what.lstrip("@") and not what.startswith("*@") else None
    expires = (until + timedelta(days=1)).replace(tzinfo=app.config.organisation.zone) if until else None
    with app.database.write() as session:
        list_id = lists.get(session, list_name).id if list_name else None
        entry = suppression.suppress(
            session,
            pepper=app.keys.pepper,
            address=address,
            domain=None if address else what.removeprefix("*"),
            list_id=list_id,
            reason=reason,
            evidence=evidence,
            at=app.now(),
            expires_at=expires,
        )
        app.audit.record(
            session,
            Action.SUPPRESSION_ADDED,
            f"suppression {entry.id}",
            person=entry.address_hash,
            list=list_name,
            whole_domain=entry.domain is not None,
        )
    row = _row(entry, list_name)
    done(context.output, row, f"{row['address']} is not mailed any more ({row['scope']}).")


@command.command()
@click.argument("what", metavar="ADDRESS_OR_DOMAIN_OR_ID")
@click.option("--reason", required=True, metavar="TEXT", help="Why they may be mailed again.")
@pass_context
def lift(context: Context, what: str, reason: str) -> None:
    """End a suppression; its line stays with who lifted it and why.

    Example: newsletter suppressions lift ann@example.org --reason "mailbox works again, by telephone"
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from subscribers import suppression

    app = context.app
    with app.database.write() as session:
        found = suppression.find(session, pepper=app.keys.pepper, what=what, now=app.now())
        for entry in found:
            suppression.lift(session, entry, by=app.actor, why=reason, at=app.now())
        for entry in found:
            app.audit.record(session, Action.SUPPRESSION_LIFTED, f"suppression {entry.id}", person=entry.address_hash)
    reasons = [entry.reason for entry in found]
    done(context.output, {"lifted": len(found), "reasons": reasons}, f"Lifted for {what}: {', '.join(reasons)}.")


@command.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reason", default="imported", show_default=True, metavar="WORDS", help="For rows that give none.")
@click.option("--evidence", required=True, metavar="TEXT", help="Where the file comes from.")
@pass_context
def import_file(context: Context, file: Path, reason: str, evidence: str) -> None:
    """Suppress every address, domain or hash of a file.

    Example: newsletter suppressions import bounced.csv --reason "hard bounce" --evidence "old system, 2025"
    """
    from newsletter.audit.log import Action
    from subscribers.suppression_files import import_suppressions

    app = context.app
    with app.database.write() as session:
        result = import_suppressions(
            session, file, pepper=app.keys.pepper, reason=reason, evidence=evidence, at=app.now()
        )
        counts = {"read": result.read, "added": result.added, "refused": len(result.refused)}
        app.audit.record(session, Action.SUPPRESSIONS_IMPORTED, "suppressions", details=counts)
    refused = [{"row": number, "reason": why} for number, why in result.refused]
    if context.output.as_json:
        context.output.data({"read": result.read, "added": result.added, "known": result.known, "refused": refused})
        return
    context.output.note(
        f"Read {result.read:,}: added {result.added:,}, known {result.known:,}, refused {len(refused):,}."
    )
    if refused:
        context.output.table(refused, ["row", "reason"], empty="")


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, writable=True, path_type=Path))
@pass_context
def export(context: Context, file: Path) -> None:
    """Write the suppressions to a CSV file; erased people appear as keyed hashes only.

    Example: newsletter suppressions export suppressions.csv
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_files import private_file
    from newsletter.cli.list_text import done
    from subscribers import suppression
    from subscribers.suppression_files import export_suppressions

    with context.app.database.write() as session:
        context.app.audit.record(session, Action.EXPORT_SUPPRESSIONS, "suppressions")
    with context.app.database.read() as session, private_file(file) as out:
        rows = [(entry, name) for entry, name in session.execute(suppression.entries(now=context.app.now()))]
        number = export_suppressions(out, rows)
    done(context.output, {"file": str(file), "written": number}, f"Wrote {number:,} suppressions to {file}.")
