"""The answer to a request for access: everything held about one person, as JSON or as a page to read."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from newsletter.cli.list_files import private_file
from newsletter.cli.main import Context


def export_person(context: Context, address: str, file: Path | None) -> None:
    """Write what is held about one person: record, lists, ledger, suppressions and every copy sent."""
    from newsletter.audit import Action
    from subscribers import exporting, people

    app = context.app
    with app.database.write() as session:
        person = people.find(session, address)
        app.audit.record(session, Action.EXPORT_PERSON, "person", person=person.address_hash)
    with app.database.read() as session:
        person = people.find(session, address)
        held = {**exporting.everything_about(session, person, now=app.now()), "deliveries": _copies(session, person.id)}
    if file is None:
        context.output.data(held)
        return
    with private_file(file, bom=False) as out:
        out.write(
            _page(held) if file.suffix == ".html" else json.dumps(held, default=str, ensure_ascii=False, indent=2)
        )
    context.output.note(f"Wrote all that is held about {address} to {file}; only you can read it.")


def _copies(session: Any, subscriber_id: int) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from newsletter.tables import Delivery, Issue

    rows = session.execute(
        select(Issue.slug, Delivery.state, Delivery.state_at, Delivery.date, Delivery.reply_text)
        .join(Issue, Issue.id == Delivery.issue_id)
        .where(Delivery.subscriber_id == subscriber_id)
        .order_by(Delivery.id)
    )
    return [
        {"issue": slug, "state": state.value, "at": at, "date": date, "reply": reply}
        for slug, state, at, date, reply in rows
    ]


def _page(held: dict[str, Any]) -> str:
    title = f"What is held about {html.escape(str(held['address']))}"
    parts = "".join(f"<h2>{html.escape(name.replace('_', ' '))}</h2>{_shown(value)}" for name, value in held.items())
    style = "body{font:1rem/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}padding:.2rem .8rem .2rem 0;vertical-align:top}}</style></head>"
        f"<body><main><h1>{title}</h1>{parts}</main></body></html>\n"
    )


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in value[0])
        rows = "".join("<tr>" + "".join(f"<td>{_plain(cell)}</td>" for cell in row.values()) + "</tr>" for row in value)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    if isinstance(value, dict):
        return (
            "<ul>" + "".join(f"<li>{html.escape(name)}: {_plain(part)}</li>" for name, part in value.items()) + "</ul>"
        )
    return f"<p>{_plain(value)}</p>"


def _plain(value: Any) -> str:
    if value is None or value == [] or value == ():
        return "nothing"
    if isinstance(value, list | tuple):
        return html.escape(", ".join(str(part) for part in value))
    return html.escape(str(value))
