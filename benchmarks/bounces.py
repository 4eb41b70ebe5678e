"""
How many returned mails a second are read, against flufl.bounce on the same files in the same run.

    python benchmarks/bounces.py FOLDER [ROUNDS]

FOLDER holds mails, one a file. flufl.bounce only looks for addresses; ours also says why, and what it counts.
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path

from flufl.bounce import all_failures

from newsletter.cli.bounces import begins_like_a_mail
from subscribers.bounces.report import read_report

DEFAULT_FOLDER = Path(__file__).resolve().parent.parent.parent / "shared" / "bounces"


def seconds(read: Callable[[bytes], object], mails: list[bytes]) -> float:
    start = time.process_time()
    for mail in mails:
        read(mail)
    return time.process_time() - start


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER
    logging.disable(logging.CRITICAL)  # flufl.bounce logs the exceptions it then raises
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if not folder.is_dir():
        print(f"bounces: skipped, there is no folder {folder}; name one that holds returned mail")
        return
    mails = [p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and begins_like_a_mail(p)]

    crashed: set[bytes] = set()

    def flufl(raw: bytes) -> None:
        try:
            all_failures(message_from_bytes(raw))
        except Exception:
            crashed.add(raw)

    pairs = [(seconds(read_report, mails), seconds(flufl, mails)) for _ in range(rounds)]
    ours, theirs = (len(mails) / statistics.median(p[i] for p in pairs) for i in (0, 1))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"bounces: {len(mails)} mails, {ours:,.0f} a second of CPU; flufl.bounce {theirs:,.0f}; ratio {ratio:.2f}")
    print(f"bounces: flufl.bounce gave up with an exception on {len(crashed)} of them, ours on none")


if __name__ == "__main__":
    main()
