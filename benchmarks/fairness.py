"""
Fairness: while an issue goes out, how long another process waits for a commit of one row in the same SQLite file.

    python benchmarks/fairness.py [--copies 30000] [--connections 10]

Goal: a 99th percentile under 50 ms. The same commits are first made on the idle database, in the same run; the ratio
of the two is printed too, and how fast the issue went meanwhile. Needs the Debian package postfix.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.connection
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

from sending import prepare, send_frozen, sink

GOAL_MS = 50.0
IDLE_COMMITS = 300
BETWEEN_SECONDS = 0.005
BUSY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Waits:
    """How long each commit took, in milliseconds, in order of size."""

    sorted_ms: list[float]

    def percentile(self, share: float) -> float:
        return self.sorted_ms[min(len(self.sorted_ms) - 1, int(len(self.sorted_ms) * share))]

    def __str__(self) -> str:
        return (
            f"p50 {self.percentile(0.5):.1f} ms, p99 {self.percentile(0.99):.1f} ms, "
            f"max {self.sorted_ms[-1]:.1f} ms ({len(self.sorted_ms)} commits)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=30_000)
    parser.add_argument("--connections", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sink(options.connections) as server:
        prepare(Path(folder), options.copies)
        database = Path(folder) / "newsletter.sqlite3"
        idle = committed(database, lambda made: made < IDLE_COMMITS)
        done = multiprocessing.Event()
        receiver, sender = multiprocessing.Pipe(duplex=False)
        other = multiprocessing.Process(target=commit_until, args=(database, done, sender))
        other.start()
        ours = send_frozen(Path(folder), server.port, options.connections)
        done.set()
        busy = receiver.recv()
        other.join()
        assert server.count() == options.copies, server.count()
    p99 = busy.percentile(0.99)
    print(f"idle:    {idle}")
    print(f"sending: {busy}")
    print(f"ours {ours}")
    print(
        f"fairness: p99 {p99:.1f} ms (goal under {GOAL_MS:.0f}), {p99 / idle.percentile(0.99):.1f} times the idle one"
    )
    sys.exit(0 if p99 < GOAL_MS else 1)


def commit_until(database: Path, done: Event, sender: multiprocessing.connection.Connection) -> None:
    """Commit one row after the other in a process of its own, until *done* is set."""
    sender.send(committed(database, lambda _: not done.is_set()))


def committed(database: Path, go_on: Callable[[int], bool]) -> Waits:
    """Commit one row after the other, as a page or a command does: take the lock at once, write, make durable."""
    connection = sqlite3.connect(database, isolation_level=None, timeout=BUSY_SECONDS)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS fairness (number INTEGER)")
    times: list[float] = []
    while go_on(len(times)) or not times:
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO fairness VALUES (?)", (len(times),))
        connection.execute("COMMIT")
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(BETWEEN_SECONDS)
    connection.close()
    return Waits(sorted(times))


if __name__ == "__main__":
    main()
