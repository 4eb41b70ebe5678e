"""`newsletter segments`: groups of people by what is known of them, named or written on the spot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.list_text import limit_option, offset_option
from newsletter.cli.main import Context, Verbs, pass_context

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session


@click.group(cls=Verbs, name="segments")
def command() -> None:
    """Groups of people by town, role, tag, list, day of joining and so on.

    What may be compared with what: newsletter segments fields, and docs/people.md.

    Example: newsletter segments count "town = 'Dudley' and not tag 'volunteer'"
    """


def _condition(context: Context, session: Session, segment: str) -> ColumnElement[bool]:
    from newsletter.predicates import PREDICATES
    from subscribers import segments

    return segments.condition(
        session,
        segments.resolve(session, segment),
        now=context.app.now(),
        timezone=context.app.config.organisation.timezone,
        predicates=PREDICATES,
    )


def _count(context: Context, session: Session, segment: str) -> int:
    from sqlalchemy import func, select

    from subscribers.tables import Subscriber

    condition = _condition(context, session, segment)
    return session.scalar(select(func.count()).select_from(Subscriber).where(condition)) or 0


@command.command()
@click.argument("name")
@click.argument("expression")
@click.option("--replace", is_flag=True, help="Give a segment that exists this meaning.")
@pass_context
def create(context: Context, name: str, expression: str, replace: bool) -> None:
    """Save an expression under a name.

    Example: newsletter segments create police-north "town in ('Dudley', 'Walsall') and role = 'police'"
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import declare_attributes, done, people_words
    from newsletter.compose.issue import no_longer_approved
    from subscribers import segments

    app = context.app
    with app.database.write() as session:
        declare_attributes(app, session)
        void_before = set(no_longer_approved(session, app.config))
        made = segments.create(session, name, expression, at=app.now(), replace=replace)
        number = _count(context, session, name)
        voided = [issue.slug for issue in no_longer_approved(session, app.config) if issue not in void_before]
        app.audit.record(session, Action.SEGMENT_SAVED, f"segment {made.name}", people=number)
    document = {"name": made.name, "expression": made.expression, "count": number}
    done(context.output, document, f"Saved {made.name}: {people_words(number)} now.")
    for slug in voided:
        context.output.warn(f"{slug} was approved for other people; approve it again: newsletter issue approve {slug}")


@command.command(name="list")
@pass_context
def list_segments(context: Context) -> None:
    """Show the saved segments.

    Example: newsletter segments list
    """
    from subscribers import segments

    with context.app.database.read() as session:
        rows = [
            {"name": one.name, "expression": one.expression, "updated": one.updated_at}
            for one in segments.all_segments(session)
        ]
    empty = "No segment yet. Make one: newsletter segments create NAME EXPRESSION"
    context.output.table(rows, ["name", "expression"], empty=empty)


@command.command()
@pass_context
def fields(context: Context) -> None:
    """Show the fields that an expression may use here, each with an example.

    Example: newsletter segments fields
    """
    from newsletter.cli.list_text import declare_attributes
    from newsletter.predicates import PREDICATES
    from subscribers import segments

    with context.app.database.write() as session:
        declare_attributes(context.app, session)
        words = segments.vocabulary(session, PREDICATES)
    rows: list[dict[str, Any]] = [{"field": w.name, "example": w.example, "kind": w.kind} for w in words]
    for row, word in zip(rows, words, strict=True):
        if context.output.as_json:
            row["choices"] = list(word.choices)
        elif word.choices:
            row["kind"] = f"{word.kind}: {', '.join(word.choices)}"
    context.output.table(rows, ["field", "example", "kind"], empty="")


@command.command()
@click.argument("name")
@pass_context
def show(context: Context, name: str) -> None:
    """Show one saved segment and how many people are in it.

    Example: newsletter segments show police-north
    """
    from newsletter.cli.list_text import lines
    from subscribers import segments

    with context.app.database.read() as session:
        one = segments.get(session, name)
        facts: dict[str, Any] = {
            "name": one.name,
            "expression": one.expression,
            "count": _count(context, session, name),
            "created": one.created_at,
            "updated": one.updated_at,
        }
    if context.output.as_json:
        context.output.data(facts)
    else:
        context.output.show(lines(facts))


@command.command()
@click.argument("segment")
@pass_context
def count(context: Context, segment: str) -> None:
    """Count the people of a segment, by name or expression.

    Example: newsletter segments count "joined in last 6 months"
    """
    with context.app.database.read() as session:
        number = _count(context, session, segment)
    if context.output.as_json:
        context.output.data({"count": number})
    else:
        context.output.show(str(number))


@command.command()
@click.argument("segment")
@limit_option
@offset_option
@pass_context
def subscribers(context: Context, segment: str, limit: int | None, offset: int) -> None:
    """List the people of a segment, by name or expression.

    Example: newsletter segments subscribers police-north --limit 20
    """
    from sqlalchemy import select

    from subscribers.tables import Subscriber

    with context.app.database.read() as session:
        found = session.execute(
            select(Subscriber.id, Subscriber.address, Subscriber.name)
            .where(_condition(context, session, segment))
            .order_by(Subscriber.key)
            .limit(limit)
            .offset(offset)
        )
        rows = [{"id": row.id, "address": row.address, "name": row.name} for row in found]
    context.output.table(rows, ["id", "address", "name"], empty="Nobody is in this segment.")


@command.command()
@click.argument("segment")
@click.argument("address")
@pass_context
def explain(context: Context, segment: str, address: str) -> None:
    """Tell why somebody is in a segment or not, clause by clause.

    Example: newsletter segments explain police-north ann@example.org
    """
    from newsletter.predicates import PREDICATES
    from subscribers import people, segments

    with context.app.database.read() as session:
        found = segments.explain(
            session,
            segments.resolve(session, segment),
            people.find(session, address),
            now=context.app.now(),
            timezone=context.app.config.organisation.timezone,
            predicates=PREDICATES,
        )
    clauses = [{"clause": one.clause, "holds": one.holds, "value": one.value} for one in found.clauses]
    if context.output.as_json:
        context.output.data({"member": found.member, "clauses": clauses})
        return
    context.output.note(f"{address} is {'in' if found.member else 'not in'} this segment.")
    rows = [{**row, "holds": "yes" if row["holds"] else "no"} for row in clauses]
    context.output.table(rows, ["holds", "clause", "value"], empty="It has no clause.")


@command.command()
@click.argument("name")
@pass_context
def remove(context: Context, name: str) -> None:
    """Forget a saved segment; its people stay as they are.

    Example: newsletter segments remove police-north
    """
    from newsletter.audit.log import Action
    from newsletter.cli.list_text import done
    from newsletter.errors import Conflict
    from newsletter.publishing.readers import waiting_for_segment
    from subscribers import segments

    with context.app.database.write() as session:
        segments.get(session, name)
        if waiting := waiting_for_segment(session, name, context.app.config):
            raise Conflict(
                f"The segment '{name}' is part of the audience of {', '.join(waiting)}.",
                hint=f"Give that another audience first: newsletter audience set {waiting[0]} ...",
            )
        segments.remove(session, name)
        context.app.audit.record(session, Action.SEGMENT_REMOVED, f"segment {name}")
    done(context.output, {"removed": name}, f"Removed the segment {name}.")
