"""
The interface for programs at its limit: five programs that each ask as often as a token may, beside a list of 50,000.

    python benchmarks/api.py [--people 50000] [--programs 5] [--seconds 30]

Goal: a 99th percentile under 100 ms for each kind of request, and nothing refused or lost. `newsletter serve` runs as
people run it. Each program has a token of its own and asks 600 times a minute, which is all that it may: it looks
somebody up, shows and changes them, lists a page of 100, and adds somebody. At the end every change that was answered
stands in the database. One program more asks as fast as it can: it is told to wait, and no other may feel it.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from one_click import CONFIG, serving
from sending import config, free_port, prepare
from sqlalchemy import func, select

from newsletter import api_tokens
from newsletter.api_tokens import Scope
from newsletter.app import App
from newsletter.paths import Workspace
from newsletter.web.api.limits import REQUESTS_PER_MINUTE
from subscribers.tables import Subscriber

GOAL_MS = 100.0
PAGE = 100
SCOPES = (Scope.SUBSCRIBERS_READ, Scope.SUBSCRIBERS_WRITE)
PACE_SECONDS = 60 / REQUESTS_PER_MINUTE
Waits = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--programs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, web = Path(name), free_port()
        prepare(folder, options.people)
        settings = {"smtp": free_port(), "connections": 1, "per_minute": 1, "web": web}  # nothing listens, none is sent
        (folder / "config.toml").write_text(CONFIG.format(**settings))
        (folder / "config.toml").chmod(0o600)
        tokens = make_tokens(folder, options.programs + 1)
        with serving(folder, web), multiprocessing.get_context("spawn").Pool(1) as pool:
            waits, added, refused, told_to_wait = pool.apply(
                ask_all, (web, tokens[:-1], tokens[-1], options.people, options.seconds)
            )
        lost = added - (count_people(folder) - options.people)
    slowest = {kind: percentile(sorted(seconds), 0.99) * 1e3 for kind, seconds in waits.items()}
    told = ", ".join(f"{kind} {len(waits[kind]):,} p99 {slowest[kind]:.1f} ms" for kind in sorted(waits))
    print(
        f"api: {options.programs} programs at {REQUESTS_PER_MINUTE} a minute for {options.seconds:.0f} s beside "
        f"{options.people:,} people: {told} (each under {GOAL_MS:.0f}); {json.dumps(refused)} refused, {lost} lost; "
        f"the one that asked too fast was told to wait {told_to_wait:,} times"
    )
    sys.exit(0 if max(slowest.values()) < GOAL_MS and not refused and not lost and told_to_wait else 1)


def make_tokens(folder: Path, count: int) -> list[str]:
    app = App(workspace=Workspace(folder), config=config(25, 1), actor="benchmark")
    with app.database.write() as session:
        made = [
            api_tokens.create(session, f"program-{number}", scopes=SCOPES, by="benchmark", now=app.now())
            for number in range(count)
        ]
    app.close()
    return made


def count_people(folder: Path) -> int:
    app = App(workspace=Workspace(folder), config=config(25, 1), actor="benchmark")
    with app.database.read() as session:
        count = session.scalar(select(func.count()).select_from(Subscriber)) or 0
    app.close()
    return count


def percentile(waits: list[float], share: float) -> float:
    return waits[min(len(waits) - 1, int(len(waits) * share))]


def ask_all(
    web: int, tokens: list[str], hasty: str, people: int, seconds: float
) -> tuple[Waits, int, dict[str, int], int]:
    """Let all programs ask; return the waits by kind, how many were added, what was refused, and 429 of the hasty."""
    programs = [Program(web, token, number, people) for number, token in enumerate(tokens)]
    programs[0].look_up(0)  # the site describes the interface to itself at its first request
    programs[0].waits.clear()
    extra = Program(web, hasty, len(tokens), people)
    ends = time.perf_counter() + seconds
    threads = [threading.Thread(target=program.ask_until, args=(ends, PACE_SECONDS)) for program in programs]
    threads.append(threading.Thread(target=extra.look_up_until, args=(ends,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waits: Waits = defaultdict(list)
    refused: Counter[str] = Counter()
    for program in programs:
        refused += program.refused
        for kind, found in program.waits.items():
            waits[kind] += found
    return dict(waits), sum(program.added for program in programs), dict(refused), extra.refused["lookup 429"]


class Program:
    """One program with its token, on a connection that it keeps."""

    def __init__(self, web: int, token: str, number: int, people: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", web, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._number, self._people = number, people
        self.waits: Waits = defaultdict(list)
        self.refused: Counter[str] = Counter()
        self.added = 0

    def ask_until(self, ends: float, pace: float) -> None:
        """Ask one thing after the other, each at its time; what was late is not made up for."""
        turns = (self.look_up, self.change, self.page, self.add)
        time.sleep(pace * self._number / 10)  # programs do not ask in step
        for turn, step in enumerate(itertools.cycle(turns)):
            begun = time.perf_counter()
            if begun >= ends:
                break
            step(turn)
            time.sleep(max(0.0, pace * (2 if step == self.change else 1) - (time.perf_counter() - begun)))

    def look_up_until(self, ends: float) -> None:
        while time.perf_counter() < ends:
            self.look_up(0)

    def look_up(self, turn: int) -> None:
        self._ask("lookup", "POST", "/lookup", {"address": f"person{self._person(turn)}@example.com"})

    def change(self, turn: int) -> None:
        """Two requests: show somebody, then change what was shown."""
        path = f"/subscribers/{self._person(turn)}"
        answer = self._ask("show", "GET", path)
        self._ask("change", "PATCH", path, {"tags": [f"t{turn % 7}"]}, {"If-Match": answer.headers["etag"]})

    def page(self, turn: int) -> None:
        self._ask(
            "page", "GET", f"/subscribers?limit={PAGE}&list=members" if turn % 8 else f"/subscribers?limit={PAGE}"
        )

    def add(self, turn: int) -> None:
        ground = {"basis": "consent", "evidence": "membership form of 2 May"}
        body = {"address": f"new{self._number}-{turn}@example.net", "lists": ["members"], **ground}
        self.added += self._ask("add", "POST", "/subscribers", body).status == 201

    def _person(self, turn: int) -> int:
        """Return somebody whom no other program changes."""
        return 1 + (turn * 101 + self._number * 13) % self._people

    def _ask(
        self, kind: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        started = time.perf_counter()
        content = None if body is None else json.dumps(body)
        self._connection.request(method, f"/api/v1{path}", content, {**self._headers, **(headers or {})})
        answer = self._connection.getresponse()
        answer.read()
        self.waits[kind].append(time.perf_counter() - started)
        if answer.status >= 300:
            self.refused[f"{kind} {answer.status}"] += 1
        return answer


if __name__ == "__main__":
    main()
