"""`newsletter keys`: the secrets of the workspace."""

from __future__ import annotations

import click

from newsletter.cli.main import Context, Verbs, pass_context

ROTATING = ("links", "marks")


@click.group(cls=Verbs)
def command() -> None:
    """The secrets of the workspace.

    Example: newsletter keys rotate marks
    """


@command.command()
@click.argument("purpose", type=click.Choice(ROTATING))
@pass_context
def rotate(context: Context, purpose: str) -> None:
    """Make a new key that signs from now on; what the older ones signed stays valid.

    `links` sign unsubscribe and preference links, `marks` the envelope senders and the pages' addresses. Keys are in
    the workspace's `secrets/`: back it up again afterwards.

    Example: newsletter keys rotate marks
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from newsletter.keys import rotate_key

    app = context.app
    app.keys  # noqa: B018  # a folder that is not in order is told before anything is written
    with app.database.write() as session:
        key = rotate_key(app.workspace.secrets, purpose)
        app.audit.record(session, Action.KEY_ROTATED, f"key {purpose}", number=key.key_id)
    done(
        context.output,
        {"purpose": purpose, "key": key.key_id},
        f"New key for {purpose}: number {key.key_id}. The older ones go on verifying. Back up secrets/ again.",
    )
