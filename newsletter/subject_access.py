"""The answer to a request for access: everything held about one person, as a document or as a page to read."""

from __future__ import annotations

import html
import json
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.tables import Delivery, Issue
from subscribers import exporting
from subscribers.tables import Subscriber

_STYLE = (
    "body{font:1rem/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}"
    "div{overflow-x:auto}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top;min-width:6rem}"
)


def held_about(session: Session, person: Subscriber, *, now: datetime) -> dict[str, Any]:
    """Return record, lists, ledger, choices, suppressions, what came back, and every copy sent."""
    return {**exporting.everything_about(session, person, now=now), "deliveries": _copies(session, person.id)}


def as_json(held: dict[str, Any]) -> str:
    return json.dumps(held, default=str, ensure_ascii=False, indent=2)


def _copies(session: Session, subscriber_id: int) -> list[dict[str, Any]]:
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


def as_page(held: dict[str, Any]) -> str:
    title = f"What is held about {html.escape(str(held['address']))}"
    parts = "".join(f"<h2>{html.escape(name.replace('_', ' '))}</h2>{_shown(value)}" for name, value in held.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1>{parts}</main></body></html>\n"
    )


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in value[0])
        rows = "".join("<tr>" + "".join(f"<td>{_plain(cell)}</td>" for cell in row.values()) + "</tr>" for row in value)
        return f'<div tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
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
