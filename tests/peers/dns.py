"""
A DNS server on loopback, UDP and TCP on one port, that knows what a test gives it and nothing else.

    with DnsServer({("example.org", "MX"): ["10 mx.example.org."]}) as server:
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.port

A value is written as in a zone file. TXT may also be the bare text, which is then cut into strings of 255 bytes. A name
that has no record, nor any below it, does not exist (NXDOMAIN); a name in `failing` gets SERVFAIL.
"""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

TTL = 60
STRING_BYTES = 255
PLAIN_UDP_BYTES = 512
MOST_ALIASES = 8
Records = Mapping[tuple[str, str], list[str]]


class DnsServer:
    """
    See the module. Records may be changed while it runs.

    Attributes:
        port: Of 127.0.0.1, for UDP and TCP.
        queries: What was asked so far, as (name, type), in small letters and without the last dot.
    """

    def __init__(self, records: Records, *, failing: Collection[str] = ()) -> None:
        self.records, self.failing = records, failing
        self.queries: list[tuple[str, str]] = []
        self._servers = _bind(self)
        self.port: int = self._servers[0].server_address[1]

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), name="dns", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def answer(self, wire: bytes) -> dns.message.Message:
        """Return the answer to one query."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = _plain(question.name.to_text()), dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        if name in map(_plain, self.failing):
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        response.answer += self._found(name, kind)
        if not response.answer and not self._exists(name):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def _found(self, name: str, kind: str) -> Iterator[dns.rrset.RRset]:
        for _ in range(MOST_ALIASES):
            if values := self._values(name, kind):
                yield _rrset(name, kind, values)
                return
            alias = self._values(name, "CNAME")
            if not alias:
                return
            yield _rrset(name, "CNAME", alias)
            name = _plain(alias[0])

    def _values(self, name: str, kind: str) -> list[str]:
        return [v for (known, k), values in self.records.items() if (_plain(known), k) == (name, kind) for v in values]

    def _exists(self, name: str) -> bool:
        return any(_plain(known) == name or _plain(known).endswith(f".{name}") for known, _ in self.records)


def _plain(name: str) -> str:
    return name.lower().rstrip(".")


def _rrset(name: str, kind: str, values: list[str]) -> dns.rrset.RRset:
    if kind == "TXT":
        values = [value if value.startswith('"') else _strings(value) for value in values]
    return dns.rrset.from_text(f"{name}.", TTL, "IN", kind, *values)


def _strings(text: str) -> str:
    raw = text.encode()
    pieces = [raw[at : at + STRING_BYTES] for at in range(0, len(raw), STRING_BYTES)] or [b""]
    escaped = ("".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03d}" for b in p) for p in pieces)
    return " ".join(f'"{piece}"' for piece in escaped)


class _Server(socketserver.ThreadingMixIn):
    daemon_threads, allow_reuse_address, dns_server = True, True, None


class _Udp(_Server, socketserver.UDPServer):
    pass


class _Tcp(_Server, socketserver.TCPServer):
    pass


class _UdpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, reply_by = self.request
        response = self.server.dns_server.answer(wire)
        most = max(PLAIN_UDP_BYTES, response.request_payload)
        sent = response.to_wire()
        if len(sent) > most:  # the client asks again by TCP
            response.flags |= dns.flags.TC
            response.answer.clear()
            sent = response.to_wire()
        reply_by.sendto(sent, self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while len(size := self.rfile.read(2)) == 2:
                sent = self.server.dns_server.answer(self.rfile.read(*struct.unpack("!H", size))).to_wire()
                self.wfile.write(struct.pack("!H", len(sent)) + sent)


def _bind(dns_server: DnsServer) -> tuple[socketserver.BaseServer, ...]:
    """Bind UDP and TCP to one port; a port that is free for one alone is given back."""
    for _ in range(20):
        udp = _Udp(("127.0.0.1", 0), _UdpHandler)
        try:
            tcp = _Tcp(udp.server_address, _TcpHandler)
        except OSError:
            udp.server_close()
            continue
        udp.dns_server = tcp.dns_server = dns_server
        return udp, tcp
    raise OSError("no port is free for UDP and TCP")
