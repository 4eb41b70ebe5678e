"""The relay's certificate and its refusal of a password, with real TLS on loopback."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from newsletter.send.dispatch import send_issue
from newsletter.tables import IssueState


class Mailbox:
    def __init__(self):
        self.recipients = []

    async def handle_DATA(self, server, session, envelope):
        self.recipients += envelope.rcpt_tos
        return "250 OK"


@pytest.fixture
def server_context(tmp_path):
    """TLS with a certificate for localhost that nobody's store of authorities knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


@pytest.fixture
def serve(unused_port):
    """Return a function that starts aiosmtpd; it is ended after the test."""
    running = []

    def start(protocol=SMTP, **options):
        class Server(Controller):
            def factory(self):
                return protocol(self.handler, hostname="localhost", **options)

        server = Server(Mailbox(), hostname="127.0.0.1", port=unused_port)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_an_untrusted_certificate_pauses_and_charges_nobody(serve, server_context, sending_app, plan_issue, deliveries):
    server = serve(tls_context=server_context)
    app = sending_app(server.port, tls="required", host="localhost")
    report = send_issue(app, plan_issue(app, 5))
    assert report.state is IssueState.PAUSED
    assert "cannot be trusted" in report.reason
    assert server.handler.recipients == []
    assert {(row.state.value, row.attempt) for row in deliveries(app).values()} == {("pending", 0)}


def test_a_refused_password_pauses_with_the_relay_s_words(serve, sending_app, plan_issue, deliveries):
    server = serve(authenticator=lambda *_: AuthResult(success=False, handled=False), auth_require_tls=False)
    app = sending_app(server.port, username="news", password="wrong")
    report = send_issue(app, plan_issue(app, 5))
    assert report.state is IssueState.PAUSED
    assert "refuses the user or password" in report.reason
    assert {(row.state.value, row.attempt) for row in deliveries(app).values()} == {("pending", 0)}


def test_lmtp_delivers_each_once(serve, sending_app, plan_issue):
    server = serve(LMTP)
    app = sending_app(server.port, protocol="lmtp")
    report = send_issue(app, plan_issue(app, 5))
    assert report.counts["sent"] == 5
    assert sorted(server.handler.recipients) == [f"person{n}@example.com" for n in range(1, 6)]
