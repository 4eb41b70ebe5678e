"""
Count and list a segment of five clauses against hand-written SQL on the same tables and indexes, on both databases.

    python benchmarks/segments.py [--people 1000000] [--rounds 5] [--only sqlite|postgresql]

Goal: at most 1.3 times, for the count and for the list, on SQLite and on PostgreSQL. The hand-written statements are
what somebody who knows the tables would write. Both must find the same people. Needs PostgreSQL for its half.
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
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from subscribers import segments
from subscribers.db import Database
from subscribers.tables import Subscriber

GOAL = 1.3
EXPRESSION = (
    "town = 'Dudley' and role in ('police', 'council') and not tag 'volunteer' and joined in last 6 months "
    "and list 'members'"
)
BY_HAND = """
FROM subscribers s
JOIN attribute_values town ON town.subscriber_id = s.id AND town.definition_id = 1
JOIN attribute_values role ON role.subscriber_id = s.id AND role.definition_id = 2
JOIN subscriptions m ON m.subscriber_id = s.id AND m.list_id = 1 AND m.state = 'subscribed'
WHERE lower(town.text{collation}) = 'dudley' AND lower(role.text{collation}) IN ('police', 'council')
AND s.joined_at >= :since AND s.joined_at < :until
AND NOT EXISTS (SELECT 1 FROM subscriber_tags t WHERE t.subscriber_id = s.id AND t.tag = 'volunteer')
"""
BOUNDS = {
    "sqlite": {"since": "2026-05-02 00:00:00.000000", "until": "2026-11-03 00:00:00.000000"},
    "postgresql": {"since": "2026-05-01 23:00+00", "until": "2026-11-03 00:00+00"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    ratios: list[float] = []
    if options.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            ratios += measure(f"sqlite:///{Path(folder) / 'network.sqlite3'}", options.people, options.rounds)
    if options.only != "sqlite":
        with running_postgresql("shared_buffers=512MB") as server, empty_database(server) as url:
            ratios += measure(url, options.people, options.rounds)
    print(f"segments: ratio {max(ratios):.2f} of hand-written SQL at the most (goal at most {GOAL})")
    sys.exit(0 if max(ratios) <= GOAL else 1)


def measure(url: str, people: int, rounds: int) -> list[float]:
    database = Database(url)
    fill(database, people)
    kind = database.engine.dialect.name
    hand = BY_HAND.format(collation="" if kind == "sqlite" else ' COLLATE "C"')
    values = BOUNDS[kind]

    def count(session: Session) -> Any:
        return session.scalar(select(func.count()).select_from(Subscriber).where(_condition(session)))

    def count_by_hand(session: Session) -> Any:
        return session.scalar(text(f"SELECT count(*) {hand}"), values)

    def listed(session: Session) -> Any:
        columns = (Subscriber.id, Subscriber.address, Subscriber.name)
        statement = select(*columns).where(_condition(session)).order_by(Subscriber.key)
        return [tuple(row) for row in session.execute(statement)]

    def listed_by_hand(session: Session) -> Any:
        statement = text(f"SELECT s.id, s.address, s.name {hand} ORDER BY s.key")
        return [tuple(row) for row in session.execute(statement, values)]

    ratios = []
    for name, ours, theirs in (("count", count, count_by_hand), ("list", listed, listed_by_hand)):
        mine, other = _timed(database, ours, theirs, rounds)
        print(f"{kind}, {name} among {people:,}: {mine * 1e3:.0f} ms, by hand {other * 1e3:.0f} ms: {mine / other:.2f}")
        ratios.append(mine / other)
    database.close()
    return ratios


def _condition(session: Session) -> Any:
    node = segments.resolve(session, EXPRESSION)
    return segments.condition(session, node, now=NOW, timezone="Europe/London")


def _timed(
    database: Database, ours: Callable[[Session], Any], theirs: Callable[[Session], Any], rounds: int
) -> tuple[float, float]:
    """Return the medians, measured in turn; the first round of each only warms the caches."""
    times: dict[Callable[[Session], Any], list[float]] = {ours: [], theirs: []}
    for _ in range(rounds + 1):
        found = []
        for run, taken in times.items():
            with database.read() as session:
                started = time.perf_counter()
                found.append(run(session))
                taken.append(time.perf_counter() - started)
        assert found[0] == found[1], "the two do not find the same people"
    return statistics.median(times[ours][1:]), statistics.median(times[theirs][1:])


if __name__ == "__main__":
    main()
