"""`newsletter audience`: whom an issue goes to; nobody by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from newsletter.cli.main import Context, Verbs, pass_context

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from subscribers.audience import Audience


@click.group(cls=Verbs, name="audience")
def command() -> None:
    """Whom an issue goes to: lists and segments, minus exclusions.

    Example: newsletter audience set 2026-11 --list members
    """


def _counts(context: Context, session: Session, audience: Audience) -> dict[str, int]:
    from newsletter.predicates import PREDICATES
    from subscribers.audience import audience_counts

    return audience_counts(
        session,
        audience,
        now=context.app.now(),
        timezone=context.app.config.organisation.timezone,
        predicates=PREDICATES,
    )


@command.command(name="set")
@click.argument("issue_name", metavar="ISSUE")
@click.option("--list", "lists", multiple=True, metavar="LIST", help="People on this list. May be repeated.")
@click.option("--segment", "segments", multiple=True, metavar="SEGMENT", help="A name or an expression.")
@click.option("--exclude-list", "exclude_lists", multiple=True, metavar="LIST", help="Not those on this list.")
@click.option("--exclude-segment", "exclude_segments", multiple=True, metavar="SEGMENT", help="Not those.")
@pass_context
def set_audience(
    context: Context,
    issue_name: str,
    lists: tuple[str, ...],
    segments: tuple[str, ...],
    exclude_lists: tuple[str, ...],
    exclude_segments: tuple[str, ...],
) -> None:
    """Say whom an issue goes to; this replaces what was said before and voids an approval.

    Example: newsletter audience set 2026-11 --segment "town = 'Dudley'" --exclude-list staff
    """
    from newsletter.cli.list_text import done, people_words
    from newsletter.compose.issue import check_editable, find, mark_edited
    from newsletter.errors import Conflict
    from subscribers.audience import Audience

    audience = Audience(lists, segments, exclude_lists, exclude_segments)
    if audience.is_empty:
        raise click.UsageError("An audience needs a list or a segment: nobody is mailed by default.")
    with context.app.database.write() as session:
        issue = find(session, issue_name)
        check_editable(issue)
        if issue.digest_of:
            raise Conflict(
                f"{issue.slug} goes to those whom its issues are owed; it has no audience of its own.",
                hint=f"See how many: newsletter audience show {issue.slug}",
            )
        counts = _counts(context, session, audience)
        voided = mark_edited(issue, actor=context.app.actor, now=context.app.now())
        issue.audience = audience.to_json()
    if voided:
        context.output.warn(voided)
    document = {"issue": issue.slug, "audience": audience.to_json(), **counts}
    done(context.output, document, f"{issue.slug} goes to {people_words(counts['mailed'])}.")
    if not counts["mailed"] and not context.output.as_json:
        context.output.warn(f"Nobody would be mailed; see why: newsletter audience show {issue.slug}")


@command.command()
@click.argument("issue_name", metavar="ISSUE")
@pass_context
def show(context: Context, issue_name: str) -> None:
    """Show whom an issue goes to, and who is left out and why.

    Example: newsletter audience show latest
    """
    from newsletter.cli.list_text import lines
    from newsletter.compose.issue import find
    from newsletter.publishing.readers import find_people, issue_audience
    from subscribers.audience import LEFT_OUT

    with context.app.database.read() as session:
        issue = find(session, issue_name)
        audience = issue_audience(issue, context.app.config)
        found = find_people(session, issue, context.app.config, context.app.now())
        counts = found[2] if found is not None else None
    if context.output.as_json:
        shown = counts or dict.fromkeys(("matched", *LEFT_OUT, "mailed"), 0)
        context.output.data({"issue": issue.slug, "audience": audience.to_json(), **shown})
        return
    if counts is None:
        context.output.show(
            f"{issue.slug} goes to nobody yet. Say whom: newsletter audience set {issue.slug} --list NAME"
        )
        return
    told = {name.replace("_", " "): values for name, values in audience.to_json().items()}
    context.output.show(lines({**told, **{name.replace("_", " "): f"{n:,}" for name, n in counts.items()}}))
