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
@click.option("--description", default="", metavar="TEXT", help="What it is about; members read it too.")
@click.option("--open", "open_to_all", is_flag=True, help="Offer it on the site: everybody may sign up.")
@pass_context
def create(context: Context, name: str, title: str, description: str, open_to_all: bool) -> None:
    """Make a list.

    Only a list that is --open is offered on the sign-up page, WEB.URL/sign-up.

    Example: newsletter lists create members --title "Members' newsletter" --open
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from subscribers import lists

    with context.app.database.write() as session:
        at = context.app.now()
        made = lists.create(session, name, title=title, description=description, open_to_all=open_to_all, at=at)
        context.app.audit.record(session, Action.LIST_CREATED, f"list {made.name}", open=made.open)
    facts = {"name": made.name, "title": made.title, "open": made.open}
    done(context.output, facts, f"Made the list {made.name}: {made.title}")


@command.command(name="set")
@click.argument("name")
@click.option("--title", metavar="TEXT", help="What members read.")
@click.option("--description", metavar="TEXT", help="What it is about; members read it too.")
@click.option("--open/--closed", "open_to_all", default=None, help="Offer it on the site, or do so no more.")
@pass_context
def set_values(
    context: Context, name: str, title: str | None, description: str | None, open_to_all: bool | None
) -> None:
    """Change what members read of a list, or whether the site offers it.

    Closing a list takes nobody off it. Links that were mailed before still work for a week.

    Example: newsletter lists set members --open --description "Four times a year."
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from newsletter.render.links import sign_up_url
    from subscribers import lists

    if title is None and description is None and open_to_all is None:
        raise click.UsageError("Say what to change: --title, --description, --open or --closed.")
    with context.app.database.write() as session:
        one = lists.get_open(session, name) if open_to_all else lists.get(session, name)
        lists.change(session, one, title=title, description=description, open_to_all=open_to_all)
        context.app.audit.record(session, Action.LIST_CHANGED, f"list {name}", open=one.open)
    words = f"Changed the list {name}."
    if open_to_all:
        words += f" Everybody may sign up for it: {sign_up_url(context.app.config.web.url)}"
    facts = {"name": one.name, "title": one.title, "description": one.description, "open": one.open}
    done(context.output, facts, words)


@command.command()
@click.argument("name")
@click.option("--page", default="", metavar="URL", help="Where it will stand, for the record of consent.")
@click.option("--language", default="", metavar="TAG", help="A language of the site; default: the organisation's.")
@pass_context
def form(context: Context, name: str, page: str, language: str) -> None:
    """Print a form to sign up that can stand on another site: plain HTML, without script.

    Whoever sends it gets a mail with a link to confirm; nobody is on the list before. Make it anew when the title of
    the list or your privacy notice has changed: the record of consent keeps the words of the form.

    Example: newsletter lists form members --page https://www.example.org/ > form.html
    """
    from newsletter.cli.sign_up_form import form_of
    from subscribers import lists

    with context.app.database.read() as session:
        one = lists.get_open(session, name)
    html = form_of(context.app, one, page=page, language=language)
    if context.output.as_json:
        context.output.data({"name": name, "html": html})
    else:
        context.output.show(html.rstrip())


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
                "open": one.open,
                "archived": one.archived_at,
            }
            for one in lists.all_lists(session, archived=archived)
        ]
    columns = ["name", "title", "subscribed", "pending", "unsubscribed", "open", *(["archived"] if archived else [])]
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
        "open": one.open,
        "created": one.created_at,
        "archived": one.archived_at,
    }
    if context.output.as_json:
        context.output.data(facts)
    else:
        context.output.show(lines(facts))


@command.command()
@click.argument("name")
@click.option("--undo", is_flag=True, help="Take it into use again.")
@pass_context
def archive(context: Context, name: str, undo: bool) -> None:
    """Close a list: its people and their consent stay, nobody is mailed by it.

    Example: newsletter lists archive campaign-2025
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from newsletter.publishing.readers import waiting_for_list
    from subscribers import lists

    with context.app.database.write() as session:
        one = lists.get(session, name)
        waiting = [] if undo else waiting_for_list(session, name, context.app.config)
        changed = lists.reopen(session, one) if undo else lists.archive(session, one, at=context.app.now())
        if changed:
            context.app.audit.record(session, Action.LIST_REOPENED if undo else Action.LIST_ARCHIVED, f"list {name}")
    state = "in use" if undo else "archived"
    words = f"The list {name} is {state}." if changed else f"The list {name} was {state} already."
    done(context.output, {"name": name, "archived": one.archived_at}, words)
    for slug in waiting:
        context.output.warn(f"{slug} was to go to it, or to leave it out: newsletter audience show {slug}")
