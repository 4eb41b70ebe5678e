"""`newsletter lists`: the lists that people subscribe to."""

from __future__ import annotations

import click

from newsletter.cli.main import Context, Verbs, pass_context


@click.group(cls=Verbs, name="lists")
def command() -> None:
    """The lists that people subscribe to.

    Example: newsletter lists list
    """


@command.command()
@click.argument("name")
@click.option("--title", default="", metavar="TEXT", help="What members read; default: the name in words.")
@click.option("--description", default="", metavar="TEXT", help="What it is about.")
@pass_context
def create(context: Context, name: str, title: str, description: str) -> None:
    """Make a list.

    Example: newsletter lists create members --title "Members' newsletter"
    """
    from newsletter.audit import Action
    from newsletter.cli.list_text import done
    from subscribers import lists

    with context.app.database.write() as session:
        made = lists.create(session, name, title=title, description=description, at=context.app.now())
        context.app.audit.record(session, Action.LIST_CREATED, f"list {made.name}")
    done(context.output, {"name": made.name, "title": made.title}, f"Made the list {made.name}: {made.title}")


@command.command(name="list")
@click.option("--all", "archived", is_flag=True, help="Archived ones too.")
@pass_context
def list_lists(context: Context, archived: bool) -> None:
    """Show the lists and how many people are on them.

    Example: newsletter lists list --all
    """
    from subscribers import lists

    with context.app.database.read() as session:
        counted = lists.counts(session)
        rows = [
            {
                "name": one.name,
                "title": one.title,
                "subscribed": (counts := counted.get(one.id, lists.ListCounts())).subscribed,
                "pending": counts.pending,
                "unsubscribed": counts.unsubscribed,
                "archived": one.archived_at,
            }
            for one in lists.all_lists(session, archived=archived)
        ]
    columns = ["name", "title", "subscribed", "pending", "unsubscribed", *(["archived"] if archived else [])]
    context.output.table(rows, columns, empty="No list yet. Make one: newsletter lists create NAME")


@command.command()
@click.argument("name")
@pass_context
def show(context: Context, name: str) -> None:
    """Show one list.

    Example: newsletter lists show members
    """
    from newsletter.cli.list_text import lines
    from subscribers import lists

    with context.app.database.read() as session:
        one = lists.get(session, name)
        counts = lists.counts(session).get(one.id, lists.ListCounts())
    facts = {
        "name": one.name,
        "title": one.title,
        "description": one.description,
        "subscribed": counts.subscribed,
        "pending": counts.pending,
        "unsubscribed": counts.unsubscribed,
        "created": one.created_at,
        "archived": one.archived_at,
    }
    if context.output.as_json:
        context.output.data(facts)
    else:
        context.output.show(lines(facts))


@command.command()
@click.argument("name")
@click.option("--undo", is_flag=True, help="Open it again.")
@pass_context
def archive(context: Context, name: str, undo: bool) -> None:
    """Close a list: its people and their consent stay, nobody is mailed by it.

    Example: newsletter lists archive campaign-2025
    """
    from newsletter.audit import Action
    from newsletter.cli.list_text import done
    from subscribers import lists

    with context.app.database.write() as session:
        one = lists.get(session, name)
        changed = lists.reopen(session, one) if undo else lists.archive(session, one, at=context.app.now())
        if changed:
            context.app.audit.record(session, Action.LIST_REOPENED if undo else Action.LIST_ARCHIVED, f"list {name}")
    state = "open" if undo else "archived"
    words = f"The list {name} is {state}." if changed else f"The list {name} was {state} already."
    done(context.output, {"name": name, "archived": one.archived_at}, words)
