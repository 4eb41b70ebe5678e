"""
`newsletter serve` as it is meant to run: both processes, on either database, while an issue goes out.

Somebody leaves by one click, somebody complains, and the service is stopped and started again in the middle of it.
Nobody is mailed twice or dropped, and whoever left before their turn gets nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from newsletter.app import App
from newsletter.cli.main import cli
from newsletter.config.loading import load_config
from newsletter.paths import Workspace
from subscribers.tables import MailingList, Subscriber
from subscribers.tokens import unsubscribe_token
from tests.journeys.test_returned_mail import begin, complain
from tests.peers.fixtures import free_port, wait_until
from tests.peers.relaying import BOUNCES
from tests.send.conftest import RunningSink, start_sink  # noqa: F401  (a fixture)

pytestmark = pytest.mark.journey
PEOPLE = [f"person{number}@example.com" for number in range(40)]
SECONDS_A_COPY = 0.15
FEWEST_LEFT = 5  # when the service is stopped
CONFIG = """
[bounces]
domain = "{bounces}"

[bounces.receiver]
protocol = "smtp"
port = {port}
"""


@dataclass
class Service:
    """A workspace whose service is started and stopped; all that it says is kept."""

    folder: Path
    sink: RunningSink
    app: App
    receiver: int
    port: int = field(default_factory=free_port)
    said: str = ""

    def command(self, *words: str) -> Any:
        done = CliRunner().invoke(cli, ["--workspace", str(self.app.workspace.root), *words])
        assert done.exit_code == 0, f"{words}: {done.output} {done.exception}"
        return json.loads(done.stdout) if "--json" in words else done.output

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it; at the end all its processes are told to stop, as by systemd, and must do so by themselves."""
        program = [sys.executable, "-m", "newsletter", "--workspace", str(self.app.workspace.root), "--verbose"]
        with (self.folder / "said").open("w+") as said:
            process = subprocess.Popen([*program, "serve", "--port", str(self.port)], cwd=self.folder, stderr=said)
            try:
                wait_until(lambda: self.ready().get("worker") == "ok", "the service is not ready")
                yield
            finally:
                for each in (psutil.Process(process.pid), *psutil.Process(process.pid).children()):
                    each.send_signal(signal.SIGTERM)
                code = process.wait(60)
                said.seek(0)
                self.said += said.read()
        assert code == 0, self.said

    def ready(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self.port}/ready", trust_env=False).json()
        except httpx.TransportError:
            return {}
        return found

    def leave(self, url: str) -> None:
        """Do what a mail program does at one click."""
        where = f"http://127.0.0.1:{self.port}{httpx.URL(url).path}"
        assert httpx.post(where, data={"List-Unsubscribe": "One-Click"}, trust_env=False).status_code == 200

    def link_of(self, address: str) -> str:
        """Return the link in a mail that has not left yet."""
        with self.app.database.read() as session:
            person = session.scalars(select(Subscriber).where(Subscriber.address == address)).one()
            list_id = session.scalars(select(MailingList.id)).one()
            return f"/unsubscribe/{unsubscribe_token(self.app.keys.links.current, person.token_id, list_id)}"

    def mail_of(self, address: str) -> bytes:
        kept = [path.read_bytes() for path in (self.folder / "kept").iterdir()]
        return next(mail for mail in kept if f"To: {address}".encode() in mail)

    def states(self) -> dict[str, str]:
        return {row["address"]: row["state"] for row in self.command("subscribers", "list", "--json")}

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.command("issue", "status", "first", "--json")
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("postgresql_url") if request.param == "postgresql" else ""


@pytest.fixture
def service(
    tmp_path: Path,
    start_sink: Callable[..., RunningSink],  # noqa: F811
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Service]:
    (tmp_path / "kept").mkdir()
    sink = start_sink("--keep", str(tmp_path / "kept"), rules=[{"stage": "dot", "delay": SECONDS_A_COPY}])
    settings = {"SMTP__CONNECTIONS": "1", "LOG__LEVEL": "debug"}
    for name, value in {**settings, **({"DATABASE__URL": database_url} if database_url else {})}.items():
        monkeypatch.setenv(f"NEWSLETTER__{name}", value)
    receiver = free_port()
    begin(tmp_path, sink, CONFIG.format(bounces=BOUNCES, port=receiver), PEOPLE)
    workspace = Workspace(tmp_path / "ws")
    app = App(workspace, load_config(workspace.config, os.environ).config, actor="tester")
    yield Service(tmp_path, sink, app, receiver)
    app.close()


def test_an_issue_goes_out_while_people_leave_and_the_service_is_restarted(service: Service) -> None:
    sink, leaver, later, cross = service.sink, PEOPLE[0], PEOPLE[-1], PEOPLE[1]
    service.command("issue", "draft", "--slug", "first", "--include", "1")
    service.command("audience", "set", "first", "--list", "members")
    with service.running():
        service.command("issue", "schedule", "first", "--at", f"{service.app.now() + timedelta(seconds=2):%FT%TZ}")
        wait_until(lambda: {leaver, cross} <= set(sink.accepted()), "the issue did not begin")
        service.leave(service.link_of(later))
        service.leave(str(message_from_bytes(service.mail_of(leaver))["List-Unsubscribe"]).split(">")[0].lstrip("< "))
        complain(service.receiver, service.mail_of(cross))
        wait_until(lambda: len(service.command("suppressions", "list", "--json")) == 1, "nobody heard the complaint")
        assert len(sink.accepted()) < len(PEOPLE) - FEWEST_LEFT, "the issue was over before it was stopped"
    stopped = service.status()
    assert (stopped["state"], stopped["uncertain"]) == ("sending", 0)
    assert stopped["sent"] == len(sink.accepted())
    with service.running():
        wait_until(lambda: service.status()["state"] == "sent", "the issue did not go on")
    assert sink.accepted() == Counter(PEOPLE) - Counter([later])
    ended = service.status()
    assert (ended["sent"], ended["suppressed"], ended["uncertain"]) == (len(PEOPLE) - 1, 1, 0)
    assert {who: state for who, state in service.states().items() if state != "subscribed"} == {
        leaver: "unsubscribed", later: "unsubscribed", cross: "suppressed"
    }  # fmt: skip
    assert "Traceback" not in service.said
    assert "person" not in service.said
