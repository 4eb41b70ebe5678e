"""`newsletter source`: where posts and events come from, and fetching them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click

from newsletter.cli.main import EXIT_WITH_FAILURES, Context, Verbs, pass_context

_KINDS = ("feed", "wordpress", "calendar", "markdown", "archive-text")


@click.group(cls=Verbs, name="source")
def command() -> None:
    """Where posts and events come from.

    Example: newsletter source add feed https://example.org/feed/
    """


@command.command()
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("location")
@click.option("--name", help="What to call it. Default: made from the location.")
@pass_context
def add(context: Context, kind: str, location: str, name: str | None) -> None:
    """Add a source: an https address, or the path of a file or folder.

    Example: newsletter source add calendar https://example.org/events.ics --name events
    """
    from sqlalchemy import select

    from newsletter.compose.sources.reading import check_location, is_web
    from newsletter.errors import Conflict, InvalidValue
    from newsletter.tables import Source, SourceKind

    app = context.app
    stored = check_location(SourceKind(kind), location, here=Path.cwd(), workspace=app.workspace.root)
    if name is not None and not re.fullmatch(r"[\w][\w .-]{0,62}", name):
        raise InvalidValue(f"'{name}' cannot name a source.", hint="Use letters, digits, dots, dashes; at most 63.")
    with app.database.write() as session:
        sources = session.scalars(select(Source)).all()
        same = next((s for s in sources if s.location == stored and s.kind.value == kind), None)
        if same is not None:
            raise Conflict(
                f"That is source '{same.name}' already.", hint=f"Fetch it: newsletter source fetch {same.name}"
            )
        taken = {s.name for s in sources}
        if name in taken:
            raise Conflict(f"There is a source '{name}' already.", hint="Choose another --name.")
        source = Source(
            name=name or _free_name(kind, stored, taken), kind=SourceKind(kind), location=stored, created_at=app.now()
        )
        session.add(source)
        session.flush()
        row = _row(source, 0)
    if context.output.as_json:
        context.output.data(row)
    if is_web(stored) and not stored.lower().startswith("https:"):
        context.output.warn(f"{stored} is fetched without encryption; use https: if the site offers it.")
    context.output.note(f"Added source '{row['name']}'. Fetch it: newsletter source fetch {row['name']}")


@command.command(name="list")
@pass_context
def list_sources(context: Context) -> None:
    """List the sources, when each was last fetched, and what is wrong with it.

    Example: newsletter source list --json
    """
    from sqlalchemy import func, select

    from newsletter.tables import Sighting, Source

    with context.app.database.read() as session:
        grouped = select(Sighting.source_id, func.count()).group_by(Sighting.source_id)
        counts = {row[0]: row[1] for row in session.execute(grouped)}
        rows = [_row(s, counts.get(s.id, 0)) for s in session.scalars(select(Source).order_by(Source.id))]
    context.output.table(
        rows,
        ["name", "kind", "items", "fetched_at", "error", "location"],
        empty="No sources yet. Add one: newsletter source add feed https://example.org/feed/",
    )


@command.command()
@click.argument("names", nargs=-1)
@pass_context
def fetch(context: Context, names: tuple[str, ...]) -> None:
    """Fetch all sources, or those named, into the library. One that fails does not stop the others.

    Example: newsletter source fetch
    """
    from newsletter.compose.gathering import gather_sources, named_sources

    app = context.app
    with app.database.read() as session:
        total = len(named_sources(session, names))
    with context.output.progress("Fetching", total) as bar:
        outcomes = gather_sources(
            app.database,
            names,
            timezone=app.config.organisation.timezone,
            now=app.now(),
            workspace=app.workspace.root,
            on_read=lambda _name: bar.advance(),
        )
    rows = [_outcome_row(outcome) for outcome in outcomes]
    for row in rows:
        for problem in row["problems"]:
            context.output.note(f"{row['source']}: {problem}")
        if row["error"]:
            context.output.warn(f"{row['source']}: {row['error']}")
    context.output.table(
        rows,
        ["source", "state", "items", "new", "changed", "merged", "unchanged", "withdrawn"],
        empty="No sources yet. Add one: newsletter source add feed https://example.org/feed/",
    )
    if any(row["error"] for row in rows):
        sys.exit(EXIT_WITH_FAILURES)


@command.command()
@click.argument("name")
@pass_context
def remove(context: Context, name: str) -> None:
    """Remove a source. What it gave stays in the library.

    Example: newsletter source remove events
    """
    from sqlalchemy import select

    from newsletter.compose.gathering import named_sources
    from newsletter.tables import Sighting

    with context.app.database.write() as session:
        source = named_sources(session, [name])[0]
        seen = session.scalars(select(Sighting).where(Sighting.source_id == source.id)).all()
        kept = len(seen)
        for sighting in seen:
            session.delete(sighting)
        session.flush()
        session.delete(source)
    if context.output.as_json:
        context.output.data({"removed": name, "items_kept": kept})
    context.output.note(f"Removed source '{name}'; its {kept} items stay in the library.")


def _row(source: Any, items: int) -> dict[str, Any]:
    return {
        "name": source.name,
        "kind": source.kind.value,
        "location": source.location,
        "items": items,
        "fetched_at": source.fetched_at,
        "error": source.error,
    }


def _outcome_row(outcome: Any) -> dict[str, Any]:
    counts = outcome.counts
    state = "failed" if outcome.error else "not modified" if outcome.not_modified else "fetched"
    return {
        "source": outcome.source,
        "state": state,
        "items": outcome.items,
        "new": counts.new,
        "changed": counts.changed,
        "merged": counts.merged,
        "unchanged": counts.unchanged,
        "withdrawn": counts.withdrawn,
        "problems": list(outcome.problems),
        "error": outcome.error,
    }


def _free_name(kind: str, location: str, taken: set[str]) -> str:
    from urllib.parse import urlsplit

    from newsletter.compose.sources.reading import is_web

    if is_web(location):
        words = (urlsplit(location).hostname or kind).removeprefix("www.").rsplit(".", 1)[0]
    else:
        words = Path(location).stem
    base = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:40] or kind
    candidates = [base, f"{base}-{kind}", *(f"{base}-{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)
