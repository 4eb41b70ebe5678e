"""`newsletter audit`: who did what and when, and whether the log of it is whole."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.list_text import limit_option, offset_option
from newsletter.cli.main import EXIT_FAILED, Context, Verbs, pass_context

if TYPE_CHECKING:
    from newsletter.audit.verifying import Verdict
    from newsletter.tables import AuditEntry

MOST_SHOWN = 50


@click.group(cls=Verbs)
def command() -> None:
    """Who did what, and when; and whether the log of it is whole.

    Example: newsletter audit list --since 2026-11-01
    """


@command.command(name="list")
@click.option("--action", default="", metavar="WORD", help="Only this, such as send.started, or a group such as send.")
@click.option("--actor", default="", metavar="NAME", help="Only what this person did.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Only from this day on.")
@click.option("--person", default="", metavar="ADDRESS", help="Only what was about this person.")
@limit_option
@offset_option
@pass_context
def list_entries(
    context: Context, action: str, actor: str, since: datetime | None, person: str, limit: int | None, offset: int
) -> None:
    """Show what was done, the newest first; people appear as keyed hashes only.

    Example: newsletter audit list --action export --since 2026-11-01
    """
    from newsletter.audit.log import Wanted, entries

    app = context.app
    _check_action(action)
    begins = since.replace(tzinfo=app.config.organisation.zone) if since else None
    wanted = Wanted(action=action, actor=actor, since=begins, persons=_hashes(context, person))
    most = limit or (None if context.output.as_json else MOST_SHOWN)
    with app.database.read() as session:
        found, total = entries(session, wanted, most=most, offset=offset)
    if context.output.as_json:
        context.output.data([_document(entry) for entry in found])
        return
    rows = [_row(entry, app.config.organisation.zone) for entry in found]
    context.output.table(rows, ["number", "at", "actor", "action", "what"], empty="Nothing was done that fits.")
    if found and total > len(found):
        more = f"; go on with --offset {offset + len(found)}" if offset + len(found) < total else ""
        context.output.note(f"{len(found):,} of {total:,}, from number {offset + 1:,}{more}")


@command.command()
@pass_context
def verify(context: Context) -> int:
    """Walk the whole log, and tell whether an entry was changed, removed, put in, or cut off at the end.

    The workspace's key and the file audit-anchor are what it is held against. It ends with code 1 when something is
    wrong.

    Example: newsletter audit verify
    """
    from newsletter.audit.anchor import Anchor
    from newsletter.audit.log import walk
    from newsletter.audit.verifying import verify as verify_chain

    app, anchor = context.app, Anchor(context.app.workspace.audit_anchor)
    with app.database.read() as session:
        held = anchor.read()
        verdict = verify_chain(walk(session), app.keys.audit, held)
    if verdict.is_whole and verdict.count:
        anchor.move_to(verdict.end)
    if context.output.as_json:
        context.output.data(_verdict_document(verdict, anchored=held is not None))
    else:
        _tell(context, verdict, anchored=held is not None)
    return 0 if verdict.is_whole else EXIT_FAILED


def _tell(context: Context, verdict: Verdict, *, anchored: bool) -> None:
    output = context.output
    if verdict.is_whole:
        output.show(f"The log is whole: {verdict.count:,} entries, each follows the one before it.")
        if not anchored:
            output.warn("This workspace held no anchor, so entries cut off at the end before now would not show.")
        return
    output.show(f"The log is not whole. Of {verdict.count:,} entries that are there:")
    for flaw in verdict.flaws:
        output.show(f"  {flaw.words}")
    if verdict.more:
        output.show(f"  and {verdict.more:,} more.")
    output.note("Keep this database as it is, and compare it with your backups.")
    output.note("If you have put back a backup yourself: newsletter db adopt --restored")


def _verdict_document(verdict: Verdict, *, anchored: bool) -> dict[str, Any]:
    flaws = [{"kind": f.kind.value, "first": f.first, "last": f.last, "message": f.words} for f in verdict.flaws]
    return {
        "whole": verdict.is_whole,
        "entries": verdict.count,
        "anchored": anchored,
        "flaws": flaws,
        "more": verdict.more,
    }


def _check_action(action: str) -> None:
    from newsletter.audit.log import Action
    from newsletter.errors import NotFound
    from subscribers.naming import nearest

    known = {each.value for each in Action} | {each.value.partition(".")[0] for each in Action}
    if action and action not in known:
        hint = nearest(action, known) or f"Groups: {', '.join(sorted(name for name in known if '.' not in name))}."
        raise NotFound("action", action, hint=hint)


def _hashes(context: Context, address: str) -> list[bytes]:
    """Return the hashes that entries about somebody may carry: of this address, and of those that they had before."""
    from subscribers import people
    from subscribers.addresses import parse_address
    from subscribers.tokens import address_hash

    if not address:
        return []
    digest = address_hash(context.app.keys.pepper, parse_address(address).key)
    with context.app.database.read() as session:
        found = people.find_or_none(session, address)
        return sorted({digest, *(people.hashes_of(session, found.id) if found else ())})


def _row(entry: AuditEntry, zone: Any) -> dict[str, Any]:
    who = f" {entry.person.hex()[:8]}" if entry.person is not None else ""
    told = {name: value for name, value in entry.details.items() if value}
    details = ", ".join(f"{name.replace('_', ' ')} {_word(value)}" for name, value in told.items())
    return {
        "number": entry.number,
        "at": entry.at.astimezone(zone),
        "actor": entry.actor,
        "action": entry.action,
        "what": f"{entry.subject}{who}" + (f": {details}" if details else ""),
    }


def _word(value: Any) -> str:
    if value is True:
        return "yes"
    if isinstance(value, list):
        return " ".join(map(str, value))
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text  # a hash


def _document(entry: AuditEntry) -> dict[str, Any]:
    names = ("number", "at", "actor", "action", "subject", "details")
    return {
        **{name: getattr(entry, name) for name in names},
        "person": entry.person.hex() if entry.person is not None else None,
        "code": entry.code.hex(),
    }
