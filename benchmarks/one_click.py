"""
One-click unsubscribes while an issue goes out: how long a POST takes until its answer, which says that it is durable.

    python benchmarks/one_click.py [--copies 50000] [--clients 20] [--seconds 60] [--pause 0.0]

Goal: a 99th percentile under 50 ms, and none lost. `newsletter serve` runs as people run it, the site and the worker
beside each other; the worker's limit spreads the issue over the minute. Each client posts the link of another person as
a mail provider does, one after the other on a connection that it keeps, with a pause between two if that is given.
Afterwards every answered link must have left its list. Needs the Debian package postfix.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sending import config, free_port, prepare, sink, wait_for
from sqlalchemy import func, select

from newsletter.app import App
from newsletter.paths import Workspace
from newsletter.render.links import unsubscribe_url
from newsletter.tables import Delivery, DeliveryState
from subscribers.tables import Subscriber, Subscription, SubscriptionState
from subscribers.tokens import unsubscribe_token

GOAL_MS, CONNECTIONS = 50.0, 10
BODY = "List-Unsubscribe=One-Click"
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
port = {smtp}
tls = "none"
connections = {connections}
per_minute = {per_minute}
messages_per_connection = 1000
[web]
url = "http://127.0.0.1:{web}"
port = {web}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=50_000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two posts of a client")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sink(CONNECTIONS) as server:
        folder, web = Path(name), free_port()
        prepare(folder, options.copies)
        per_minute = int(options.copies * 60 / options.seconds)
        settings = {"smtp": server.port, "connections": CONNECTIONS, "per_minute": per_minute, "web": web}
        (folder / "config.toml").write_text(CONFIG.format(**settings))
        (folder / "config.toml").chmod(0o600)
        paths = links(folder, web)
        with serving(folder, web):
            while not server.count():
                time.sleep(0.1)
            sent_before = server.count()
            waits, gone, failures = post_all(web, paths, options.clients, options.seconds, options.pause)
            sent = server.count() - sent_before
        lost = gone - left(folder)
    waits.sort()
    p50, p99 = (waits[min(len(waits) - 1, int(len(waits) * share))] * 1e3 for share in (0.5, 0.99))
    print(
        f"one_click: {len(waits):,} posts for {gone:,} people by {options.clients} clients in {options.seconds:.0f} s, "
        f"while {sent:,} copies left: p50 {p50:.1f} ms, p99 {p99:.1f} ms (under {GOAL_MS:.0f}), "
        f"max {waits[-1] * 1e3:.1f} ms; {failures} refused, {max(0, lost)} lost"
    )
    sys.exit(0 if p99 < GOAL_MS and lost <= 0 and not failures and sent else 1)


def links(folder: Path, web: int) -> list[str]:
    """Return the paths of everybody's unsubscribe links; the last who are mailed first, so that some stop a copy."""
    app = App(workspace=Workspace(folder), config=config(25, 1), actor="benchmark")
    with app.database.read() as session:
        people = session.scalars(select(Subscriber.token_id).order_by(Subscriber.id.desc())).all()
    tokens = (unsubscribe_token(app.keys.links.current, person, 1) for person in people)
    found = [urlsplit(unsubscribe_url(f"http://127.0.0.1:{web}", token)).path for token in tokens]
    app.close()
    return found


@contextmanager
def serving(folder: Path, web: int) -> Iterator[None]:
    command = [sys.executable, "-m", "newsletter.cli.main", "--workspace", str(folder), "serve"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_for(web)
            yield
        except BaseException:
            print((folder / "log").read_text(), file=sys.stderr)
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def post_all(web: int, paths: list[str], clients: int, seconds: float, pause: float) -> tuple[list[float], int, int]:
    """Let the clients post, in a process of their own; return the waits, the number of people, and of refusals."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_clients, (web, paths, clients, seconds, pause))


def _clients(web: int, paths: list[str], clients: int, seconds: float, pause: float) -> tuple[list[float], int, int]:
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for path in paths:
        waiting.put(path)
    waits: list[float] = []
    gone: set[str] = set()
    failures: list[int] = []
    ends = time.perf_counter() + seconds

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", web, timeout=60)
        while time.perf_counter() < ends and not waiting.empty():
            path, started = waiting.get(), time.perf_counter()
            connection.request("POST", path, BODY, HEADERS)
            answer = connection.getresponse()
            answer.read()
            waits.append(time.perf_counter() - started)
            waiting.put(path)  # when all have left, some ask once more
            if answer.status == 200:
                gone.add(path)
            else:
                failures.append(answer.status)
            time.sleep(pause)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits, len(gone), len(failures)


def left(folder: Path) -> int:
    """Return how many have left the list; nobody that has may be mailed any more."""
    app = App(workspace=Workspace(folder), config=config(25, 1), actor="benchmark")
    with app.database.read() as session:
        gone = Subscription.state == SubscriptionState.UNSUBSCRIBED
        count = session.scalar(select(func.count()).select_from(Subscription).where(gone)) or 0
        states = session.execute(
            select(Delivery.state, func.count())
            .join(Subscription, Subscription.subscriber_id == Delivery.subscriber_id)
            .where(gone)
            .group_by(Delivery.state)
        ).all()
    app.close()
    print(json.dumps({f"copies of those who left, {DeliveryState(state).value}": number for state, number in states}))
    return count


if __name__ == "__main__":
    main()
