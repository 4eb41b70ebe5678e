"""`bounces list, show, stats`: what came back, what was made of it and why."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.list_text import limit_option, offset_option
from newsletter.cli.main import Context, pass_context

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.app import App
    from subscribers.bounces.listing import Wanted

KINDS = (
    "bounce", "delayed", "complaint", "unsubscribed", "delivered", "relayed", "autoreply", "challenge", "mdn",
    "feedback", "reply", "other",
)  # fmt: skip
MOST_SHOWN = 50
BAR_CHARACTERS = 40
_issue_option = click.option("--issue", "issue_name", metavar="ISSUE", help="Only about copies of this issue.")


@click.command(name="list")
@_issue_option
@click.option("--address", metavar="ADDRESS", help="Only about this person.")
@click.option("--kind", type=click.Choice(KINDS), help="Only this kind.")
@click.option("--unmatched", is_flag=True, help="Only what nothing was made of (folder Unknown).")
@limit_option
@offset_option
@pass_context
def list_command(
    context: Context,
    issue_name: str | None,
    address: str | None,
    kind: str | None,
    unmatched: bool,
    limit: int | None,
    offset: int,
) -> None:
    """List what came back, newest first; without --limit and --json the last 50.

    Example: newsletter bounces list --issue 2026-11 --kind complaint
    """
    from subscribers.bounces import listing

    app, output = context.app, context.output
    with app.database.read() as session:
        wanted = _wanted(app, session, issue_name, address=address, kind=kind, unmatched=unmatched)
        limit = limit or (None if output.as_json else MOST_SHOWN)
        rows = [_with_slug(row, session) for row in listing.lines(session, wanted, limit=limit, offset=offset)]
    if not output.as_json:
        rows = [_short(row) for row in rows]
    output.table(rows, ["id", "day", "address", "what", "rule"], empty="Nothing came back.")
    if rows and not output.as_json:
        output.note("What one says, and why it counts or not: newsletter bounces show ID")


@click.command()
@click.argument("report", metavar="ID", type=int)
@click.option("--raw", is_flag=True, help="Only the mail or the provider's words, byte for byte.")
@pass_context
def show(context: Context, report: int, raw: bool) -> None:
    """Show one report: whom it is about, which rule decided, and the mail as it came.

    Control characters of the mail are written out, so that it cannot change your terminal; --raw gives its bytes.

    Example: newsletter bounces show 17
    """
    from newsletter.errors import NotFound
    from subscribers.bounces import listing
    from subscribers.bounces.plain import escaped

    output = context.output
    with context.app.database.read() as session:
        document, mail = listing.one(session, report)
        document = _with_slug(document, session)
    if raw:
        if mail is None:
            raise NotFound("mail of report", str(report), hint="Mails that came back are kept for some weeks only.")
        sys.stdout.buffer.write(mail)
        sys.stdout.buffer.flush()
        return
    text = escaped(mail.decode("utf-8", "replace")) if mail is not None else None
    if output.as_json:
        output.data({**document, "mail": text})
        return
    _tell(context, document)
    output.show(f"\n{text.rstrip()}" if text else "\nThe mail is no longer kept, or there was none.")


@click.command()
@_issue_option
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="How far back.")
@pass_context
def stats(context: Context, issue_name: str | None, days: int) -> None:
    """Count what came back: by kind, and what failed by reason and by receiving domain.

    Example: newsletter bounces stats --days 90
    """
    from datetime import timedelta

    from subscribers.bounces import listing

    app, output = context.app, context.output
    with app.database.read() as session:
        since = None if issue_name else app.now() - timedelta(days=days)
        found = listing.counts(session, _wanted(app, session, issue_name, since=since))
    if output.as_json:
        output.data({"issue": issue_name, "days": None if issue_name else days, **found})
        return
    if not found["kinds"]:
        output.note("Nothing came back." if issue_name else f"Nothing came back in {days} days.")
        return
    for heading, name in (
        ("What came back", "kinds"),
        ("Why copies failed", "reasons"),
        ("Where they failed", "domains"),
    ):
        _chart(context, heading, found[name])


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line for a narrow terminal."""
    klass = f"{row['class']} " if row["class"] in ("hard", "soft") else ""
    reason = f": {row['reason']}" if row["reason"] else ""
    return {
        "id": row["id"],
        "day": f"{row['at']:%Y-%m-%d}",
        "address": row["address"],
        "what": f"{klass}{row['kind']}{reason}",
        "rule": f"{row['rule']} (undone)" if row["undone"] else row["rule"],
    }


def _wanted(app: App, session: Session, issue_name: str | None, **given: Any) -> Wanted:
    from newsletter.compose.issue import find
    from subscribers.addresses import parse_address
    from subscribers.bounces.event import ReportKind
    from subscribers.bounces.listing import Wanted
    from subscribers.tokens import address_hash

    address, kind = given.get("address"), given.get("kind")
    return Wanted(
        issue_id=find(session, issue_name).id if issue_name else None,
        address_hash=address_hash(app.keys.pepper, parse_address(address).key) if address else None,
        kind=ReportKind(kind) if kind else None,
        unmatched=bool(given.get("unmatched")),
        since=given.get("since"),
    )


def _with_slug(row: dict[str, Any], session: Session) -> dict[str, Any]:
    """Name the issue as people do."""
    from newsletter.tables import Issue

    issue_id = row.pop("issue_id")
    issue = session.get(Issue, issue_id) if issue_id is not None else None
    return {**row, "issue": issue.slug if issue else None}


def _tell(context: Context, document: Mapping[str, Any]) -> None:
    from newsletter.cli.issue_text import wrapped
    from newsletter.cli.list_text import lines

    verdict = document["class"] if document["class"] != "none" else document["kind"]
    suppressed = [e["reason"] + (", lifted since" if e["lifted"] else "") for e in document["suppressed"]]
    facts = {
        "report": document["id"],
        "at": document["at"],
        "came by": document["way"],
        "about": document["address"] or "(nobody that is known)",
        "issue": document["issue"],
        "verdict": " ".join(filter(None, (verdict, document["status"], document["reason"]))),
        "score": document["score"] if document["counts"] else None,
        "suppressed": suppressed,
        "unsubscribed": "yes" if document["unsubscribed"] else None,
        "undone": document["undone"] and f"{document['undone']:%Y-%m-%d} by {document['undone_by']}",
        "undone because": document["undone_reason"],
        "others in it": document["others"],
    }
    context.output.show(lines(facts))
    width = max(len(name) for name, value in facts.items() if value not in (None, "", [])) + 2
    context.output.show(wrapped(document["meaning"], indent=width, first="rule"))
    if document["words"]:
        context.output.show(wrapped(document["words"], indent=width, first="words"))


def _chart(context: Context, heading: str, numbers: Mapping[str, int]) -> None:
    """Print bars as wide as they are many, the widest as wide as fits."""
    if not numbers:
        return
    label = min(max(map(len, numbers)), 30)
    largest = max(numbers.values())
    digits = len(f"{largest:,}")
    room = max(10, min(BAR_CHARACTERS, context.output.console().width - label - digits - 6))
    context.output.show(f"\n{heading}")
    for name, number in numbers.items():
        bar = "█" * max(1, round(number / largest * room))
        shown = name if len(name) <= label else name[: label - 1] + "…"
        context.output.show(f"  {shown:<{label}}  {number:>{digits},}  {bar}")


VERBS = (list_command, show, stats)
