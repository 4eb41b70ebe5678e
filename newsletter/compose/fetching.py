"""
Fetch one address from the open web, within caps; only public addresses are ever connected to.

A name is resolved once, every address it has is judged, and the connection goes to an address that was judged: a
name that answers differently the second time gains nothing. Each redirect starts again from there.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urljoin

import httpx

from newsletter.errors import SourceError

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]
AddressPolicy = Callable[[Address], bool]

SECONDS_TOTAL = 10.0
FEED_BYTES = 2_000_000
REDIRECTS = 3
PORTS = (80, 443)
USER_AGENT = "network-newsletter/0.1 (reads feeds for a newsletter)"

# What `is_global` of Python 3.11 lets through although nothing public is meant to answer there.
_NEVER = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10", "240.0.0.0/4", "::/96", "::ffff:0:0:0/96",
        "64:ff9b:1::/48", "100::/64", "2001::/23", "2002::/16", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
    )
)  # fmt: skip
_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of one fetch: seconds for all of it, bytes after decoding, redirects, ports."""

    seconds: float = SECONDS_TOTAL
    max_bytes: int = FEED_BYTES
    redirects: int = REDIRECTS
    ports: tuple[int, ...] = PORTS


@dataclass(frozen=True, slots=True)
class Fetched:
    """
    What one address answered.

    Attributes:
        url: Where it was in the end, after redirects.
        cut: The body went on beyond the cap; `body` holds what fits.
        pages: What ``X-WP-TotalPages`` says, where a server sends it.
        next_url: The address of ``Link: rel="next"``, absolute.
    """

    url: str
    body: bytes = b""
    content_type: str = ""
    etag: str | None = None
    last_modified: str | None = None
    not_modified: bool = False
    cut: bool = False
    pages: int | None = None
    next_url: str | None = None


def is_public(address: Address) -> bool:
    """
    Say whether a connection to *address* leaves for the open internet.

    Forms that carry an IPv4 address (mapped, NAT64) are judged by what they carry; those nobody needs any more
    (6to4, Teredo, IPv4-compatible) are refused.

    Source: RFC 6890, RFC 6052, RFC 8215.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback:
        return False
    return address.is_global and not any(address in network for network in _NEVER)


async def resolve(host: str, port: int) -> list[str]:
    """Return every address of *host* as the system resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedTransport(httpx.AsyncBaseTransport):
    """
    Connects only to addresses that were judged; Host and TLS name stay those of the address asked for.

    One transport serves one hop, so no connection made for one name is ever reused for another.
    """

    def __init__(
        self, resolver: Resolver, allowed: AddressPolicy, ports: tuple[int, ...], trust: ssl.SSLContext
    ) -> None:
        self._resolver, self._allowed, self._ports = resolver, allowed, ports
        self._inner = httpx.AsyncHTTPTransport(verify=trust, trust_env=False, retries=0)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme not in ("http", "https"):
            raise SourceError(f"{url} is neither http nor https.", hint="Give an https address.")
        port = url.port or (443 if url.scheme == "https" else 80)
        if port not in self._ports:
            raise SourceError(f"{url} asks for port {port}; only 80 and 443 are fetched from.")
        failure: httpx.TransportError | None = None
        for address in await self._judged(url.host, port):
            target = url.copy_with(host=address)
            # A copy, so that the response still belongs to the address that was asked for.
            aimed = httpx.Request(
                request.method,
                target,
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": url.raw_host.decode("ascii").strip("[]")},
            )
            try:
                return await self._inner.handle_async_request(aimed)
            except httpx.ConnectError as error:
                failure = error
        raise failure or httpx.ConnectError(f"{url.host} has no address")

    async def _judged(self, host: str, port: int) -> list[str]:
        try:
            answers = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise SourceError(
                f"The name {host} cannot be resolved.", hint="Check the address and this machine's DNS."
            ) from error
        addresses = [ip_address(answer.partition("%")[0]) for answer in answers]
        refused = next((address for address in addresses if not self._allowed(address)), None)
        if refused is not None:
            raise SourceError(
                f"{host} leads to {refused}, which is not a public address.",
                hint="Only sites on the open internet are fetched; a file of yours can be added by its path.",
            )
        return [str(address) for address in addresses]

    async def aclose(self) -> None:
        await self._inner.aclose()


class Fetcher:
    """
    Fetches addresses under one policy.

    Args:
        resolver: Turns a name into addresses.
        allowed: Judges each of them; tests that serve on loopback hand in their own.
        trust: Which certificates are believed; null for the public authorities.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        resolver: Resolver = resolve,
        allowed: AddressPolicy = is_public,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._resolver, self._allowed, self._given_trust = resolver, allowed, trust

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return self._given_trust or httpx.create_ssl_context(trust_env=False)

    async def fetch(
        self,
        url: str,
        *,
        accept: str = "*/*",
        etag: str | None = None,
        last_modified: str | None = None,
        limits: Limits | None = None,
    ) -> Fetched:
        """
        Return what *url* answers.

        Raises:
            SourceError: When it cannot be had within the caps, is not public, or answers anything but 200 or 304.
        """
        limits = limits or self.limits
        headers = {"Accept": accept, "Accept-Encoding": "gzip", "User-Agent": USER_AGENT}
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        try:
            async with asyncio.timeout(limits.seconds):
                return await self._follow(url, headers, limits)
        except TimeoutError:
            raise SourceError(f"{url} did not answer within {limits.seconds:g} seconds.", hint="Try later.") from None
        except (httpx.TransportError, httpx.InvalidURL, zlib.error, ValueError) as error:
            raise SourceError(f"{url} cannot be fetched: {error or type(error).__name__}.") from error

    async def _follow(self, url: str, headers: dict[str, str], limits: Limits) -> Fetched:
        for _hop in range(limits.redirects + 1):
            answer = await self._one(url, headers, limits)
            if isinstance(answer, Fetched):
                return answer
            if url.startswith("https:") and not answer.startswith("https:"):
                raise SourceError(f"{url} redirects to {answer}, which is not https.")
            url = answer
        raise SourceError(f"More than {limits.redirects} redirects, the last to {url}.")

    async def _one(self, url: str, headers: dict[str, str], limits: Limits) -> Fetched | str:
        """Ask one address; return its answer, or the address that it redirects to."""
        transport = GuardedTransport(self._resolver, self._allowed, limits.ports, self._trust)
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=limits.seconds) as client:
            if client.build_request("GET", url).url.userinfo:
                raise SourceError("An address with a user name in it is not fetched.")
            async with client.stream("GET", url, headers=headers, follow_redirects=False) as response:
                if response.has_redirect_location:
                    return urljoin(url, response.headers["location"])
                return await _read(url, response, limits.max_bytes)


async def _read(url: str, response: httpx.Response, max_bytes: int) -> Fetched:
    kept = {"etag": response.headers.get("etag"), "last_modified": response.headers.get("last-modified")}
    if response.status_code == httpx.codes.NOT_MODIFIED:
        return Fetched(url=url, not_modified=True, **kept)
    if response.status_code != httpx.codes.OK:
        raise SourceError(f"{url} answers {response.status_code} {response.reason_phrase}.".replace(" .", "."))
    body = bytearray()
    cut = False
    try:
        async for piece in _decoded(response, max_bytes + 1):
            body += piece
            if len(body) > max_bytes:
                cut = True
                break
    except (httpx.RemoteProtocolError, httpx.ReadError):
        if not body:
            raise
        cut = True  # the connection broke off; what came may hold whole items
    pages = response.headers.get("x-wp-totalpages", "")
    next_url = response.links.get("next", {}).get("url")
    return Fetched(
        url=url,
        body=bytes(body[:max_bytes]),
        content_type=response.headers.get("content-type", ""),
        cut=cut,
        pages=int(pages) if pages.isascii() and pages.isdigit() else None,
        next_url=urljoin(url, next_url) if next_url else None,
        **kept,
    )


async def _decoded(response: httpx.Response, most: int) -> AsyncIterator[bytes]:
    """Yield the decoded body, never inflating more than *most* bytes at a time (a bomb is 1000 to 1)."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if encoding not in ("gzip", "x-gzip"):
        raise SourceError(f"{response.url} is compressed as '{encoding}', which was not asked for.")
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    async for chunk in response.aiter_raw():
        yield inflate.decompress(chunk, most)
