"""What the commands of the list share: how an answer is told, and attributes that the configuration declares."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.output import Output, plain_lines

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.app import App
    from newsletter.cli.main import Context

BASES = ("consent", "soft-opt-in", "corporate", "service")
limit_option = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N.")
offset_option = click.option(
    "--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first N."
)
basis_option = click.option(
    "--basis", required=True, type=click.Choice(BASES), help="Lawful basis on which they are mailed."
)
evidence_option = click.option(
    "--evidence", required=True, metavar="TEXT", help="What shows it, for example the form and its date."
)
collected_option = click.option(
    "--collected-at",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="Day on which the details were given; the soft opt-in needs it.",
)


def done(output: Output, document: Mapping[str, Any], words: str) -> None:
    """Tell what was done: a document with `--json`, else a sentence."""
    if output.as_json:
        output.data(document)
    else:
        output.note(words)


def people_words(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} people"


_CONDITIONS = (
    "The charity soft opt-in: did they give you their details directly, when they showed interest in your charitable "
    "purposes or supported them, and were they offered a simple way to refuse then?"
)
_STATED = "given directly, with interest or support shown and a way to refuse offered, as {} stated"


def evidence_of(
    context: Context, basis: str | None, evidence: str, conditions: str = "", stated_by: str | None = None
) -> str:
    """
    Return the evidence; for the soft opt-in with who stated that its conditions are met, which is asked here.

    Args:
        conditions: How they are met, where that was said already; it is told, and nothing is asked.
        stated_by: Who said so; default: whoever runs this.

    Raises:
        click.Abort: When they are not.

    Source: PECR 2003 reg. 22(3A).
    """
    if basis != "soft-opt-in":
        return evidence
    if conditions and evidence.strip():
        context.output.note(f"Soft opt-in, as {stated_by or context.actor} stated: {conditions}")
        return f"{evidence}; conditions met, as {stated_by or context.actor} stated: {conditions}"
    if not context.output.confirm(_CONDITIONS):
        raise click.Abort
    return f"{evidence}; {_STATED.format(context.actor)}" if evidence.strip() else evidence


def day_of(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def lines(pairs: Mapping[str, Any]) -> str:
    """Return facts as aligned lines; empty ones are left out."""
    shown = {name: _words(value) for name, value in pairs.items() if value not in (None, "", [], (), {})}
    width = max((len(name) for name in shown), default=0) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in shown.items())


def _words(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_words(part)}" for name, part in value.items())
    return plain_lines(str(value))


def declare_attributes(app: App, session: Session) -> None:
    """Bring the attributes that the configuration declares into the database."""
    from subscribers import attributes
    from subscribers.tables import AttributeKind

    for rule in app.config.attributes:
        attributes.declare(session, rule.name, AttributeKind(rule.kind), rule.choices)
