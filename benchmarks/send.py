"""
Sending against the wire: our engine and Postfix's `smtp-source`, each to `smtp-sink`, in one run; prints the ratio.

    python benchmarks/send.py [--copies 50000] [--connections 10] [--rounds 3]

Goal: at least 0.6, in one process and in less than 150 MB, however many people there are. Counted from the first
claim to the last outcome, with the journal, the frozen audience, the gate and the personal signed links on. Each copy
has about 20 kB. Needs the Debian package postfix.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from sending import prepare, send_frozen, sink, source_rate

GOAL, MOST_MB = 0.6, 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=50_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = [one_round(options.copies, options.connections) for _ in range(options.rounds)]
    ratio, peak = statistics.median(ratio for ratio, _ in rounds), max(peak for _, peak in rounds)
    print(f"send: ratio {ratio:.2f} of smtp-source (median of {options.rounds}, goal {GOAL}), {peak:.0f} MB")
    sys.exit(0 if ratio >= GOAL and peak < MOST_MB else 1)


def one_round(copies: int, connections: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        size = prepare(Path(folder), copies)
        with sink(connections) as server:
            reference = source_rate(server.port, copies, size, connections)
            assert server.count() == copies, server.count()
        with sink(connections) as server:
            ours = send_frozen(Path(folder), server.port, connections)
            assert server.count() == copies, server.count()
    ratio = ours.rate / reference
    print(f"smtp-source {reference:,.0f} a second; ours {ours}: ratio {ratio:.2f} ({size} bytes each)")
    return ratio, ours.peak_mb


if __name__ == "__main__":
    main()
