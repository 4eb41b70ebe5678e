"""Notices through a real mail server, and beside an issue that takes long to go out."""

from __future__ import annotations

import email
import email.policy
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from newsletter.config.settings import Alerts
from newsletter.render.notice import NoticeText
from newsletter.send.messenger import Messenger
from newsletter.send.notices import post
from newsletter.tables import DeliveryState as S
from newsletter.tables import Notice, NoticeKind
from tests.peers.fixtures import Postfix, wait_until
from tests.send.conftest import deliveries, plan_issue, sending_app, start_sink  # noqa: F401  (fixtures)

TEXT = NoticeText(
    "Confirm: caf\u00e9 \u0141\u00f3d\u017a", "Follow this link:\n\n    https://news.example.org/c/abc\n.\nThanks\n"
)
LONGEST_SECONDS = 5.0
WORKER = """
import sys, threading
from pathlib import Path
from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.paths import Workspace
from newsletter.stopping import stop_on_signals
from newsletter.worker import Worker
stop = threading.Event()
stop_on_signals(stop)
config = Config.model_validate_json(sys.stdin.read())
Worker(App(workspace=Workspace(Path(sys.argv[1])), config=config, actor="tester"), print, stop).run()
"""


@contextmanager
def worker_process(app) -> Iterator[None]:
    """A worker in a process of its own, drained at the end."""
    words = [sys.executable, "-c", WORKER, str(app.workspace.root)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin
        process.stdin.write(json.dumps(app.config.model_dump(mode="json", exclude={"smtp": {"password", "accounts"}})))
        process.stdin.close()
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(30) == 0


def put(app, to, kind=NoticeKind.CONFIRMATION) -> int:
    with app.database.write() as session:
        notice = post(app, session, TEXT, kind=kind, to=to)
        assert notice is not None
        return notice.id


def state(app, number) -> S:
    with app.database.read() as session:
        return session.get_one(Notice, number).state


@pytest.mark.journey
def test_a_confirmation_goes_through_postfix_and_an_unknown_mailbox_has_its_end(
    postfix: Postfix,
    sending_app,  # noqa: F811
):
    app = sending_app(postfix.port)
    good, gone = put(app, "ann@example.org"), put(app, "gone@example.org")
    with Messenger(app, lambda _: None) as messenger:
        assert messenger.once() == 1
    assert (state(app, good), state(app, gone)) == (S.SENT, S.BOUNCED)
    wait_until(lambda: bool(postfix.mail_of("ann")), "the confirmation did not arrive")
    (path,) = postfix.mail_of("ann")
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert (mail["Subject"], mail["To"], mail["From"]) == (
        TEXT.subject,
        "ann@example.org",
        "Example Network <news@example.org>",
    )
    assert mail["Return-Path"] == "<news@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content() == TEXT.body


@pytest.mark.journey
@pytest.mark.parametrize("alerted", [False, True])
def test_a_confirmation_leaves_within_seconds_while_an_issue_goes_out_slowly(
    start_sink,  # noqa: F811
    sending_app,  # noqa: F811
    plan_issue,  # noqa: F811
    alerted,
):
    """The relay takes half a second for each copy, so the issue takes half a minute; the confirmation does not wait."""
    sink = start_sink(rules=[{"stage": "dot", "match": "person", "delay": 0.5}])
    app = sending_app(sink.port, connections=2)
    if alerted:
        app.config = app.config.model_copy(update={"alerts": Alerts(to=("chair@charity.example",))})
    plan_issue(app, 120)
    with worker_process(app):
        wait_until(lambda: len(sink.accepted()) > 4, "the issue did not begin")
        seconds = []
        for number in range(4):
            started = time.monotonic()
            put(app, f"new{number}@example.org")
            wait_until(lambda: f"new{number}@example.org" in sink.accepted(), "the confirmation did not leave")  # noqa: B023
            seconds.append(time.monotonic() - started)
        assert len(sink.accepted()) < 100  # the issue is far from its end
    print(f"left after {', '.join(f'{each:.2f}' for each in seconds)} s")
    assert max(seconds) < LONGEST_SECONDS
    assert set(sink.accepted().values()) == {1}
