"""Whether mail to our domains arrives: replies to the From, reports to the bounce domain; pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from newsletter.doctor.findings import DnsRecord, Finding, fail, ok, warn
from newsletter.doctor.lookup import Answer, Look, Status

MOST_HOSTS = 10


@dataclass(frozen=True, slots=True)
class DomainSeen:
    """
    What the DNS says of a domain that must take mail.

    Attributes:
        hosts: For each mail server of the MX, whether it has an address (A or AAAA), and its alias (CNAME) if any.
        own: Addresses of the domain itself, which count where there is no MX.
    """

    domain: str
    mx: Answer
    own: Answer
    soa: Answer
    hosts: Mapping[str, HostSeen]


@dataclass(frozen=True, slots=True)
class HostSeen:
    """A mail server: an answer with its addresses, and the alias that it is one of."""

    addresses: Answer
    alias: str = ""


def see_domain(domain: str, look: Look) -> DomainSeen:
    """Look all of it up."""
    mx = look(domain, "MX")
    hosts = {host: _see_host(host, look) for host in mail_servers(mx)[:MOST_HOSTS] if host}
    return DomainSeen(domain, mx, _addresses(domain, look), look(domain, "SOA"), hosts)


def mail_servers(mx: Answer) -> list[str]:
    """Return the hosts of an MX answer, the preferred first; an empty name is the null MX of RFC 7505."""
    pairs = [(int(preference), host.rstrip(".").lower()) for preference, host in (v.split() for v in mx.values)]
    return [host for _, host in sorted(pairs)]


def _see_host(host: str, look: Look) -> HostSeen:
    return HostSeen(_addresses(host, look), "".join(look(host, "CNAME").values[:1]).rstrip("."))


def _addresses(name: str, look: Look) -> Answer:
    answers = [look(name, "A"), look(name, "AAAA")]
    values = tuple(value for answer in answers for value in answer.values)
    if values:
        return Answer(Status.FOUND, values)
    return next((a for a in answers if a.unknown), answers[0])


def judge_domain(check: str, seen: DomainSeen, purpose: str, advised_host: str) -> Iterator[Finding]:
    """
    Judge one domain.

    Args:
        purpose: What needs it, as in "replies" or "bounces".
        advised_host: A mail server for the record that is proposed.
    """
    record, servers = DnsRecord(seen.domain, "MX", f"10 {advised_host}."), mail_servers(seen.mx)
    if seen.mx.unknown:
        yield warn(check, f"The DNS does not answer for {seen.domain}.", "Try again; then ask who runs its DNS.")
        return
    if seen.mx.status is Status.NO_NAME:
        gone = f"{seen.domain} does not exist in the DNS: {purpose} cannot arrive, and receivers refuse its mail."
        yield fail(check, gone, "Publish a record of the mail server that takes its mail, such as:", record)
        return
    if "" in servers:
        null = f"{seen.domain} says that it takes no mail (null MX): {purpose} cannot arrive, and many refuse its mail."
        yield fail(check, null, "Publish the mail server instead, such as:", record)
        return
    yield from _judge_servers(check, seen, servers, purpose, record)
    if seen.soa.status is Status.NO_NAME or seen.soa.status is Status.FAILED:
        yield warn(check, f"{seen.domain} gives no SOA; Yahoo asks for it.", "Ask who runs its DNS.")


def _judge_servers(
    check: str, seen: DomainSeen, servers: list[str], purpose: str, record: DnsRecord
) -> Iterator[Finding]:
    if not servers:
        if seen.own.values:
            bare = f"{seen.domain} has no MX, only an address; not every sender tries that."
            yield warn(check, bare, "Publish its mail server, such as:", record)
        else:
            none = f"{seen.domain} has neither MX nor address: {purpose} cannot arrive."
            yield fail(check, none, "Publish its mail server, such as:", record)
        return
    useless = [host for host in servers if host in seen.hosts and seen.hosts[host].addresses.absent]
    literal = [host for host in servers if _is_address(host)]
    aliases = {host: found.alias for host, found in seen.hosts.items() if found.alias}
    if literal:
        yield fail(
            check,
            f"The MX of {seen.domain} is an address ({literal[0]}); it must be a name.",
            "Give the server a name.",
        )
    elif set(useless) >= set(seen.hosts):
        none = f"No mail server of {seen.domain} has an address ({', '.join(useless)}): {purpose} cannot arrive."
        yield fail(check, none, "Publish an A or AAAA record for it.")
    elif useless:
        yield warn(
            check, f"{', '.join(useless)}, an MX of {seen.domain}, has no address.", "Take it out, or give it one."
        )
    for host, alias in aliases.items():
        fix = "Publish the name behind it:"
        yield warn(check, f"{host}, an MX of {seen.domain}, is an alias (CNAME), which no MX may be.", fix,
                   DnsRecord(seen.domain, "MX", f"10 {alias}."))  # fmt: skip
    if not (literal or useless or aliases):
        yield ok(check, f"{seen.domain} takes mail at {servers[0]}: {purpose} can arrive.")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
