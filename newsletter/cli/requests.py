"""`newsletter requests`: complaints and requests about somebody's own data, and by when each must be answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.main import Context, Verbs, pass_context

if TYPE_CHECKING:
    from newsletter.tables import PersonRequest

KINDS = ("complaint", "access", "correction", "erasure", "other")


@click.group(cls=Verbs, name="requests")
def command() -> None:
    """Complaints and requests about somebody's own data, and by when each must be answered.

    Example: newsletter requests list
    """


def _row(request: PersonRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "kind": request.kind.value,
        "received": request.received_at,
        "due": request.due_on,
        "way": request.way,
        "contact": request.contact,
        "words": request.words,
        "acknowledged": request.acknowledged_at,
        "acknowledged_by": request.acknowledged_by,
        "closed": request.closed_at,
        "closed_by": request.closed_by,
        "outcome": request.outcome,
    }


@command.command(name="list")
@click.option("--all", "closed", is_flag=True, help="Closed ones too.")
@pass_context
def list_requests(context: Context, closed: bool) -> None:
    """Show what is open, what is due first before the rest.

    Example: newsletter requests list
    """
    from newsletter.personal_data import person_requests

    today = context.app.now().astimezone(context.app.config.organisation.zone).date()
    with context.app.database.read() as session:
        rows = [_row(request) for request in person_requests.listed(session, closed=closed)]
    if context.output.as_json:
        context.output.data(rows)
        return
    shown = [
        {
            "id": row["id"],
            "kind": row["kind"],
            "due": f"{row['due']}{' late' if row['due'] < today and not row['closed'] else ''}",
            "state": "closed" if row["closed"] else "acknowledged" if row["acknowledged"] else "new",
            "contact": row["contact"] or "(erased)",
        }
        for row in rows
    ]
    context.output.table(shown, ["id", "kind", "due", "state", "contact"], empty="Nothing is open.")


@command.command()
@click.argument("number", type=int)
@pass_context
def show(context: Context, number: int) -> None:
    """Show one request with all that it says.

    Example: newsletter requests show 3
    """
    from newsletter.cli.list_text import lines
    from newsletter.personal_data import person_requests

    with context.app.database.read() as session:
        row = _row(person_requests.get(session, number))
    if context.output.as_json:
        context.output.data(row)
    else:
        context.output.show(lines({name: value for name, value in row.items() if value not in (None, "")}))


@command.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--contact", required=True, help="How to reach whoever asks.")
@click.option("--words", default="", help="What they said.")
@click.option("--way", default="letter", help="How it came: letter, telephone, in person.")
@pass_context
def add(context: Context, kind: str, contact: str, words: str, way: str) -> None:
    """Add a request that came by another way than the site.

    Example: newsletter requests add access --contact "1 High Street, Dudley" --way letter
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from newsletter.personal_data import person_requests
    from newsletter.tables import PersonRequestKind

    app = context.app
    with app.database.write() as session:
        made = person_requests.receive(
            session,
            PersonRequestKind(kind),
            contact=contact,
            words=words,
            way=way,
            at=app.now(),
            pepper=app.keys.pepper,
        )
        app.audit.record(session, Action.REQUEST_ADDED, f"request {made.id}", kind=kind)
        row = _row(made)
    done(context.output, row, f"Request {row['id']} must be answered by {row['due']}.")


@command.command()
@click.argument("number", type=int)
@pass_context
def acknowledge(context: Context, number: int) -> None:
    """Note that whoever asked was told that it has arrived.

    Example: newsletter requests acknowledge 3
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from newsletter.personal_data import person_requests

    app = context.app
    with app.database.write() as session:
        found = person_requests.get(session, number)
        person_requests.acknowledge(session, found, by=context.actor, at=app.now())
        app.audit.record(session, Action.REQUEST_ACKNOWLEDGED, f"request {number}")
        row = _row(found)
    done(context.output, row, f"Request {number} is acknowledged. It must be answered by {row['due']}.")


@command.command()
@click.argument("number", type=int)
@click.option("--outcome", required=True, help="What came of it.")
@pass_context
def close(context: Context, number: int, outcome: str) -> None:
    """Note what came of a request, and take it off the list.

    Example: newsletter requests close 3 --outcome "copy sent by post on 4 November"
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from newsletter.personal_data import person_requests

    app = context.app
    with app.database.write() as session:
        found = person_requests.get(session, number)
        person_requests.close(session, found, outcome=outcome, by=context.actor, at=app.now())
        app.audit.record(session, Action.REQUEST_CLOSED, f"request {number}")
        row = _row(found)
    done(context.output, row, f"Request {number} is closed.")
