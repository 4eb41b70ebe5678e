"""Fetching: only public addresses, on every hop, within every cap; real servers on loopback, real refusals."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time
import zlib
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from newsletter.compose.fetching import Fetcher, Limits, is_public
from newsletter.errors import SourceError


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Remember every connection that is tried."""
    tried: list[object] = []

    def connect(_self: object, address: object) -> None:
        tried.append(address)
        raise OSError("no connection may be made here")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    monkeypatch.setattr(asyncio.BaseEventLoop, "sock_connect", connect, raising=False)
    return tried


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
        "192.0.0.8", "192.88.99.1", "198.18.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
        "2002:7f00:1::", "2001:0:53aa:64c:0:0:80ff:fffe", "::127.0.0.1", "::8.8.8.8", "fe80::1", "fc00::1", "fec0::1",
        "ff02::1", "2001:db8::1", "3fff::1", "5f00::1", "100::1", "2002:808:808::",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_let_through_also_where_it_is_carried_in_another(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://2130706433/", "http://0x7f000001/", "http://127.1/", "http://[::1]/",
        "http://[::ffff:7f00:1]/", "http://localhost/", "https://127.0.0.1/feed",
    ],
)  # fmt: skip
async def test_every_spelling_of_loopback_is_refused_before_a_socket_opens(url: str, no_sockets: list[object]) -> None:
    with pytest.raises(SourceError):
        await Fetcher().fetch(url)
    assert no_sockets == []


async def test_one_private_address_among_public_ones_refuses_the_name(no_sockets: list[object]) -> None:
    async def resolver(_host: str, _port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(SourceError, match=r"leads to 10\.0\.0\.1"):
        await Fetcher(resolver=resolver).fetch("https://feeds.example.org/")
    assert no_sockets == []


async def test_a_name_is_resolved_once_so_that_rebinding_gains_nothing(site: Any) -> None:
    calls: list[str] = []

    async def flipping(host: str, _port: int) -> list[str]:
        calls.append(host)
        return ["127.0.0.1"] if len(calls) == 1 else ["10.0.0.1"]

    site.say("/", b"hello")
    fetcher = Fetcher(limits=Limits(ports=(site.port,)), resolver=flipping, allowed=lambda a: a.is_loopback)
    assert (await fetcher.fetch(site.url("/"))).body == b"hello"
    assert calls == ["feeds.example.org"]
    with pytest.raises(SourceError, match=r"10\.0\.0\.1"):
        await fetcher.fetch(site.url("/"))


async def test_the_server_is_asked_for_the_name_not_for_its_address(site: Any, fetcher: Fetcher) -> None:
    site.say("/feed", b"x")
    fetched = await fetcher.fetch(site.url("/feed"))
    assert site.asked[0][1]["host"] == f"feeds.example.org:{site.port}"
    assert fetched.url == site.url("/feed")
    assert "cookie" not in site.asked[0][1]


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/", "http://[::ffff:7f00:1]/", "gopher://feeds.example.org/", "file:///etc/passwd"],
)
async def test_a_redirect_to_what_may_not_be_fetched_is_refused(site: Any, target: str) -> None:
    async def resolver(host: str, _port: int) -> list[str]:
        return ["127.0.0.1"] if host == "feeds.example.org" else [host.strip("[]")]

    site.say("/", status="302 Found", Location=target)
    fetcher = Fetcher(limits=Limits(ports=(80, site.port)), resolver=resolver, allowed=lambda a: str(a) == "127.0.0.1")
    with pytest.raises(SourceError):
        await fetcher.fetch(site.url("/"))
    assert len(site.asked) == 1


async def test_three_redirects_are_followed_and_a_fourth_is_not(site: Any, fetcher: Fetcher) -> None:
    for number in range(5):
        site.say(f"/{number}", status="301 Moved", Location=f"/{number + 1}")
    site.say("/5", b"at last")
    assert (await fetcher.fetch(site.url("/2"))).body == b"at last"
    with pytest.raises(SourceError, match="More than 3 redirects"):
        await fetcher.fetch(site.url("/1"))


async def test_other_ports_and_user_names_are_refused(no_sockets: list[object]) -> None:
    async def public(_host: str, _port: int) -> list[str]:
        return ["93.184.216.34"]

    with pytest.raises(SourceError, match="port 8080"):
        await Fetcher(resolver=public).fetch("http://feeds.example.org:8080/")
    with pytest.raises(SourceError, match="user name"):
        await Fetcher(resolver=public).fetch("https://me:secret@feeds.example.org/")
    assert no_sockets == []


async def test_a_body_beyond_the_cap_is_cut_and_said_to_be(site: Any, fetcher: Fetcher) -> None:
    site.say("/", b"x" * 3_000_000)
    fetched = await fetcher.fetch(site.url("/"))
    assert fetched.cut
    assert len(fetched.body) == 2_000_000


async def test_a_decompression_bomb_is_never_inflated_beyond_the_cap(site: Any, fetcher: Fetcher) -> None:
    bomb = gzip.compress(b"\0" * 200_000_000, compresslevel=6)
    site.say("/", bomb, Content_Encoding="gzip")
    started = time.monotonic()
    fetched = await fetcher.fetch(site.url("/"))
    assert fetched.cut
    assert len(fetched.body) == 2_000_000
    assert time.monotonic() - started < 2


async def test_gzip_is_decoded_and_stacked_or_unknown_encodings_are_refused(site: Any, fetcher: Fetcher) -> None:
    site.say("/gzip", gzip.compress(b"hello"), Content_Encoding="gzip")
    site.say("/stacked", gzip.compress(zlib.compress(b"hello")), Content_Encoding="deflate, gzip")
    site.say("/broken", b"not gzip", Content_Encoding="gzip")
    assert (await fetcher.fetch(site.url("/gzip"))).body == b"hello"
    for path in ("/stacked", "/broken"):
        with pytest.raises(SourceError):
            await fetcher.fetch(site.url(path))


async def test_a_connection_that_breaks_off_keeps_what_came(site: Any, fetcher: Fetcher) -> None:
    site.answers["/"] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nbegun"
    fetched = await fetcher.fetch(site.url("/"))
    assert fetched.body == b"begun"
    assert fetched.cut


async def _to_loopback(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


async def test_a_slow_server_costs_no_more_than_the_time_cap(site: Any) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the fetcher hangs up
        writer.close()

    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fetcher = Fetcher(limits=Limits(seconds=0.2, ports=(port,)), resolver=_to_loopback, allowed=lambda _a: True)
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"within 0\.2 seconds"):
        await fetcher.fetch(f"http://feeds.example.org:{port}/")
    assert time.monotonic() - started < 2
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.05)


async def test_etag_and_last_modified_are_sent_back_and_304_is_understood(site: Any, fetcher: Fetcher) -> None:
    def answer(_path: str, headers: dict[str, str]) -> bytes:
        if headers.get("if-none-match") == '"1"' and "if-modified-since" in headers:
            return site.response(status="304 Not Modified", ETag='"1"')
        return site.response(b"x", ETag='"1"', Last_Modified="Mon, 02 Nov 2026 09:00:00 GMT")

    site.answers["/"] = answer
    first = await fetcher.fetch(site.url("/"))
    again = await fetcher.fetch(site.url("/"), etag=first.etag, last_modified=first.last_modified)
    assert not first.not_modified
    assert again.not_modified


async def test_an_error_status_is_an_error_in_words(site: Any, fetcher: Fetcher) -> None:
    with pytest.raises(SourceError, match="answers 404 Not Found"):
        await fetcher.fetch(site.url("/nowhere"))


async def test_proxies_of_the_environment_are_not_used(
    site: Any, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    site.say("/", b"direct")
    assert (await fetcher.fetch(site.url("/"))).body == b"direct"


def _certificate_for(name: str, folder: Path) -> Path:
    """Write a self-signed certificate and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / "certificate.pem"
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return path


async def test_the_certificate_must_be_that_of_the_name_although_an_address_is_connected_to(
    site: Any, tmp_path: Path
) -> None:
    certificate = _certificate_for("feeds.example.org", tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    asked_for: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    server = await asyncio.start_server(site.handle, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    site.say("/", b"secret")
    fetcher = Fetcher(
        limits=Limits(ports=(port,)), resolver=_to_loopback, allowed=lambda a: a.is_loopback,
        trust=ssl.create_default_context(cafile=str(certificate)),
    )  # fmt: skip
    assert (await fetcher.fetch(f"https://feeds.example.org:{port}/")).body == b"secret"
    with pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"):
        await fetcher.fetch(f"https://other.example.org:{port}/")
    assert asked_for == ["feeds.example.org", "other.example.org"]
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.05)
