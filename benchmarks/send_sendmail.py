"""
Our engine against the same project with plain `aiosmtplib.SMTP.sendmail`, on as many connections; prints the ratio.

    python benchmarks/send_sendmail.py [--copies 20000] [--connections 10] [--rounds 3]

Goal: at least 3 times. The other side claims, composes, passes the gate, commits intent and outcome by the same code
and the same journal; only the conversation is aiosmtplib's own: four round trips a message instead of one. Needs the
Debian package postfix.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import aiosmtplib
from sending import config, prepare, send_frozen, sink

from newsletter.app import App
from newsletter.paths import Workspace
from newsletter.send.claims import Wanted
from newsletter.send.copies import Copy, CopyMaker
from newsletter.send.feeding import CLAIM_ROWS
from newsletter.send.journal import Granted, Journal, Outcome
from newsletter.send.owner import Owner
from newsletter.send.replies import SmtpReply
from newsletter.send.runtime import loop_factory
from newsletter.tables import DeliveryState

GOAL = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(send_plainly(Path(options.child[0]), int(options.child[1]), options.connections))
        return
    ratio = statistics.median(one_round(options) for _ in range(options.rounds))
    print(f"send_sendmail: {ratio:.1f} times aiosmtplib.SMTP.sendmail (median of {options.rounds}, goal {GOAL:.0f})")
    sys.exit(0 if ratio >= GOAL else 1)


def one_round(options: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as folder, sink(options.connections) as server:
        prepare(Path(folder), options.copies)
        words = [sys.executable, __file__, "--connections", str(options.connections), "--child", folder]
        done = subprocess.run([*words, str(server.port)], check=True, capture_output=True, text=True)
        plain = json.loads(done.stdout)["rate"]
        assert server.count() == options.copies, server.count()
    with tempfile.TemporaryDirectory() as folder, sink(options.connections) as server:
        prepare(Path(folder), options.copies)
        ours = send_frozen(Path(folder), server.port, options.connections)
        assert server.count() == options.copies, server.count()
    print(f"sendmail {plain:,.0f} a second; ours {ours}: ratio {ours.rate / plain:.1f}")
    return ours.rate / plain


async def send_plainly(folder: Path, port: int, connections: int) -> None:
    """Send a frozen issue by as many aiosmtplib clients; print the rate from the first claim to the last outcome."""
    app = App(workspace=Workspace(folder), config=config(port, connections), actor="benchmark")
    with Owner(app.database, app.workspace.locks, app.now) as owner:
        lease = timedelta(seconds=app.config.send.lease_seconds)
        journal = Journal(app.database, owner=owner.id, pepper=app.keys.pepper, lease=lease, clock=app.now)
        maker = await journal.in_session(lambda session: CopyMaker.load(session, 1, app.config, app.keys))
        started, sent = time.perf_counter(), 0
        copies: asyncio.Queue[Copy | None] = asyncio.Queue(maxsize=2 * CLAIM_ROWS)
        lanes = [asyncio.create_task(_lane(port, journal, copies)) for _ in range(connections)]
        while rows := (await journal.claim(Wanted(1, CLAIM_ROWS))).rows:
            for row in rows:
                await copies.put(maker.make(row))
            sent += len(rows)
        for _ in lanes:
            await copies.put(None)
        await asyncio.gather(*lanes)
        await journal.close()
        print(json.dumps({"rate": sent / (time.perf_counter() - started)}))


async def _lane(port: int, journal: Journal, copies: asyncio.Queue[Copy | None]) -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
    await client.connect()
    while (copy := await copies.get()) is not None:
        # The intent comes before the conversation here: aiosmtplib does not let go of the final dot.
        assert await journal.intend(copy.row.id) is Granted.YES
        sender, recipient = (line.split(b"<")[1].rstrip(b">\r\n").decode() for line in (copy.mail, copy.rcpt))
        _, text = await client.sendmail(sender, [recipient], copy.body)
        journal.record(Outcome(copy.row.id, DeliveryState.SENT, copy.row.attempt, reply=SmtpReply(250, text)))
    await client.quit()


if __name__ == "__main__":
    main()
