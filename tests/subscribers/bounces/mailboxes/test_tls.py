"""TLS of mailboxes against a Dovecot with a certificate: verified, and no password before it."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from subscribers.bounces.mailboxes.account import Account, Tally
from subscribers.bounces.mailboxes.connecting import tls_context
from subscribers.bounces.mailboxes.imap import ImapMailbox
from subscribers.bounces.mailboxes.pop3 import Pop3Mailbox
from subscribers.errors import MailboxTrouble
from tests.peers.cutting_proxy import CuttingProxy
from tests.peers.dovecot import PASSWORD, Dovecot, running_dovecot

from .conftest import TARGETS, mail


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that only a test trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture(scope="module")
def secured(certificate: Path) -> Iterator[Dovecot]:
    with running_dovecot(certificate) as found:
        yield found


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


@pytest.fixture
def strange() -> Iterator[None]:
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


def mailbox(dovecot: Dovecot, protocol: str, tls: str, taker, memory, **other):
    ports = {
        ("imap", "implicit"): dovecot.imaps,
        ("imap", "required"): dovecot.imap,
        ("pop3", "implicit"): dovecot.pop3s,
        ("pop3", "required"): dovecot.pop3,
    }
    values = {"host": "localhost", "port": ports[(protocol, tls)], "username": dovecot.somebody(), **other}
    account = Account("bounces", protocol=protocol, tls=tls, password=PASSWORD, targets=TARGETS, **values)
    return (ImapMailbox if protocol == "imap" else Pop3Mailbox)(account, taker, memory)


EACH = pytest.mark.parametrize(
    ("protocol", "tls"), [(p, t) for p in ("imap", "pop3") for t in ("implicit", "required")]
)


@EACH
@pytest.mark.usefixtures("trusted")
def test_mail_is_read_over_verified_tls(protocol: str, tls: str, secured, taker, memory, intake) -> None:
    box, tally = mailbox(secured, protocol, tls, taker, memory), Tally()
    secured.put(box.account.username, [mail("processed")])
    box.look(tally, threading.Event())
    box.close()
    assert tally.words == "1 processed"


@EACH
@pytest.mark.usefixtures("strange")
def test_a_certificate_that_nobody_vouches_for_is_refused(protocol: str, tls: str, secured, taker, memory) -> None:
    box = mailbox(secured, protocol, tls, taker, memory)
    with pytest.raises(MailboxTrouble, match="cannot be trusted") as error:
        box.look(Tally(), threading.Event())
    assert error.value.lasting


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_refused(protocol: str, secured, taker, memory) -> None:
    box = mailbox(secured, protocol, "implicit", taker, memory, host="127.0.0.1")
    with pytest.raises(MailboxTrouble, match="cannot be trusted"):
        box.look(Tally(), threading.Event())


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_a_server_without_tls_is_sent_no_password(protocol: str, dovecot, taker, memory) -> None:
    """Somebody on the way can take STARTTLS out of the offer; then nothing may be said."""
    port = dovecot.imap if protocol == "imap" else dovecot.pop3
    with CuttingProxy(port) as proxy:
        box = mailbox(dovecot, protocol, "required", taker, memory, port=proxy.own_port)
        with pytest.raises(MailboxTrouble, match="offers no TLS") as error:
            box.look(Tally(), threading.Event())
        assert error.value.lasting
        assert not [line for line in proxy.lines if PASSWORD.encode() in line or b"LOGIN" in line or b"USER" in line]
