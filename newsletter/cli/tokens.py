"""`newsletter tokens`: who else may ask the programming interface, and for what."""

from __future__ import annotations

import textwrap
from datetime import date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import click

from newsletter.api_tokens import LEAST, Scope
from newsletter.cli.main import Context, Verbs, pass_context

if TYPE_CHECKING:
    from newsletter.tables import ApiToken

MOST_COLUMNS = 80


@click.group(cls=Verbs, name="tokens")
def command() -> None:
    """Tokens of the programming interface, for forms and other programs.

    Example: newsletter tokens list
    """


@command.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    type=click.Choice([scope.value for scope in Scope]),
    help=f"What it may do: one of those above. May be repeated. Default: {', '.join(LEAST)}.",
)
@click.option(
    "--list",
    "list_names",
    multiple=True,
    metavar="LIST",
    help="Only this list and its people. May be repeated. Default: every list.",
)
@click.option(
    "--expires", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Its last day; default: until it is revoked."
)
@pass_context
def create(
    context: Context, name: str, scopes: tuple[str, ...], list_names: tuple[str, ...], expires: datetime | None
) -> None:
    """Make a token and show it once; only a hash of it is kept.

    Scopes: subscribers:ask, :read, :write and :erase; lists:read; issues:read; deliveries:read and :addresses;
    suppressions:read and :write. Give it no more than the program needs: docs/api.md says what each opens.

    Example: newsletter tokens create website --scope subscribers:ask --list members --expires 2027-12-31
    """
    from newsletter import api_tokens
    from newsletter.audit.log import Action
    from subscribers import lists

    app = context.app
    ends = (expires + timedelta(days=1)).replace(tzinfo=app.config.organisation.zone) if expires else None
    wanted = tuple(Scope(scope) for scope in scopes) or LEAST
    with app.database.write() as session:
        text = api_tokens.create(
            session,
            name,
            scopes=wanted,
            lists=[lists.get(session, each) for each in list_names],
            expires_at=ends,
            by=app.actor,
            now=app.now(),
        )
        shown = {"scopes": sorted(scope.value for scope in wanted), "lists": sorted(list_names)}
        app.audit.record(session, Action.TOKEN_CREATED, f"token {name}", details=shown)
    if context.output.as_json:
        context.output.data(
            {"name": name, "token": text, "scopes": sorted(wanted), "lists": list(list_names) or None, "expires": ends}
        )
        return
    context.output.show(text)
    where = f"for {', '.join(list_names)}" if list_names else "for every list"
    words = f"This is the token '{name}', {where}: {', '.join(sorted(set(wanted)))}."
    context.output.note(textwrap.fill(words, MOST_COLUMNS, break_long_words=False, break_on_hyphens=False))
    context.output.note("Keep it like a password: it is not shown again.")


@command.command(name="list")
@pass_context
def list_tokens(context: Context) -> None:
    """Show the tokens, what each may do, and the day on which it was used last.

    Example: newsletter tokens list
    """
    from newsletter import api_tokens
    from subscribers import lists

    app = context.app
    with app.database.read() as session:
        names = {one.id: one.name for one in lists.all_lists(session, archived=True)}
        rows = [_row(token, names, app.now()) for token in api_tokens.all_tokens(session)]
    if not context.output.as_json:
        zone = app.config.organisation.zone
        rows = [{**row, "expires": _last_day(row["expires"], zone)} for row in rows]
    columns = ["name", "state", "scopes", "lists", "expires", "used"]
    empty = "No token yet, so the interface is shut. Make one: newsletter tokens create NAME --scope SCOPE"
    context.output.table(rows, columns, empty=empty)


def _last_day(expires: datetime | None, zone: tzinfo) -> date | None:
    """Return the last day of a token, as it was named: it ends at the midnight after."""
    return (expires - timedelta(microseconds=1)).astimezone(zone).date() if expires else None


def _row(token: ApiToken, names: dict[int, str], now: datetime) -> dict[str, Any]:
    ended = token.expires_at is not None and token.expires_at <= now
    return {
        "name": token.name,
        "state": "revoked" if token.revoked_at else "expired" if ended else "valid",
        "scopes": token.scopes,
        "lists": None if token.list_ids is None else [names[number] for number in token.list_ids if number in names],
        "expires": token.expires_at,
        "used": token.used_on,
        "created": token.created_at,
        "created_by": token.created_by,
        "revoked": token.revoked_at,
        "revoked_by": token.revoked_by,
    }


@command.command()
@click.argument("name")
@pass_context
def revoke(context: Context, name: str) -> None:
    """End a token at once; what it did stays in the records.

    Example: newsletter tokens revoke website
    """
    from newsletter import api_tokens
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done

    app = context.app
    with app.database.write() as session:
        token = api_tokens.revoke(session, name, by=app.actor, now=app.now())
        app.audit.record(session, Action.TOKEN_REVOKED, f"token {name}")
    done(context.output, {"name": name, "revoked": token.revoked_at}, f"The token '{name}' is refused from now on.")
