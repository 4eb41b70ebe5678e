"""
Whether any bytes give an answer, soon, and in the same memory: mutated mails, one after the other.

    python benchmarks/fuzz_bounces.py [FOLDER] [--mails 200000] [--seed 1]

FOLDER holds mails, one a file. Exit 1 when a mail raised an exception, took more than 200 ms of CPU, or the memory
grew; the mail is then written beside where it was run from, so that it can be looked at.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from newsletter.cli.bounces import begins_like_a_mail
from subscribers.bounces.report import read_report

DEFAULT_FOLDER = Path(__file__).resolve().parent.parent.parent / "shared" / "bounces"
LONGEST_MS = 200.0
MOST_GROWTH_MB = 20.0
WARM_UP_SHARE = 0.2
SWOLLEN_ONE_IN = 50

# What parsers, decoders and patterns stumble over.
NASTY = (
    b"\x00", b"\r", b"\n", b"\r\n\r\n", b"\n\n", b"\xff\xfe", b"\xed\xa0\x80", b"=?utf-8?b?=?=", b"=?x?q?=0?=", b"=\n",
    b"=?utf-8?q?" + b"=F0" * 40 + b"?=", b"<" * 500, b"(" * 500, b" " * 5_000, b"\t" * 2_000, b"a" * 5_000, b"@" * 500,
    b"a@" * 500, b"<a@b>:" * 200, b"." * 3_000, b"5.1.1 " * 300, b";" * 500, b'"' * 501, b">" * 2_000, b"-" * 3_000,
    b"\nContent-Type: multipart/mixed; boundary=x\n\n--x\n", b"\nContent-Type: message/rfc822\n\n", b"--\n",
    b"\nContent-Transfer-Encoding: base64\n", b"\nContent-Transfer-Encoding: x-uuencode\n",
    b"\nContent-Type: text/html\n",
    b"; charset=utf-7", b"; charset=idna", b"; charset*=utf-8''%00", b"; boundary*0=a; boundary*1=b", b"[" * 3_000,
    b"\nFrom MAILER-DAEMON ", b"\nFinal-Recipient: rfc822;", b"\nStatus: 5.\n", b"{" * 3_000, b"\nReceived: " * 200,
    b"original message " * 100, b"\n \n" * 500, b"to: " * 800, b"<br>" * 500, b"recipient <" * 300,
)  # fmt: skip


def flip(mail: bytearray, rng: random.Random, _other: bytes) -> None:
    for _ in range(rng.randint(1, 30)):
        if mail:
            mail[rng.randrange(len(mail))] = rng.randrange(256)


def cut(mail: bytearray, rng: random.Random, _other: bytes) -> None:
    start = rng.randrange(len(mail) + 1)
    del mail[start : start + rng.randint(1, 2_000)]


def insert(mail: bytearray, rng: random.Random, _other: bytes) -> None:
    at = rng.randrange(len(mail) + 1)
    mail[at:at] = rng.choice(NASTY) * rng.choice((1, 1, 1, 4))


def repeat(mail: bytearray, rng: random.Random, _other: bytes) -> None:
    start = rng.randrange(len(mail) + 1)
    piece = mail[start : start + rng.randint(1, 400)]
    at = rng.randrange(len(mail) + 1)
    mail[at:at] = piece * rng.randint(2, 20)


def splice(mail: bytearray, rng: random.Random, other: bytes) -> None:
    start = rng.randrange(len(other) + 1)
    at = rng.randrange(len(mail) + 1)
    mail[at:at] = other[start : start + rng.randint(1, 5_000)]


def shuffle_lines(mail: bytearray, rng: random.Random, _other: bytes) -> None:
    lines = bytes(mail).split(b"\n")
    for _ in range(rng.randint(1, 10)):
        a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[a], lines[b] = lines[b], lines[a]
    mail[:] = b"\n".join(lines)


def turn_line_ends(mail: bytearray, rng: random.Random, _other: bytes) -> None:
    mail[:] = bytes(mail).replace(b"\n", rng.choice((b"\r", b"\r\n", b"\n\n", b" ", b"\r\r\n")))


def end_early(mail: bytearray, rng: random.Random, _other: bytes) -> None:
    del mail[rng.randrange(len(mail) + 1) :]


def swell(mail: bytearray, rng: random.Random, _other: bytes) -> None:
    """Insert up to 300 kB of one thing: what is quadratic shows here."""
    piece = rng.choice(NASTY)
    at = rng.randrange(len(mail) + 1)
    mail[at:at] = piece * (rng.randint(20_000, 300_000) // len(piece))


Mutation = Callable[[bytearray, random.Random, bytes], None]
MUTATIONS: tuple[Mutation, ...] = (flip, cut, insert, repeat, splice, shuffle_lines, turn_line_ends, end_early)


def mutated(mails: list[bytes], count: int, rng: random.Random) -> Iterator[bytes]:
    """Yield so many mails, each changed in one to five ways."""
    for _ in range(count):
        mail = bytearray(rng.choice(mails))
        for _ in range(rng.randint(1, 5)):
            rng.choice(MUTATIONS)(mail, rng, rng.choice(mails))
        if rng.randrange(SWOLLEN_ONE_IN) == 0:
            swell(mail, rng, b"")
        yield bytes(mail)


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER)
    arguments.add_argument("--mails", type=int, default=200_000)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    if not options.folder.is_dir():
        print(f"fuzz: skipped, there is no folder {options.folder}; name one that holds returned mail")
        return 0
    mails = [p.read_bytes() for p in sorted(options.folder.rglob("*")) if p.is_file() and begins_like_a_mail(p)]
    rng = random.Random(options.seed)
    raised = slow = 0
    slowest = before = 0.0
    gc.collect()
    for number, mail in enumerate(mutated(mails, options.mails, rng)):
        start = time.thread_time()
        try:
            read_report(mail)
        except Exception as error:
            raised += 1
            Path(f"fuzz-raised-{number}.eml").write_bytes(mail)
            print(f"fuzz: mail {number} raised {type(error).__name__}: {error}")
        took = (time.thread_time() - start) * 1000
        slowest = max(slowest, took)
        if took > LONGEST_MS:
            slow += 1
            Path(f"fuzz-slow-{number}.eml").write_bytes(mail)
            print(f"fuzz: mail {number} took {took:.0f} ms")
        if number == int(options.mails * WARM_UP_SHARE):
            before = memory_mb()
    growth = memory_mb() - before
    print(
        f"fuzz: {options.mails:,} mails of {len(mails)}, {raised} exceptions, {slow} over {LONGEST_MS:.0f} ms "
        f"(slowest {slowest:.0f} ms), memory grew {growth:.1f} MB after the first fifth"
    )
    return 1 if raised or slow or growth > MOST_GROWTH_MB else 0


if __name__ == "__main__":
    sys.exit(main())
