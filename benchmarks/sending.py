"""
What the benchmarks of sending share: Postfix's `smtp-sink` and `smtp-source`, a frozen issue, a process that sends it.

The sink counts what it took over; that count, and never our own, decides how much was sent.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from newsletter.app import App
from newsletter.config.settings import Config, Dkim
from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue
from newsletter.send.copies import CopyMaker
from newsletter.send.dispatch import send_issue
from newsletter.send.journal import Claimed, Journal
from newsletter.send.plan import PlannedVariant, freeze
from newsletter.tables import Delivery, Issue, Variant
from subscribers.tables import Basis, MailingList, Subscriber, Subscription, SubscriptionState
from subscribers.tokens import address_hash

CHUNK = 5_000
START_SECONDS = 10
SAMPLE = "sample"  # in a prepared workspace: one copy, with the line ends that `smtp-source` wants
NAME, UNSUBSCRIBE, PREFERENCES = (
    f"\ufdd0{slot}\ufdd1" for slot in ("first_name|friend", "unsubscribe_url", "preferences_url")
)


@dataclass(frozen=True, slots=True)
class Sink:
    """A running `smtp-sink`."""

    port: int
    counters: Path

    def count(self) -> int:
        """Return how many messages it took over. Its counters are one line that it writes over and over."""
        with self.counters.open("rb") as file:
            file.seek(max(0, self.counters.stat().st_size - 200))
            last = file.read().rpartition(b"mesg=")[2]
        return int(last.strip() or 0)


@dataclass(frozen=True, slots=True)
class Sent:
    """One run of ours: from the first claim to the last outcome, in a process of its own."""

    copies: int
    seconds: float
    cpu_seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.copies / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.copies:,} in {self.seconds:.2f} s: {self.rate:,.0f} a second, "
            f"{self.cpu_seconds / self.copies * 1e6:.0f} us of CPU a message, {self.peak_mb:.0f} MB at the peak"
        )


def tool(name: str) -> str:
    """Return the path of a program of Postfix."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is not here: install the package postfix")
    return found


@contextmanager
def sink(connections: int, *flags: str) -> Iterator[Sink]:
    """Run `smtp-sink`, as nobody where we are root."""
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with tempfile.NamedTemporaryFile() as counters:
        words = [tool("smtp-sink"), "-c", *flags, *user, f"127.0.0.1:{port}", str(connections * 20)]
        with subprocess.Popen(words, stdout=counters) as process:
            try:
                wait_for(port)
                yield Sink(port, Path(counters.name))
            finally:
                process.kill()


def source_rate(port: int, copies: int, size: int, connections: int) -> float:
    """Return how many messages of *size* bytes a second `smtp-source` sends over as many connections."""
    return _source_rate(port, copies, connections, "-l", str(size))


def source_rate_of(message: Path, port: int, copies: int, connections: int, *, to: str) -> float:
    """As `source_rate`, with a message of ours, each copy to an address of its own as on any list."""
    return _source_rate(port, copies, connections, "-F", str(message), "-N", "-f", "news@example.org", "-t", to)


def _source_rate(port: int, copies: int, connections: int, *words: str) -> float:
    command = [tool("smtp-source"), "-d", "-s", str(connections), "-m", str(copies), *words, f"127.0.0.1:{port}"]
    started = time.perf_counter()
    subprocess.run(command, check=True)
    return copies / (time.perf_counter() - started)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def send_frozen(folder: Path, port: int, connections: int, *, first: str = "", **smtp: Any) -> Sent:
    """
    Send the issue of a prepared workspace in a process of its own, as the command does.

    Args:
        first: A statement for that process, to replace a part of the engine by what it is measured against.
    """
    words = json.dumps([str(folder), port, connections, smtp])
    code = f"import json, sys, sending\n{first}\nsending.child(*json.loads(sys.argv[1]))"
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code, words], cwd=here, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"sending failed:\n{done.stdout}{done.stderr}")
    return Sent(**json.loads(done.stdout.splitlines()[-1]))


def child(folder: str, port: int, connections: int, smtp: dict[str, Any]) -> None:
    """Send, and print a `Sent` as JSON; without `smtp` as the benchmarks' configuration has it."""
    app = App(workspace=Workspace(Path(folder)), config=config(port, connections, **smtp), actor="benchmark")
    first, last = _watched_journal()
    cpu = time.process_time()
    report = send_issue(app, 1)
    if report.counts["sent"] != report.counts["planned"]:
        raise SystemExit(f"only {report.counts}")
    values = {
        "copies": report.counts["sent"],
        "seconds": last[0] - first[0],
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": _peak_mb(),
    }
    print(json.dumps(values))


def _peak_mb() -> float:
    """Return this program's largest size. `ru_maxrss` would count the process that started it as well."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _watched_journal() -> tuple[list[float], list[float]]:
    """Note when the first claim is asked for, and when the last outcome is durable."""
    first: list[float] = []
    last = [0.0]
    claim, settle = Journal.claim, Journal._do

    def watched_claim(self: Journal, *values: Any) -> Any:
        first.append(time.perf_counter()) if not first else None
        return claim(self, *values)

    def watched_settle(self: Journal, connection: Any, work: Any) -> Any:
        answers = settle(self, connection, work)
        if work.outcomes:
            last[0] = time.perf_counter()
        return answers

    Journal.claim, Journal._do = watched_claim, watched_settle  # type: ignore[method-assign]
    return first, last


def config(port: int, connections: int, **smtp: Any) -> Config:
    usual = {"host": "127.0.0.1", "port": port, "tls": "none", "connections": connections}
    return Config.model_validate(
        {
            "organisation": {
                "name": "Example Network",
                "postal_address": "1 High Street, Dudley DY1 1AA",
                "from_address": "news@example.org",
            },
            "smtp": {**usual, "messages_per_connection": 1_000, **smtp},
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


def prepare(folder: Path, copies: int, *, domain: str = "domain{}.example", signed: bool = False) -> int:
    """
    Make a workspace with a frozen issue for *copies* people; return the size of one copy.

    Args:
        domain: Of their addresses; a number takes the place of the braces.
        signed: Have them signed (DKIM).
    """
    workspace = Workspace(folder)
    workspace.locks.mkdir(parents=True, exist_ok=True)
    create_keys(workspace.secrets)
    settings = config(25, 1).model_copy(update={"dkim": Dkim(enabled=signed)})
    app, now = App(workspace=workspace, config=settings, actor="benchmark"), datetime.now(UTC)
    if signed:
        app.keys.dkim.create("benchmark")
    open_and_upgrade(app.database_url)
    with app.database.write() as session:
        session.add(MailingList(id=1, name="members", title="Members", created_at=now))
        issue = Issue(slug="2026-11", created_at=now, edited_at=now, edited_by="benchmark")
        session.add(issue)
        session.flush()
        for start in range(1, copies + 1, CHUNK):
            _people(session, app, range(start, min(start + CHUNK, copies + 1)), domain, now)
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
    copy = maker.make(Claimed(**names)).body
    (folder / SAMPLE).write_bytes(copy.replace(b"\r\n", b"\n"))
    return len(copy)


def _people(session, app: App, numbers: range, domain: str, now: datetime) -> None:  # type: ignore[no-untyped-def]
    people = []
    for n in numbers:
        address = f"person{n}@{domain.format(n % 500)}"
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
