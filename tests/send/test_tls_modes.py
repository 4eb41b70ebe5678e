"""Each TLS mode against a server that has a certificate, lacks it, lies about it, or slips words in before it."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from newsletter.config.settings import SmtpAccount
from newsletter.send import session
from newsletter.send.dispatch import send_issue
from newsletter.send.session import RelayRefused, open_conversation
from newsletter.tables import IssueState
from tests.send.certificates import Authority
from tests.send.raw_server import GREETING, RawServer, Wire

PASSWORD = "canary-password"
CREDENTIALS = {"username": "news", "password": PASSWORD}


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """An authority that this machine trusts for the time of the test."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    session._tls_context.cache_clear()
    yield made
    session._tls_context.cache_clear()


class MailServer:
    """
    Talks SMTP, encrypted when asked; every line that it was told stands in `heard`, with whether it was encrypted.

    Attributes:
        offers: What EHLO says before and after TLS.
        slipped_in: Said in plain text right behind the reply to STARTTLS.
    """

    def __init__(self, context: ssl.SSLContext | None, *, implicit: bool = False, slipped_in: bytes = b"") -> None:
        self.context, self.implicit, self.slipped_in = context, implicit, slipped_in
        self.offers = {False: [b"AUTH PLAIN", *([b"STARTTLS"] if context else [])], True: [b"AUTH PLAIN"]}
        self.heard: list[tuple[bytes, bool]] = []

    def talk(self, wire: Wire) -> None:
        self.encrypted = False
        if self.implicit:
            self.encrypt(wire)
        wire.say(GREETING)
        while line := wire.line().rstrip():
            self.heard.append((line, self.encrypted))
            self.answer(wire, line[:4].upper())

    def answer(self, wire: Wire, verb: bytes) -> None:
        if verb == b"EHLO":
            words = [b"raw.example", *self.offers[self.encrypted]]
            wire.say(b"".join(b"250-%s\r\n" % word for word in words) + b"250 PIPELINING\r\n")
        elif verb == b"STAR":
            wire.say(b"220 2.0.0 Ready\r\n" + self.slipped_in)
            self.encrypt(wire)
        elif verb == b"AUTH":
            wire.say(b"235 2.7.0 Ok\r\n")
        elif verb == b"DATA":
            wire.say(b"354 go\r\n")
            wire.take()
            wire.say(b"250 2.0.0 Ok\r\n")
        elif verb == b"QUIT":
            wire.say(b"221 2.0.0 Bye\r\n")
        else:
            wire.recipient = "somebody"
            wire.say(b"250 2.0.0 Ok\r\n")

    def encrypt(self, wire: Wire) -> None:
        assert self.context is not None
        wire.file.close()
        wire.connection = self.context.wrap_socket(wire.connection, server_side=True)
        wire.file = wire.connection.makefile("rb")
        self.encrypted = True

    @property
    def commands(self) -> list[bytes]:
        return [line for line, _ in self.heard]

    @property
    def heard_in_plain_text(self) -> bytes:
        return b"\n".join(line for line, encrypted in self.heard if not encrypted)


@pytest.fixture
def run(raw_server: Callable[..., RawServer], sending_app: Any, plan_issue: Any):
    """Return a function that sends an issue to three people by a server and an account; it gives the report."""

    def run(server: MailServer, **account: Any) -> Any:
        port = raw_server(server.talk).port
        app = sending_app(port, connections=1, host="localhost", dot_timeout_seconds=5, **account)
        return send_issue(app, plan_issue(app, 3))

    return run


def secrets() -> list[bytes]:
    return [PASSWORD.encode(), base64.b64encode(b"\0news\0" + PASSWORD.encode())]


@pytest.mark.parametrize("mode", ["required", "implicit"])
def test_a_trusted_certificate_carries_password_and_mail(run, authority, deliveries, mode, app):
    server = MailServer(authority.server_context("localhost"), implicit=mode == "implicit")
    report = run(server, tls=mode, **CREDENTIALS)
    assert report.counts["sent"] == 3, (report.reason, server.heard)
    assert {row.tls_version for row in deliveries(app).values()} == {"TLSv1.3"}
    assert all(secret not in server.heard_in_plain_text for secret in secrets())
    assert any(line.startswith(b"AUTH") and encrypted for line, encrypted in server.heard)
    assert b"MAIL" not in server.heard_in_plain_text


@pytest.mark.parametrize("mode", ["required", "implicit"])
def test_a_certificate_for_another_name_is_refused(run, authority, mode):
    server = MailServer(authority.server_context("other.example"), implicit=mode == "implicit")
    report = run(server, tls=mode, **CREDENTIALS)
    assert report.state is IssueState.PAUSED
    assert "cannot be trusted" in report.reason
    assert report.counts["pending"] == 3
    assert not any(line[:4] in (b"AUTH", b"MAIL") for line in server.commands)


@pytest.mark.parametrize("mode", ["required", "implicit"])
def test_a_certificate_of_an_unknown_authority_is_refused(run, tmp_path, mode):
    server = MailServer(Authority(tmp_path).server_context("localhost"), implicit=mode == "implicit")
    report = run(server, tls=mode, **CREDENTIALS)
    assert (report.state, report.counts["pending"]) == (IssueState.PAUSED, 3)
    assert "cannot be trusted" in report.reason
    assert not any(line[:4] in (b"AUTH", b"MAIL") for line in server.commands)


def test_a_server_without_starttls_is_left_before_the_password(run):
    """Somebody between us and the server can take STARTTLS out of its answer."""
    server = MailServer(None)
    report = run(server, tls="required", **CREDENTIALS)
    assert (report.state, report.counts["pending"]) == (IssueState.PAUSED, 3)
    assert "STARTTLS" in report.reason
    assert {line[:4] for line in server.commands} <= {b"EHLO", b"QUIT"}


def test_a_refused_starttls_is_left_before_the_password(run):
    class Refusing(MailServer):
        def answer(self, wire: Wire, verb: bytes) -> None:
            if verb == b"STAR":
                wire.say(b"454 4.7.0 TLS not available\r\n")
            else:
                super().answer(wire, verb)

    server = Refusing(None)
    server.offers[False].append(b"STARTTLS")
    report = run(server, tls="required", **CREDENTIALS)
    assert (report.state, report.counts["pending"]) == (IssueState.PAUSED, 3)
    assert not any(line[:4] in (b"AUTH", b"MAIL") for line in server.commands)


@pytest.mark.parametrize(
    "slipped_in", [b"250-slipped.in\r\n250 X-SLIPPED\r\n", b"235 2.7.0 Ok\r\n", b"250 2.0.0 Ok\r\n" * 9, b"354 go\r\n"]
)
def test_what_was_said_in_plain_text_behind_starttls_is_thrown_away(run, authority, slipped_in):
    """Replies put there by somebody in between would answer commands that are sent encrypted."""
    server = MailServer(authority.server_context("localhost"), slipped_in=slipped_in)
    report = run(server, tls="required", **CREDENTIALS)
    assert report.counts["sent"] == sum(line.startswith(b"DATA") for line in server.commands) == 3
    assert all(secret not in server.heard_in_plain_text for secret in secrets())


@pytest.mark.parametrize("has_tls", [True, False])
def test_opportunistic_uses_tls_where_it_is_offered_and_goes_on_without(run, tmp_path, deliveries, app, has_tls):
    server = MailServer(Authority(tmp_path).server_context("elsewhere.example") if has_tls else None)
    report = run(server, tls="opportunistic")
    assert report.counts["sent"] == 3
    assert {row.tls_version for row in deliveries(app).values()} == {"TLSv1.3" if has_tls else None}
    assert (b"MAIL" in server.heard_in_plain_text) is not has_tls


def test_none_uses_no_tls_even_where_it_is_offered(run, authority, deliveries, app):
    server = MailServer(authority.server_context("localhost"))
    assert run(server, tls="none").counts["sent"] == 3
    assert {row.tls_version for row in deliveries(app).values()} == {None}


@pytest.mark.parametrize("mode", ["none", "opportunistic"])
async def test_a_password_is_never_sent_unencrypted_off_loopback(mode, raw_server, monkeypatch):
    """The configuration refuses this already; the session does not rely on it."""
    server = MailServer(None)
    account = SmtpAccount(host="127.0.0.1", port=raw_server(server.talk).port, tls=mode, **CREDENTIALS)
    monkeypatch.setattr(SmtpAccount, "on_loopback", property(lambda _: False))
    with pytest.raises(RelayRefused, match="unencrypted") as refused:
        await open_conversation(account, local_hostname="localhost.localdomain")
    assert refused.value.lasting
    assert server.heard == []


def test_off_loopback_tls_is_required_unless_it_is_said_otherwise():
    assert SmtpAccount(host="relay.example.org").tls_mode == "required"
    assert SmtpAccount(host="127.0.0.1").tls_mode == "none"
