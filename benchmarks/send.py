"""
Sending against the wire: our engine and Postfix's `smtp-source`, each to `smtp-sink`, in one run; prints the ratio.

    python benchmarks/send.py [--copies 50000] [--connections 10] [--rounds 3]

Goal: at least 0.6. Counted from the first claim to the last outcome, with the journal, the frozen audience, the gate
and the personal signed links on. Each copy has about 20 kB. The sink's own count is the truth. Needs the Debian
package postfix (`smtp-sink` and `smtp-source`).
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert, select

from newsletter.app import App
from newsletter.config import Config
from newsletter.keys import create_keys
from newsletter.paths import Workspace
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue
from newsletter.send.claims import Claimed
from newsletter.send.copies import CopyMaker
from newsletter.send.dispatch import send_issue
from newsletter.send.plan import PlannedVariant, freeze
from newsletter.tables import Delivery, Issue, Variant
from subscribers.db import Base
from subscribers.tables import Basis, MailingList, Subscriber, Subscription, SubscriptionState
from subscribers.tokens import address_hash

GOAL = 0.6
CHUNK = 5_000
NAME, UNSUBSCRIBE, PREFERENCES = (
    f"\ufdd0{slot}\ufdd1" for slot in ("first_name|friend", "unsubscribe_url", "preferences_url")
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=50_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="Print where the event loop's time goes.")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(Path(options.child[0]), int(options.child[1]), options.connections, options.profile)
        return
    for tool in ("smtp-sink", "smtp-source"):
        if shutil.which(tool) is None and not Path("/usr/sbin", tool).exists():
            raise SystemExit(f"{tool} is not here: install the package postfix")
    ratios = [one_round(options) for _ in range(options.rounds)]
    ratio = statistics.median(ratios)
    print(f"send: ratio {ratio:.2f} of smtp-source (median of {options.rounds}, goal {GOAL})")
    sys.exit(0 if ratio >= GOAL else 1)


def one_round(options: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as folder, sink(options.connections) as port:
        size = prepare(Path(folder), options.copies, port, options.connections)
        reference = source_rate(port, options.copies, size, options.connections)
    with tempfile.TemporaryDirectory() as folder, sink(options.connections) as port:
        prepare(Path(folder), options.copies, port, options.connections)
        words = [sys.executable, __file__, "--connections", str(options.connections), "--child", folder, str(port)]
        words += ["--profile"] if options.profile else []
        output = subprocess.run(words, check=True, capture_output=True, text=True)
    print(output.stdout, end="")
    rate = float(re.findall(r"rate ([\d.]+)", output.stdout)[0])
    print(f"smtp-source {reference:,.0f} a second, ours {rate:,.0f}: ratio {rate / reference:.2f} ({size} bytes each)")
    return rate / reference


def child(workspace: Path, port: int, connections: int, profile: bool) -> None:
    """Send the issue in a process of its own, as the command does."""
    app = App(workspace=Workspace(workspace), config=config(port, connections), actor="benchmark")
    if profile:
        import cProfile
        import pstats

        profiler = cProfile.Profile()
        profiler.enable()
        report = send_issue(app, 1)
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
    else:
        started = time.process_time()
        report = send_issue(app, 1)
        print(f"  CPU {(time.process_time() - started) / report.counts['sent'] * 1e6:.0f} us a message")
    sent = report.counts["sent"]
    if sent != report.counts["planned"]:
        raise SystemExit(f"only {report.counts}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  rate {sent / report.seconds:.1f}  seconds {report.seconds:.2f}  peak memory {peak:.0f} MB")


@contextmanager
def sink(connections: int) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
    user = ["-u", "nobody"] if _is_root() else []
    with subprocess.Popen([path, *user, f"127.0.0.1:{port}", str(connections * 20)]) as process:
        time.sleep(0.3)
        try:
            yield port
        finally:
            process.kill()


def _is_root() -> bool:
    import os

    return os.geteuid() == 0


def source_rate(port: int, copies: int, size: int, connections: int) -> float:
    path = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
    words = [path, "-d", "-s", str(connections), "-l", str(size), "-m", str(copies), f"127.0.0.1:{port}"]
    started = time.perf_counter()
    subprocess.run(words, check=True)
    return copies / (time.perf_counter() - started)


def config(port: int, connections: int) -> Config:
    smtp = {"host": "127.0.0.1", "port": port, "tls": "none", "connections": connections}
    return Config.model_validate(
        {
            "organisation": {
                "name": "Example Network",
                "postal_address": "1 High Street, Dudley DY1 1AA",
                "from_address": "news@example.org",
            },
            "smtp": {**smtp, "messages_per_connection": 1_000},
            "web": {"url": "https://news.example.org"},
        }
    )


def rendered() -> RenderedIssue:
    card = (
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr><td style="padding:'
        '16px 24px;font-family:Arial,sans-serif;font-size:16px;line-height:24px;color:#1a2b3c"><h2 style="margin:0">'
        "Community safety open day</h2><p>Come and meet the people who keep the town safe, in the hall beside the "
        'library.</p><a href="https://news.example.org/posts/open-day">Read more</a></td></tr></table>\n'
    )
    html = (
        f"<html><body><p>Dear {NAME}</p>{card * 33}<a href='{UNSUBSCRIBE}'>Leave</a> <a href='{PREFERENCES}'>Choose</a>"
    )
    text = f"Dear {NAME}\n\n" + "Community safety open day, in the hall beside the library.\n" * 60 + UNSUBSCRIBE
    return RenderedIssue("November news", "", html + "</body></html>\n", text + "\n", "en-GB")


def prepare(folder: Path, copies: int, port: int, connections: int) -> int:
    """Make a workspace with a frozen issue for *copies* people; return the size of one copy."""
    workspace = Workspace(folder)
    workspace.locks.mkdir(parents=True, exist_ok=True)
    create_keys(workspace.secrets)
    app, now = App(workspace=workspace, config=config(port, connections), actor="benchmark"), datetime.now(UTC)
    with app.database.write() as session:
        Base.metadata.create_all(session.connection())
        session.add(MailingList(id=1, name="members", title="Members", created_at=now))
        issue = Issue(slug="2026-11", created_at=now, edited_at=now, edited_by="benchmark")
        session.add(issue)
        session.flush()
        for start in range(1, copies + 1, CHUNK):
            _people(session, app, range(start, min(start + CHUNK, copies + 1)), now)
        headers = MessageHeaders(
            "Example Network", "news@example.org", "", "members.example.org", "Members", "leave@example.org", "", "en"
        )
        freeze(
            session,
            issue,
            audience=select(Subscription.subscriber_id, Subscription.list_id),
            variants=[PlannedVariant(1, None, rendered(), headers)],
            keys=app.keys,
            config=app.config,
            now=now,
        )
        maker = CopyMaker.load(session, issue.id, app.config, app.keys)
        row = session.get_one(Delivery, 1)
        assert session.get_one(Variant, row.variant_id).issue_id == issue.id
        names = {name: getattr(row, name) for name in Claimed._fields}
    app.close()
    return len(maker.make(Claimed(**names)).body)


def _people(session, app: App, numbers: range, now: datetime) -> None:  # type: ignore[no-untyped-def]
    people = []
    for n in numbers:
        address = f"person{n}@domain{n % 500}.example"
        people.append(
            {
                "id": n,
                "token_id": n.to_bytes(16, "big"),
                "address": address,
                "key": address,
                "address_hash": address_hash(app.keys.pepper, address),
                "domain": address.partition("@")[2],
                "first_name": f"Name{n % 997}",
                "joined_at": now,
                "updated_at": now,
            }
        )
    session.execute(insert(Subscriber), people)
    state, basis = SubscriptionState.SUBSCRIBED, Basis.CONSENT
    rows = [{"subscriber_id": n, "list_id": 1, "state": state, "basis": basis, "since": now} for n in numbers]
    session.execute(insert(Subscription), rows)


if __name__ == "__main__":
    main()
