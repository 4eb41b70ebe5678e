"""
The cost of growth: seconds a message from first claim to last outcome, for ever longer lists; prints the spread.

    python benchmarks/send_growth.py [--rounds 3] [SIZE ...]     (default 1000 10000 100000 500000)

Goal: within 20 % of each other, and no more memory for the longest list than for the shortest with all it keeps. Each
size is sent several times and its median taken; the short ones more often, since they end before the machine settles.
Needs the Debian package postfix.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from sending import Sent, prepare, send_frozen, sink

GOAL, MOST_MB, CONNECTIONS = 1.2, 150, 10
SIZES = (1_000, 10_000, 100_000, 500_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    costs: dict[int, float] = {}
    peak = 0.0
    for size in options.sizes:
        rounds = options.rounds if size <= 100_000 else 1
        runs = [one_run(size) for _ in range(rounds * 3 if size < 10_000 else rounds)]
        costs[size] = statistics.median(run.seconds / run.copies for run in runs)
        peak = max(peak, *(run.peak_mb for run in runs))
        print(f"{size:>9,} people: {costs[size] * 1e6:.0f} us a message; the last run: {runs[-1]}", flush=True)
    ratio = max(costs.values()) / min(costs.values())
    print(f"send_growth: ratio {ratio:.2f} between dearest and cheapest (at most {GOAL}), {peak:.0f} MB at most")
    sys.exit(0 if ratio <= GOAL and peak < MOST_MB else 1)


def one_run(size: int) -> Sent:
    with tempfile.TemporaryDirectory() as folder, sink(CONNECTIONS) as server:
        prepare(Path(folder), size)
        ours = send_frozen(Path(folder), server.port, CONNECTIONS)
        assert server.count() == size, server.count()
    return ours


if __name__ == "__main__":
    main()
