"""`newsletter subscribers`: people: added, found, shown, changed; the rest of the verbs is in the modules beside."""

from __future__ import annotations

from datetime import datetime

import click

from newsletter.cli import subscribers_files, subscribers_records
from newsletter.cli.list_text import BASES, limit_option, offset_option
from newsletter.cli.main import Context, Verbs, pass_context
from newsletter.cli.subscribers_import import import_people

_TABLES = (  # of `show`: what each fact that is a table is called, and its columns
    ("subscriptions", "Lists", ["list", "state", "basis", "since"]),
    ("ledger", "Why", ["at", "list", "action", "basis", "source", "actor", "evidence"]),
    ("leaving_reasons", "Why they left", ["at", "list", "reason", "words"]),
    ("suppressions", "Not mailed", ["reason", "since", "evidence", "expires", "lifted"]),
    ("choices", "What was chosen", ["at", "field", "before", "after", "source", "actor"]),
)
_STATES = ("subscribed", "pending", "unsubscribed", "suppressed", "none")


@click.group(cls=Verbs, name="subscribers")
def command() -> None:
    """People: who is on which list, why, and what is known of them.

    Example: newsletter subscribers show ann@example.org
    """


for _verb in (import_people, *subscribers_files.VERBS, *subscribers_records.VERBS):
    command.add_command(_verb)


@command.command()
@click.argument("address")
@click.option("--name", metavar="TEXT", help="Full name.")
@click.option("--first-name", metavar="TEXT", help="How to greet them; default: from the name when it is plain.")
@click.option("--language", metavar="TAG", help="For example cy or en-GB.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be repeated.")
@click.option("--list", "list_name", metavar="LIST", help="Put them on this list; needs --basis and --evidence.")
@click.option("--basis", type=click.Choice(BASES), help="Lawful basis.")
@click.option("--evidence", default="", metavar="TEXT", help="What shows it.")
@click.option("--collected-at", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="When they gave their details.")
@pass_context
def add(
    context: Context,
    address: str,
    name: str | None,
    first_name: str | None,
    language: str | None,
    tags: tuple[str, ...],
    list_name: str | None,
    basis: str | None,
    evidence: str,
    collected_at: datetime | None,
) -> None:
    """Add a person, and put them on a list with basis and evidence.

    Example: newsletter subscribers add ann@example.org --list members --basis consent --evidence "form of 2 May"
    """
    from newsletter.cli.list_text import done, evidence_of
    from newsletter.cli.subscribers_records import put_on_list
    from subscribers import people

    app = context.app
    if list_name and not (basis and evidence):
        raise click.UsageError("Nobody is put on a list without --basis and --evidence.")
    if list_name:
        evidence = evidence_of(context, basis, evidence)
    with app.database.write() as session:
        made = people.add(
            session,
            pepper=app.keys.pepper,
            address=address,
            name=name,
            first_name=first_name,
            language=language,
            at=app.now(),
        )
        for tag in tags:
            people.add_tag(session, made, tag, at=app.now())
        if list_name and basis:
            put_on_list(app, session, made, list_name, basis=basis, evidence=evidence, collected_at=collected_at)
    where = f" to {list_name}" if list_name else "; they are on no list yet"
    done(context.output, {"id": made.id, "address": made.address}, f"Added {made.address}{where}.")


@command.command(name="list")
@click.option("--list", "list_name", metavar="LIST", help="Only people of this list, in any state.")
@click.option("--segment", metavar="SEGMENT", help="Only people of this segment; a name or an expression.")
@click.option("--search", default="", metavar="TEXT", help="Only where name or address contains this.")
@click.option("--state", type=click.Choice(_STATES), help="Only in this state.")
@limit_option
@offset_option
@pass_context
def list_people(
    context: Context,
    list_name: str | None,
    segment: str | None,
    search: str,
    state: str | None,
    limit: int | None,
    offset: int,
) -> None:
    """List people by address.

    With --list the state is that on this list. Whoever is suppressed is shown as that, and is not --state subscribed.

    Example: newsletter subscribers list --list members --search jones --limit 20
    """
    from newsletter.cli.subscribers_files import wanted_people
    from subscribers import exporting, lists

    app = context.app
    with app.database.read() as session:
        list_id = lists.get(session, list_name).id if list_name else None
        statement = wanted_people(app, session, list_name=list_name, segment=segment, search=search, state=state)
        ids = session.scalars(statement.limit(limit).offset(offset)).all()
        rows = [person.to_json() for person in exporting.read_people(session, ids, now=app.now(), state_on=list_id)]
        total = exporting.count(session, statement) if limit or offset else len(rows)
    context.output.table(rows, ["address", "name", "state", "lists", "tags"], empty="Nobody fits.")
    if rows and not context.output.as_json:
        more = f" of {total:,}, from number {offset + 1:,}" if total > len(rows) else ""
        context.output.note(f"{len(rows):,}{more}")


@command.command()
@click.argument("address")
@pass_context
def show(context: Context, address: str) -> None:
    """Show a person: why they are on which list, what is known of them, and whether they may be mailed.

    Example: newsletter subscribers show ann@example.org
    """
    from newsletter.cli.list_text import lines
    from subscribers import exporting, people

    app = context.app
    with app.database.read() as session:
        facts = exporting.everything_about(session, people.find(session, address), now=app.now())
    if context.output.as_json:
        context.output.data(facts)
        return
    tables = [(title, facts.pop(name), columns) for name, title, columns in _TABLES]
    context.output.show(lines(facts))
    for title, rows, columns in tables:
        if rows:
            context.output.show(f"\n{title}")
            context.output.table(rows, columns, empty="")


@command.command(name="set")
@click.argument("address")
@click.argument("values", nargs=-1, required=True, metavar="FIELD=VALUE...")
@pass_context
def set_values(context: Context, address: str, values: tuple[str, ...]) -> None:
    """Change what is known of a person, or what they chose; an empty value clears it.

    Fields: address, name, first_name, language, timezone, paused_until (a date), frequency (each or monthly),
    discreet (yes or no), and every attribute.

    Example: newsletter subscribers set ann@example.org name="Ann Jones" town=Dudley
    """
    from newsletter.cli.list_text import declare_attributes, done
    from newsletter.cli.subscribers_records import set_value
    from subscribers import people

    pairs = [value.partition("=") for value in values]
    wrong = [value for value, (field, equals, _) in zip(values, pairs, strict=True) if not equals or not field.strip()]
    if wrong:
        raise click.UsageError(f"'{wrong[0]}' is not FIELD=VALUE.")
    app = context.app
    with app.database.write() as session:
        declare_attributes(app, session)
        person = people.find(session, address)
        for field, _, value in pairs:
            set_value(app, session, person, field.strip().casefold(), value.strip())
        people.touch(session, person, at=app.now())
    fields = [field.strip() for field, _, _ in pairs]
    done(context.output, {"address": person.address, "set": fields}, f"Changed {person.address}: {', '.join(fields)}.")


@command.command()
@click.argument("address")
@click.argument("tags", nargs=-1, required=True, metavar="TAG...")
@click.option("--remove", is_flag=True, help="Take the tags away.")
@pass_context
def tag(context: Context, address: str, tags: tuple[str, ...], remove: bool) -> None:
    """Tag a person, or take tags away.

    Example: newsletter subscribers tag ann@example.org volunteer press
    """
    from newsletter.cli.list_text import done
    from subscribers import people

    app = context.app
    change = people.remove_tag if remove else people.add_tag
    with app.database.write() as session:
        person = people.find(session, address)
        for word in tags:
            change(session, person, word, at=app.now())
        now_there = people.tags_of(session, person.id)
    words = f"{person.address} has the tags: {', '.join(now_there) or 'none'}."
    done(context.output, {"address": person.address, "tags": now_there}, words)
