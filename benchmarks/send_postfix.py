"""
Sending to a real Postfix against `smtp-source` sending to it: what the mail server takes, we give; prints the ratio.

    python benchmarks/send_postfix.py [--copies 3000] [--connections 10] [--rounds 5] [--shared]

Goal: at least 0.95 in the median of five. `smtp-source` sends a copy of ours, each to an address of its own; before and
after our run, since the disk is not always equally fast. Postfix queues each message durably before it answers, and
delivers it into a Maildir at the same time; its own log says how many. It has half of the cores and whoever sends the
other half, as a mail server stands on a machine of its own; `--shared` lets both take from all cores, where each
microsecond that a sender computes is one that the server lacks. Needs root and the Debian package postfix.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from peers import Postfix, running_postfix
from sending import SAMPLE, prepare, send_frozen, source_rate_of

GOAL = 0.95
DRAIN_SECONDS = 120

# Its clients come one after the other from one address here, as they never do elsewhere.
NO_RATE_LIMIT = "smtpd_client_connection_rate_limit = 0\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=3_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shared", action="store_true", help="both on all cores")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("send_postfix: skipped, only root can start Postfix")
        return
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    servers, senders = (cores, cores) if options.shared or not half else (cores[:half], cores[half:])
    os.sched_setaffinity(0, servers)  # what is started has the cores of whoever starts it
    with running_postfix(NO_RATE_LIMIT) as server:
        os.sched_setaffinity(0, senders)
        ratios = [one_round(server, options.copies, options.connections) for _ in range(options.rounds)]
    ratio = statistics.median(ratios)
    place = "on the same cores" if servers == senders else f"on {half} of {len(cores)} cores, the senders on the others"
    print(f"send_postfix: ratio {ratio:.2f} of smtp-source to the same Postfix {place} (median, goal {GOAL})")
    sys.exit(0 if ratio >= GOAL else 1)


def one_round(server: Postfix, copies: int, connections: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, copies, domain="example.org")

        def reference() -> float:
            _settled(server)
            return source_rate_of(folder / SAMPLE, server.port, copies, connections, to="person@example.org")

        first = reference()
        before = _settled(server)
        ours = send_frozen(folder, server.port, connections)
        taken = _settled(server) - before
        last = reference()
    assert taken == copies, f"Postfix took {taken} of {copies}"
    ratio = ours.rate * 2 / (first + last)
    print(f"smtp-source {first:,.0f} and {last:,.0f} a second; ours {ours}: ratio {ratio:.2f}", flush=True)
    return ratio


def _settled(server: Postfix) -> int:
    """Wait until the queue is empty, so that no run pays for the one before; return what was delivered so far."""
    queues = [server.folder / "queue" / name for name in ("maildrop", "incoming", "active", "deferred")]
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        if not any(path.is_file() for queue in queues for path in queue.rglob("*")):
            time.sleep(0.5)  # the log is written by another process
            return server.log.count("(delivered to maildir)")
        time.sleep(0.2)
    raise SystemExit("Postfix does not get its queue empty")


if __name__ == "__main__":
    main()
