"""
Signing (DKIM) while sending: our signer against the raw primitive, in the same threads beside the same sending.

    python benchmarks/send_signed.py [--copies 10000] [--connections 10] [--rounds 3]

Goal: at least 0.7 of the RSA-2048 signatures a second that the primitive gives. Ours composes, signs with RSA and
Ed25519 and checks each copy of about 20 kB; the other side calls the primitive once a copy and sends a finished one.
Everything else is the same: claims, journal, connections, the sink. Then the signer alone, both signatures of a copy,
against the primitive alone.
Needs the Debian package postfix.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from sending import config, prepare, send_frozen, sink
from sqlalchemy import select

from newsletter.app import App
from newsletter.paths import Workspace
from newsletter.send.ahead import threads_for_signing
from newsletter.send.copies import Copy, CopyMaker
from newsletter.send.dkim import Signer
from newsletter.send.journal import Claimed
from newsletter.tables import Delivery

GOAL = 0.7
SLICE_SECONDS, SLICES, ROWS = 0.5, 6, 1_000
DIGEST, PADDING, HASH = b"x" * 32, PKCS1v15(), SHA256()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratio = statistics.median(one_round(options.copies, options.connections) for _ in range(options.rounds))
    print(f"signing while sending: ratio {ratio:.2f} of the primitive (median of {options.rounds}, goal {GOAL})")
    alone = signer_alone()
    sys.exit(0 if min(ratio, alone) >= GOAL else 1)


def one_round(copies: int, connections: int) -> float:
    rates = []
    for first in ("import send_signed; send_signed.only_the_primitive()", ""):
        with tempfile.TemporaryDirectory() as folder, sink(connections) as server:
            size = prepare(Path(folder), copies, signed=True)
            sent = send_frozen(Path(folder), server.port, connections, first=first)
            assert server.count() == copies, server.count()
            rates.append(sent.rate)
    print(f"primitive {rates[0]:,.0f} a second; ours {sent}: ratio {rates[1] / rates[0]:.2f} ({size} bytes each)")
    return rates[1] / rates[0]


def only_the_primitive() -> None:
    """Replace the making of copies by one RSA signature, beside one copy that is made properly and sent each time."""
    make = CopyMaker.make
    made: list[Copy] = []

    def sign_only(self: CopyMaker, row: Claimed, not_before: float = 0.0) -> Copy:
        if not made:
            made.append(make(self, row, not_before))
        rsa_key(self).sign(DIGEST, PADDING, HASH)
        return Copy(row, made[0].mail, made[0].rcpt, made[0].body, not_before)

    CopyMaker.make = sign_only  # type: ignore[method-assign]


def signer_of(maker: CopyMaker) -> Signer:
    signer = next(iter(maker._variants.values())).signer
    assert signer is not None
    return signer


def rsa_key(maker: CopyMaker) -> RSAPrivateKey:
    key = signer_of(maker).keys[0].key
    assert isinstance(key, RSAPrivateKey)
    return key


def signer_alone() -> float:
    """Return the ratio in as many threads as sending takes, with nothing else going on."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), ROWS, signed=True)
        app = App(workspace=Workspace(Path(folder)), config=config(25, 1), actor="benchmark")
        with app.database.read() as session:
            maker = CopyMaker.load(session, 1, app.config, app.keys)
            rows = [
                Claimed(**{name: getattr(row, name) for name in Claimed._fields})
                for row in session.scalars(select(Delivery))
            ]
        app.close()
    unsigned = [body[body.index(b"From: ") :] for body in (maker.make(row).body for row in rows)]
    signer, key, count = signer_of(maker), rsa_key(maker), threads_for_signing(cautious=False)
    primitive, ours = [], []
    for _ in range(SLICES):  # by turns, so that both meet the same machine
        primitive.append(threaded_rate(lambda _: key.sign(DIGEST, PADDING, HASH), count))
        ours.append(threaded_rate(lambda n: signer.sign(unsigned[n % ROWS], 1, body_is_relaxed=True), count))
    ratio = statistics.median(o / p for o, p in zip(ours, primitive, strict=True))
    rates = f"primitive {statistics.median(primitive):,.0f} a second, ours {statistics.median(ours):,.0f}"
    print(f"the signer alone, {count} threads: {rates}: ratio {ratio:.2f} (goal {GOAL})")
    return ratio


def threaded_rate(work: Callable[[int], object], threads: int) -> float:
    counts = [0] * threads
    end = time.perf_counter() + SLICE_SECONDS

    def run(thread: int) -> None:
        while time.perf_counter() < end:
            work(counts[thread])
            counts[thread] += 1

    running = [threading.Thread(target=run, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / SLICE_SECONDS


if __name__ == "__main__":
    main()
