"""Servers that lie, drip, stay silent or talk too much: nobody is lost, nobody gets two, and the run ends in time."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from newsletter.send.dispatch import send_issue
from newsletter.tables import DeliveryState as S
from newsletter.tables import IssueState
from tests.send.raw_server import EHLO, GREETING

BRIEF = {"command_timeout_seconds": 5, "dot_timeout_seconds": 5}
EVERYBODY = Counter({f"person{n}@example.com": 1 for n in range(1, 7)})


@pytest.fixture(autouse=True)
def _soon_down(monkeypatch):
    monkeypatch.setattr("newsletter.send.relay.DOWN_AFTER_SECONDS", 0.3)


def carry(wire, reply=b"250 2.0.0 Ok\r\n"):
    """Behave: take over one message after the other."""
    while wire.envelope():
        wire.take()
        wire.say(reply)


def drip(wire, data, pieces=1, seconds=0.0):
    for start in range(0, len(data), pieces):
        wire.say(data[start : start + pieces])
        time.sleep(seconds)


def test_several_replies_in_one_segment_are_each_given_to_their_command(raw_server, sending_app, plan_issue):
    """The reply to the dot waits for the next envelope, and all four travel together."""

    def talk(wire):
        wire.greet()
        waiting = b""
        while wire.line():
            wire.recipient = wire.line()[9:].strip().rstrip(b">").decode()
            if not wire.line().startswith(b"DATA"):
                break
            wire.say(waiting + b"250 ok\r\n250-ok\r\n250 ok\r\n354 go\r\n")
            wire.take()
            if sum(wire.server.accepted.values()) == 6:
                wire.say(b"250 2.0.0 Ok\r\n")
            waiting = b"250 2.0.0 Ok\r\n"

    server = raw_server(talk)
    app = sending_app(server.port, connections=1, **BRIEF)
    report = send_issue(app, plan_issue(app, 6))
    assert (report.counts["sent"], server.accepted) == (6, EVERYBODY)


@pytest.mark.parametrize(
    "reply",
    [
        b"250-2.0.0 Ok\r\n250-queued\r\n250 as 4711\r\n",
        b"250 2.0.0 " + b"x" * 100_000 + b"\r\n",
        b"250\r\n",
        b"250 ok\n",
        b"250 \xff\xfe\x00\x1b[2J\r\n",
    ],
)
def test_a_reply_to_the_dot_may_look_odd(raw_server, sending_app, plan_issue, reply):
    def talk(wire):
        wire.greet()
        carry(wire, reply)

    server = raw_server(talk)
    app = sending_app(server.port, **BRIEF)
    report = send_issue(app, plan_issue(app, 6))
    assert (report.counts["sent"], server.accepted) == (6, EVERYBODY)


def test_a_reply_without_end_to_the_dot_is_uncertain(raw_server, sending_app, plan_issue, deliveries):
    def talk(wire):
        wire.greet()
        carry(wire, b"250 " + b"x" * 200_000 if not wire.server.accepted else b"250 ok\r\n")

    server = raw_server(talk)
    app = sending_app(server.port, connections=1, **BRIEF)
    report = send_issue(app, plan_issue(app, 6))
    assert (report.counts["sent"], report.counts["uncertain"]) == (5, 1)
    assert "without end" in next(r.reply_text for r in deliveries(app).values() if r.state is S.UNCERTAIN)
    assert server.accepted == EVERYBODY


@pytest.mark.parametrize(
    "reply", [b"what?\r\n250 ok\r\n", b"250 2.0", b"354 go\r\n", b"199 well\r\n", b"250-ok\r\nok\r\n"]
)
def test_no_clear_reply_to_the_dot_is_uncertain_and_the_next_copy_is_not_confused_with_it(
    raw_server, sending_app, plan_issue, reply
):
    def talk(wire):
        wire.greet()
        while wire.envelope():
            first = not wire.server.accepted
            wire.take()
            wire.say(reply if first else b"250 ok\r\n")
            if first:
                return

    server = raw_server(talk)
    app = sending_app(server.port, connections=1, **BRIEF)
    report = send_issue(app, plan_issue(app, 6))
    assert (report.counts["sent"], report.counts["uncertain"], server.accepted) == (5, 1, EVERYBODY)


def test_a_server_that_offers_pipelining_and_answers_one_at_a_time_and_slowly(raw_server, sending_app, plan_issue):
    def talk(wire):
        at_once = wire.say

        def slowly(data):
            time.sleep(0.02)
            for start in range(0, len(data), 3):
                at_once(data[start : start + 3])

        wire.greet()
        wire.say = slowly
        carry(wire)

    server = raw_server(talk)
    app = sending_app(server.port, **BRIEF)
    report = send_issue(app, plan_issue(app, 6))
    assert (report.counts["sent"], server.accepted) == (6, EVERYBODY)


def test_a_server_that_throws_away_what_was_pipelined_delivers_nothing_and_loses_nobody(
    raw_server, sending_app, plan_issue
):
    """It offers PIPELINING and reads one command of each segment, so that the other replies never come."""

    def talk(wire):
        wire.greet()
        while wire.connection.recv(65_536):
            wire.say(b"250 ok\r\n")

    server = raw_server(talk)
    app = sending_app(server.port, command_timeout_seconds=0.3)
    report = send_issue(app, plan_issue(app, 3))
    assert (report.counts["sent"], report.counts["uncertain"], report.counts["bounced"]) == (0, 0, 0)
    assert report.counts["deferred"] + report.counts["pending"] == 3


@pytest.mark.parametrize("stage", ["banner", "ehlo", "mail", "dot"])
def test_a_server_that_drips_is_left_in_time(raw_server, sending_app, plan_issue, stage):
    """Each byte would begin the wait anew; the whole reply has one time."""

    def talk(wire):
        endless = b"-" * 200
        drip(wire, b"220" + endless, 1, 0.05) if stage == "banner" else wire.say(GREETING)
        wire.line()
        drip(wire, b"250" + endless, 1, 0.05) if stage == "ehlo" else wire.say(EHLO)
        if stage == "mail":
            wire.line()
            drip(wire, b"250" + endless, 1, 0.05)
        wire.envelope()
        wire.take()
        drip(wire, b"250" + endless, 1, 0.05)

    server = raw_server(talk)
    limits = {"connect_timeout_seconds": 0.4, "command_timeout_seconds": 0.4, "dot_timeout_seconds": 1}
    app = sending_app(server.port, **limits)
    started = time.monotonic()
    report = send_issue(app, plan_issue(app, 3))
    assert time.monotonic() - started < 9
    assert report.counts["sent"] == 0
    assert report.counts["uncertain"] == (3 if stage == "dot" else 0)
    if stage in ("banner", "ehlo"):
        assert report.state is IssueState.PAUSED
        assert report.counts["pending"] == 3


def test_a_banner_that_never_comes_pauses_and_charges_nobody(raw_server, sending_app, plan_issue, deliveries):
    server = raw_server(lambda wire: wire.line())
    app = sending_app(server.port, connect_timeout_seconds=0.3)
    report = send_issue(app, plan_issue(app, 3))
    assert report.state is IssueState.PAUSED
    assert f"127.0.0.1:{server.port}" in report.reason
    assert {(row.state, row.attempt) for row in deliveries(app).values()} == {(S.PENDING, 0)}


@pytest.mark.parametrize(
    "ehlo",
    [
        b"250-raw.example\r\n250-\r\n250- \r\n250-=\r\n250-AUTH=LOGIN\r\n250-SIZE x\r\n250 PIPELINING yes\r\n",
        b"250-raw.example\r\n" + b"250-X-JUNK more and more\r\n" * 500 + b"250 pipelining\r\n",
        b"250-\xff\xfe\xfd\r\n250-\x00\x1b[31m\r\n250 PIPELINING\r\n",
        b"250 \r\n",
        b"250\r\n",
    ],
)
def test_an_ehlo_full_of_junk_hinders_nobody(raw_server, sending_app, plan_issue, ehlo):
    def talk(wire):
        wire.greet(ehlo)
        carry(wire)

    server = raw_server(talk)
    app = sending_app(server.port, **BRIEF)
    report = send_issue(app, plan_issue(app, 6))
    assert (report.counts["sent"], server.accepted) == (6, EVERYBODY)


def test_one_reply_too_many_delivers_nothing_to_the_wrong_person(raw_server, sending_app, plan_issue):
    """From the second reply to the dot on all others are one command late: only a 354 lets a body out."""

    def talk(wire):
        wire.greet()
        carry(wire, b"250 ok\r\n250 and once more\r\n")

    server = raw_server(talk)
    app = sending_app(server.port, connections=1, **BRIEF)
    report = send_issue(app, plan_issue(app, 6))
    assert max(server.accepted.values()) == 1
    assert report.counts["sent"] == sum(server.accepted.values())
    assert report.counts["uncertain"] == 0
