"""
Ask the DNS, and nothing else: one question gives one value, and a silence is a value too.

Every answer is kept, so that a check may ask again; after three silences nobody is asked any more, so that a dead name
server costs seconds, not minutes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from dns.rdtypes.txtbase import TXTBase

from newsletter.errors import InvalidValue

TIMEOUT_SECONDS = 3.0
MOST_SILENCES = 3
DNS_PORT = 53


class Status(StrEnum):
    """`no-record`: the name exists, without a record of this type. `no-name`: it does not exist (NXDOMAIN)."""

    FOUND = "found"
    NO_RECORD = "no-record"
    NO_NAME = "no-name"
    FAILED = "failed"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS said. `values` are as in a zone file; the strings of a TXT are joined, its quotes taken off."""

    status: Status
    values: tuple[str, ...] = ()

    @property
    def absent(self) -> bool:
        return self.status in (Status.NO_RECORD, Status.NO_NAME)

    @property
    def unknown(self) -> bool:
        return self.status in (Status.FAILED, Status.SILENT)


Look = Callable[[str, str], Answer]


@dataclass(frozen=True, slots=True)
class NameServer:
    """The resolver to ask instead of this machine's."""

    address: str
    port: int = DNS_PORT


def read_name_server(text: str) -> NameServer:
    """
    Read ``HOST[:PORT]``; HOST is a literal address, an IPv6 one in brackets where a port follows.

    Raises:
        InvalidValue: When it is anything else.
    """
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address, number = str(ipaddress.ip_address(host)), int(port or DNS_PORT)
    except ValueError:
        number = 0
    if not 1 <= number <= 65535:
        raise InvalidValue(f"'{text}' is no name server; write its address, such as 9.9.9.9 or 127.0.0.1:5353.")
    return NameServer(address, number)


class Lookup:
    """Ask one resolver; an instance is a `Look` and may be used from several threads."""

    def __init__(self, server: NameServer | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._resolver = _resolver(server)
        self._resolver.lifetime = timeout_seconds
        self._resolver.timeout = timeout_seconds / 2
        self._kept: dict[tuple[str, str], Answer] = {}
        self._lock, self._silences = Lock(), 0

    def __call__(self, name: str, kind: str) -> Answer:
        key = (name.lower().rstrip("."), kind)
        with self._lock:
            if key in self._kept:
                return self._kept[key]
            if self._silences >= MOST_SILENCES:
                return Answer(Status.SILENT)
        answer = self._ask(*key)
        with self._lock:
            self._kept[key] = answer
            self._silences += answer.status is Status.SILENT
        return answer

    def _ask(self, name: str, kind: str) -> Answer:
        try:
            found = self._resolver.resolve(f"{name}.", kind, search=False)
        except dns.resolver.NXDOMAIN:
            return Answer(Status.NO_NAME)
        except dns.resolver.NoAnswer:
            return Answer(Status.NO_RECORD)
        except dns.exception.Timeout:
            return Answer(Status.SILENT)
        except (dns.exception.DNSException, UnicodeError, OSError):
            return Answer(Status.FAILED)
        return Answer(Status.FOUND, tuple(sorted(_text(rdata) for rdata in found)))


def _resolver(server: NameServer | None) -> dns.resolver.Resolver:
    if server is None:
        try:
            return dns.resolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            server = NameServer("127.0.0.1")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [server.address], server.port
    return resolver


def _text(rdata: object) -> str:
    if isinstance(rdata, TXTBase):
        return b"".join(rdata.strings).decode("utf-8", "replace")
    return str(rdata)
