"""Complaints and requests about somebody's own data that are late, or soon will be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from newsletter.doctor.findings import Finding, ok, warn
from newsletter.personal_data import person_requests
from subscribers.db import Database

CHECK = "requests"
SOON = timedelta(days=7)


def check_requests(database: Database, now: datetime) -> Iterator[Finding]:
    """Name each that has not been answered in time, and count those that are due soon."""
    with database.read() as session:
        open_ones = person_requests.listed(session)
    late = [request for request in open_ones if request.due_on < now.date()]
    soon = [request for request in open_ones if now.date() <= request.due_on <= (now + SOON).date()]
    for request in late:
        said = f"Request {request.id} ({request.kind.value}) should have been answered by {request.due_on}."
        yield warn(CHECK, said, f"Read it: newsletter requests show {request.id}")
    if soon:
        yield warn(CHECK, f"{len(soon)} due within {SOON.days} days.", "See them: newsletter requests list")
    if not late and not soon:
        yield ok(CHECK, "No complaint and no request about anybody's data is late.")
