"""What the `issue` verbs share: how an issue is named, how an answer is told, and the pictures of added items."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.output import Output

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.app import App
    from newsletter.tables import Issue

issue_argument = click.argument("issue_name", metavar="ISSUE")


def done(output: Output, document: dict[str, Any], words: str) -> None:
    """Tell what was done: a document with `--json`, else a sentence."""
    from newsletter.cli.issue_text import tell

    if output.as_json:
        output.data(document)
    else:
        tell(output, words)


def state_done(output: Output, slug: str, state: str, words: str, **facts: Any) -> None:
    done(output, {"issue": slug, "state": state, **facts}, words)


def people_words(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} people"


def go_on_command(session: Session, issue: Issue) -> str:
    """Return the command that lets an issue go on: a person's pause is ended by `resume` only."""
    return f"newsletter issue {'resume' if is_held_by_person(session, issue) else 'send'} {issue.slug}"


def is_held_by_person(session: Session, issue: Issue) -> bool:
    """Tell whether a planned issue is paused and nothing but a person caused that; without a note it counts as one."""
    from newsletter.send.control import PauseKind, pause_kind
    from newsletter.tables import IssueState

    if issue.state is not IssueState.PAUSED or issue.planned_at is None:
        return False
    return pause_kind(session, issue.id) not in (PauseKind.RELAY, PauseKind.REFUSALS)


def fetch_item_pictures(app: App, output: Output, item_ids: Collection[int]) -> None:
    """Fetch the pictures that are not kept yet; one that fails is named and left out."""
    from newsletter.cli.issue_text import tell
    from newsletter.compose.pictures import fetch_pictures, wanted_pictures

    with app.database.read() as session:
        wanted = wanted_pictures(session, item_ids)
    if not wanted:
        return
    with output.progress("Pictures", len(wanted)) as bar:
        outcomes = fetch_pictures(
            app.database,
            list(item_ids),
            media=app.workspace.media,
            now=app.now(),
            on_done=lambda _outcome: bar.advance(),
        )
    for outcome in outcomes:
        if outcome.error:
            tell(output, f"A picture is left out: {outcome.source_url}: {outcome.error}")
