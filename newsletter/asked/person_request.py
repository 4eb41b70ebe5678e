"""Requests about one's own data that came by the site: each becomes a line of the list that a person works through."""

from __future__ import annotations

from sqlalchemy.orm import Session

from newsletter.asked.requests import Asked
from newsletter.personal_data.person_requests import receive
from newsletter.send.report import Parts
from newsletter.tables import PersonRequestKind

WAY = "site"


def answer_request(app: Parts, session: Session, asked: Asked) -> None:
    """Keep a request; what a machine has filled in is dropped."""
    if asked.fields.get("trap"):
        return
    try:
        kind = PersonRequestKind(asked.text("kind"))
    except ValueError:
        kind = PersonRequestKind.OTHER
    receive(
        session,
        kind,
        contact=asked.text("contact"),
        words=asked.text("words"),
        way=WAY,
        at=asked.at,
        pepper=app.keys.pepper,
    )
