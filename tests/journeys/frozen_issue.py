"""An issue frozen for many people in a workspace of its own, the server it goes to, and the processes that send it."""

from __future__ import annotations

import json
import multiprocessing
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update

from newsletter.app import App
from newsletter.keys import create_keys
from newsletter.paths import Workspace
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue
from newsletter.send.plan import PlannedVariant, freeze
from newsletter.send.status import issue_counts
from newsletter.tables import Delivery, DeliveryState, Issue
from subscribers.db import Base
from subscribers.tables import Basis, MailingList, Subscriber, Subscription, SubscriptionState
from subscribers.tokens import address_hash
from tests.journeys import guarantee
from tests.journeys.kill_loop import Run, send

SINK = Path(__file__).parent.parent / "send" / "smtp_sink.py"
# Forked from a process that has imported the program already, a sender starts in a few milliseconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.journeys.kill_loop"])
HEADERS = MessageHeaders(
    "Example Network", "news@example.org", "", "members.news.example.org", "Members", "", "", "en-GB"
)
RENDERED = RenderedIssue("News", "", "<p>Dear \ufdd0first_name|friend\ufdd1</p>\n" * 50, "News\n", "en-GB")


class Log:
    """The server's log, read on from where it was read last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[dict[str, Any]] = []
        self.accepted = 0
        self._offset, self._rest = 0, b""

    def skip_all(self) -> None:
        """Begin at the end of what is logged so far."""
        self._offset = self.path.stat().st_size

    def read(self) -> list[dict[str, Any]]:
        """Return everything logged so far."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        fresh = [json.loads(line) for line in lines]
        self.accepted += sum(event["event"] == "accepted" for event in fresh)
        self.events += fresh
        return self.events


@contextmanager
def server(folder: Path, rules: Sequence[dict[str, Any]], *flags: str) -> Iterator[tuple[int, Path]]:
    """Run the scripted server; yield its port and its log."""
    log = folder / "sink.log"
    log.touch()
    words = [sys.executable, str(SINK), "--log", str(log), "--rules", json.dumps(rules), *flags]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        try:
            yield int(sink.stdout.readline()), log
        finally:
            sink.kill()


@dataclass
class FrozenIssue:
    """An issue to be sent, by *run* and others like it, and what the server says of it."""

    run: Run
    people: int
    log: Log
    stops: int = 0

    def start(self, **changes: Any) -> ForkServerProcess:
        process = PROCESSES.Process(target=send, args=(replace(self.run, **changes),))
        process.start()
        return process

    def attempt(self, **changes: Any) -> int:
        """Run one process to its end; return how it ended: 0, or the signal, negative."""
        process = self.start(**changes)
        process.join(1800)
        code = process.exitcode
        assert code in (0, -9), self.words
        self.stops += code == -9
        return code

    def kill(self, process: ForkServerProcess) -> None:
        """End a process abruptly; one that has ended by itself is not counted."""
        process.kill()
        process.join()
        assert process.exitcode in (0, -9), self.words
        self.stops += process.exitcode == -9

    def finish(self) -> None:
        """Send to the end: what is deferred is made due again until nothing is left to do."""
        app = self.run.app()
        for _ in range(60):
            assert self.attempt() == 0
            with app.database.write() as session:
                if issue_counts(session, self.run.issue_id)["state"] == "sent":
                    break
                due = update(Delivery).where(Delivery.state == DeliveryState.DEFERRED)
                session.execute(due.values(retry_at=datetime.now(UTC) - timedelta(seconds=1)))
        app.close()

    def rows(self) -> list[tuple[str, str]]:
        app = self.run.app()
        with app.database.read() as session:
            found = session.execute(select(Delivery.address, Delivery.state)).all()
        app.close()
        return [(address, state.value) for address, state in found]

    def check(self) -> None:
        """Fail with every promise that is broken; print the figures of the run."""
        rows, events = self.rows(), self.log.read()
        print(guarantee.figures(rows, events, stops=self.stops))
        assert self.broken() == [], self.words

    def broken(self) -> list[str]:
        return guarantee.broken_promises(
            self.rows(), self.log.read(), planned=self.people, stops=self.stops, connections=self.run.connections
        )

    def wait_for(self, accepted: int, process: ForkServerProcess) -> bool:
        """Wait until the server has taken over *accepted* messages; False when the process ended before."""
        give_up = time.monotonic() + 600
        while process.is_alive() and time.monotonic() < give_up:
            self.log.read()
            if self.log.accepted >= accepted:
                time.sleep(random.uniform(0, 0.004))
                return True
            time.sleep(0.001)
        return False

    @property
    def words(self) -> str:
        path = self.run.workspace / "child.err"
        return path.read_text()[-4_000:] if path.exists() else ""


def freeze_issue(run: Run, people: int) -> Run:
    """Make a workspace with an issue frozen for *people*; return the run that sends it."""
    workspace = Workspace(run.workspace)
    workspace.locks.mkdir(parents=True)
    create_keys(workspace.secrets)
    app, now = run.app(), datetime.now(UTC)
    with app.database.write() as session:
        Base.metadata.create_all(session.connection())
        mailing_list = MailingList(name="members", title="Members", created_at=now)
        issue = Issue(slug="2026-11", created_at=now, edited_at=now, edited_by="tester")
        session.add_all([mailing_list, issue])
        session.flush()
        session.execute(insert(Subscriber), [_person(app, n, now) for n in range(1, people + 1)])
        state, basis = SubscriptionState.SUBSCRIBED, Basis.CONSENT
        common = {"list_id": mailing_list.id, "state": state, "basis": basis, "since": now}
        session.execute(insert(Subscription), [{"subscriber_id": n, **common} for n in range(1, people + 1)])
        freeze(
            session,
            issue,
            audience=select(Subscription.subscriber_id, Subscription.list_id),
            variants=[PlannedVariant(1, None, RENDERED, HEADERS)],
            keys=app.keys,
            config=app.config,
            now=now,
        )
        made = replace(run, issue_id=issue.id)
    app.close()
    return made


def _person(app: App, n: int, now: datetime) -> dict[str, Any]:
    address = f"person{n}@domain{n % 50}.example"
    return {
        "id": n,
        "token_id": n.to_bytes(16, "big"),
        "address": address,
        "key": address,
        "address_hash": address_hash(app.keys.pepper, address),
        "domain": address.partition("@")[2],
        "first_name": f"Name{n}",
        "joined_at": now,
        "updated_at": now,
    }
