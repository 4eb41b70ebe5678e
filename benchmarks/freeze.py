"""
Freeze an audience against a bare `INSERT ... SELECT` of as many rows into the same table; prints the ratio.

    python benchmarks/freeze.py [--people 1000000] [--rounds 3] [--only sqlite|postgresql]

Goal: at most 2 times. The bare statement copies what can be copied, with a random Message-ID, no personal values and no
check of suppressions; the table and its indexes are the same. Needs PostgreSQL for its half.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from network import NOW, fill
from peers import empty_database, running_postgresql
from sending import config, rendered
from sqlalchemy import text
from sqlalchemy.orm import Session

from newsletter.keys import create_keys, load_keys
from newsletter.render.headers import MessageHeaders
from newsletter.send.plan import PlannedVariant, freeze
from newsletter.tables import Issue, Variant
from subscribers.audience import Audience, select_audience
from subscribers.db import Database

GOAL = 2.0
RANDOM = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "replace(gen_random_uuid()::text, '-', '')"}
BARE = """
INSERT INTO deliveries (issue_id, subscriber_id, variant_id, list_id, address, address_hash, domain, token_id, slots,
    date, message_id, state, state_at, attempt)
SELECT :issue, s.id, :variant, m.list_id, s.address, s.address_hash, s.domain, s.token_id, '{{}}', s.joined_at,
    {random} || '@example.org', 'pending', s.joined_at, 0
FROM subscribers s JOIN subscriptions m ON m.subscriber_id = s.id
WHERE m.list_id = 1 AND m.state = 'subscribed' ORDER BY s.id
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    subscribers = options.people * 5 // 4  # four in five of the network are on the list
    ratios: list[float] = []
    if options.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'network.sqlite3'}"
            ratios.append(measure(url, subscribers, options.rounds))
    if options.only != "sqlite":
        with running_postgresql("shared_buffers=512MB", "max_wal_size=4GB") as server, empty_database(server) as url:
            ratios.append(measure(url, subscribers, options.rounds))
    print(f"freeze: ratio {max(ratios):.2f} of a bare INSERT ... SELECT at the most (goal at most {GOAL})")
    sys.exit(0 if max(ratios) <= GOAL else 1)


def measure(url: str, people: int, rounds: int) -> float:
    database = Database(url)
    fill(database, people)
    kind = database.engine.dialect.name
    with tempfile.TemporaryDirectory() as secrets:
        create_keys(Path(secrets))
        keys = load_keys(Path(secrets))
    headers = MessageHeaders(
        "Example Network", "news@example.org", "", "members.example.org", "Members", "leave@example.org", "", "en"
    )

    def ours(session: Session, issue: Issue) -> int:
        audience = select_audience(session, Audience(lists=("members",)), now=NOW, timezone="Europe/London")
        variants = [PlannedVariant(1, None, rendered(), headers)]
        return freeze(session, issue, audience=audience, variants=variants, keys=keys, config=config(25, 1), now=NOW)

    def bare(session: Session, issue: Issue) -> int:
        variant = Variant(issue_id=issue.id, number=1, subject="", html="", text="", content_hash="")
        session.add(variant)
        session.flush()
        statement = text(BARE.format(random=RANDOM[kind]))
        done: Any = session.execute(statement, {"issue": issue.id, "variant": variant.id})
        return int(done.rowcount)

    times: dict[Callable[[Session, Issue], int], list[float]] = {ours: [], bare: []}
    for number in range(rounds):
        counts = {_timed(database, f"{run.__name__}-{number}", run, taken) for run, taken in times.items()}
        assert len(counts) == 1, counts
    database.close()
    mine, other = (statistics.median(taken) for taken in times.values())
    print(f"{kind}, {counts.pop():,} people: {mine:.1f} s, bare {other:.1f} s: {mine / other:.2f}", flush=True)
    return mine / other


def _timed(database: Database, slug: str, run: Callable[[Session, Issue], int], taken: list[float]) -> int:
    """Time one freeze with its commit; then take its rows away again, so that the next meets the same table."""
    with database.write() as session:
        issue = Issue(slug=slug, created_at=NOW, edited_at=NOW, edited_by="benchmark")
        session.add(issue)
    started = time.perf_counter()
    with database.write() as session:
        count = run(session, session.get_one(Issue, issue.id))
    taken.append(time.perf_counter() - started)
    with database.write() as session:
        for statement in ("DELETE FROM deliveries", "DELETE FROM variants"):
            session.execute(text(statement))
    return count


if __name__ == "__main__":
    main()
