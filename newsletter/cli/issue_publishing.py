"""`issue publish, unpublish`: which issues the archive on the site shows to everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from newsletter.cli.issue_argument import done, issue_argument
from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from newsletter.app import App
    from newsletter.tables import Issue


@click.command()
@issue_argument
@click.option("--index/--no-index", "indexed", default=None, help="May search engines keep it? Default: no.")
@click.option("--dry-run", is_flag=True, help="Say what everybody could read; change nothing.")
@pass_context
def publish(context: Context, issue_name: str, indexed: bool | None, dry_run: bool) -> None:
    """Show a sent issue to everybody, in the archive on the site.

    What was for some readers only is left out. It needs [archive] enabled = true.

    Example: newsletter issue publish 2026-11
    """
    from newsletter.cli.issue_text import tell
    from newsletter.compose.issue import find
    from newsletter.publishing.archiving import publish_issue

    app = context.app
    with app.database.read() as session:
        issue = find(session, issue_name)
        slug, words, facts = issue.slug, _scope_words(app, issue), _scope(issue)
        is_new = issue.published_at is None
    if dry_run:
        done(context.output, {"issue": slug, "published": not is_new, **facts}, words)
        return
    if is_new:
        tell(context.output, words)
        if not context.output.confirm(f"Show {slug} to everybody?"):
            raise click.Abort
    with app.database.write() as session:
        issue = find(session, slug)
        publish_issue(app, session, issue, indexed=indexed)
        kept = issue.indexed
    address = f"{app.config.web.url}/archive/{slug}"
    where = f"{slug} is at {address}" if app.config.archive.enabled else f"{slug} is published, but the archive is off"
    engines = "search engines may keep it" if kept else "search engines are asked to leave it out"
    words = f"{where}; {engines}."
    words += "" if app.config.archive.enabled else " Write enabled = true under [archive], and start the site again."
    document = {"issue": slug, "published": True, "indexed": kept, "url": address, **facts}
    done(context.output, document, words)


@click.command()
@issue_argument
@pass_context
def unpublish(context: Context, issue_name: str) -> None:
    """Take an issue out of the archive; the link in its mails goes on working.

    Example: newsletter issue unpublish 2026-11
    """
    from newsletter.compose import archive
    from newsletter.compose.issue import find

    app = context.app
    with app.database.write() as session:
        issue = find(session, issue_name)
        slug = issue.slug
        archive.unpublish(session, issue)
    words = (
        f"{slug} is not in the archive. What others have kept of it, search engines among them, is beyond our reach."
    )
    done(context.output, {"issue": slug, "published": False}, words)


def _scope(issue: Issue) -> dict[str, int]:
    left_out = sum(1 for block in issue.blocks if block.audience)
    return {"shown": len(issue.blocks) - left_out, "left_out": left_out}


def _scope_words(app: App, issue: Issue) -> str:
    """Say who got the issue, and what of it everybody could read."""
    from newsletter.cli.issue_text import audience_words
    from newsletter.publishing import issue_audience

    scope = _scope(issue)
    shown = "1 part" if scope["shown"] == 1 else f"{scope['shown']} parts"
    words = f"{issue.slug} went to {audience_words(issue_audience(issue, app.config)) or 'nobody'}. "
    words += f"Everybody could read its subject, preview line and letter, and {shown} of it."
    if scope["left_out"]:
        words += f" Left out, because only some got it: {scope['left_out']}."
    return words


VERBS = (publish, unpublish)
