"""`newsletter profiles`: what the columns of a regular file mean, kept by name for its next import."""

from __future__ import annotations

import click

from newsletter.cli.main import Context, Verbs, pass_context


@click.group(cls=Verbs, name="profiles")
def command() -> None:
    """What the columns of a regular file mean, kept by name for the next import.

    Example: newsletter profiles list
    """


@command.command(name="list")
@pass_context
def list_profiles(context: Context) -> None:
    """Show the profiles.

    Example: newsletter profiles list --json
    """
    from subscribers.imports import profiles

    with context.app.database.read() as session:
        rows = [
            {"profile": found.name, "columns": found.mapping, "updated": found.updated_at}
            for found in profiles.all_profiles(session)
        ]
    empty = "There is no profile yet: newsletter subscribers import FILE ... --save-profile NAME"
    context.output.table(rows, ["profile", "updated", "columns"], empty=empty)


@command.command()
@click.argument("name")
@pass_context
def show(context: Context, name: str) -> None:
    """Show what each column means.

    Example: newsletter profiles show monthly-members
    """
    from newsletter.cli.list_text import lines
    from subscribers.imports import profiles

    with context.app.database.read() as session:
        found = profiles.get(session, name)
        document = {
            "profile": found.name,
            "columns": found.mapping,
            "conditions": found.conditions or None,
            "stated_by": found.stated_by or None,
            "updated": found.updated_at,
        }
    if context.output.as_json:
        context.output.data(document)
    else:
        context.output.show(lines(found.mapping))
        if found.conditions:
            context.output.show(f"\nConditions of the soft opt-in, as {found.stated_by} stated: {found.conditions}")


@command.command()
@click.argument("name")
@pass_context
def remove(context: Context, name: str) -> None:
    """Forget a profile; imports that were made with it stay.

    Example: newsletter profiles remove monthly-members
    """
    from newsletter.cli.list_text import done
    from subscribers.imports import profiles

    with context.app.database.write() as session:
        profiles.remove(session, name)
    done(context.output, {"profile": name, "removed": True}, f"Forgot the profile {name}.")
