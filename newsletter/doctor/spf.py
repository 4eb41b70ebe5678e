"""
What a receiver makes of an SPF record: fetched as a tree, then walked as a receiver walks it.

`gather` asks the DNS and decides nothing; `evaluate` decides over the tree and asks nobody.

Source: RFC 7208 4.6.4 for the limits, 5 and 6 for the terms.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum

from newsletter.doctor.lookup import Answer, Look, Status
from newsletter.doctor.spf_record import SpfSyntax, Term, expand, is_spf, parse_record

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_LOOKUPS, MOST_VOID_LOOKUPS, MOST_NAMES = 10, 2, 10
MOST_GATHERED = 40  # terms that are followed, so that a record that never ends is left at last
EVERYWHERE: tuple[Network, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


class Result(StrEnum):
    PASS = "pass"  # noqa: S105  (no password)
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    PERMERROR = "permerror"
    TEMPERROR = "temperror"


QUALIFIERS = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}


@dataclass(frozen=True, slots=True)
class Led:
    """
    A term, and where it led.

    Attributes:
        networks: The addresses that it matches, as far as they could be found.
        policy: What `include` or `redirect` names; null for other terms, or when the name depends on the mail.
        void: Its lookup found nothing.
        status: Of the lookup; null when there was none.
        crowded: More names than a receiver follows.
    """

    term: Term
    networks: tuple[Network, ...] = ()
    policy: Policy | None = None
    void: bool = False
    status: Status | None = None
    crowded: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """The SPF records of one domain, and where the terms of the only one led. `problem` says why it cannot be read."""

    domain: str
    status: Status
    records: tuple[str, ...] = ()
    terms: tuple[Led, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a receiver concludes, and what it cost it; `why` names the culprit of an error."""

    result: Result
    lookups: int
    voids: int
    why: str = ""


def gather(domain: str, look: Look, address: Address | None = None) -> Policy:
    """Fetch the record of *domain* and all that it leads to, as a receiver would for a mail from *address*."""
    return _Gatherer(look, domain, address).policy(domain, ())


class _Gatherer:
    """One fetch of one tree."""

    def __init__(self, look: Look, sender_domain: str, address: Address | None) -> None:
        self._look, self._address, self._followed = look, address, 0
        self._values = {"o": sender_domain}
        if address is not None:
            dotted = ".".join(address.exploded.replace(":", "")) if address.version == 6 else str(address)
            self._values |= {"i": dotted, "v": "ip6" if address.version == 6 else "in-addr", "c": str(address)}

    def policy(self, domain: str, above: tuple[str, ...]) -> Policy:
        if domain.lower() in above:
            return Policy(domain, Status.FOUND, problem=f"{domain} includes itself, without end")
        answer = self._look(domain, "TXT")
        records = tuple(text for text in answer.values if is_spf(text))
        if len(records) != 1:
            return Policy(domain, answer.status, records)
        try:
            terms = tuple(self._led(t, domain, (*above, domain.lower())) for t in parse_record(records[0]))
        except SpfSyntax as error:
            return Policy(domain, answer.status, records, problem=f"{error}, in the record of {domain}")
        return Policy(domain, answer.status, records, terms)

    def _led(self, term: Term, domain: str, above: tuple[str, ...]) -> Led:
        if term.name == "all":
            return Led(term, EVERYWHERE)
        if term.name in ("ip4", "ip6"):
            return Led(term, (ipaddress.ip_network(term.value),))
        target = expand(term.value, {**self._values, "d": domain}) if term.value else domain
        self._followed += 1
        if target is None or self._followed > MOST_GATHERED:
            return Led(term)
        if term.name in ("include", "redirect"):
            found = self.policy(target, above)
            return Led(term, policy=found, status=found.status, void=found.status in (Status.NO_NAME, Status.NO_RECORD))
        return self._addresses_of(term, target)

    def _addresses_of(self, term: Term, target: str) -> Led:
        if term.name == "exists":
            answer = self._look(target, "A")
            return Led(term, EVERYWHERE if answer.values else (), void=answer.absent, status=answer.status)
        if term.name == "ptr":
            return self._by_name_of_address(term, target)
        if term.name == "a":
            networks, status = self._networks(target, term)
            return Led(term, networks, status=status, void=_is_void(status))
        answer = self._look(target, "MX")
        hosts = [value.split()[-1].rstrip(".") for value in answer.values]
        pairs = [self._networks(host, term) for host in hosts[:MOST_NAMES] if host]
        status = next((s for _, s in pairs if s in (Status.FAILED, Status.SILENT)), answer.status)
        networks = tuple(network for found, _ in pairs for network in found)
        return Led(term, networks, status=status, void=answer.absent, crowded=len(hosts) > MOST_NAMES)

    def _networks(self, host: str, term: Term) -> tuple[tuple[Network, ...], Status]:
        version = self._address.version if self._address else None
        answers = [self._look(host, kind) for kind, v in (("A", 4), ("AAAA", 6)) if version in (None, v)]
        networks: list[Network] = []
        for answer in answers:
            for value in answer.values:
                prefix = term.prefix6 if ":" in value else term.prefix4
                networks.append(ipaddress.ip_network(f"{value}/{prefix}", strict=False))
        return tuple(networks), _gravest(answers)

    def _by_name_of_address(self, term: Term, target: str) -> Led:
        """Find the names of the address that lead back to it and are *target* or below. Source: RFC 7208 5.5."""
        if self._address is None:
            return Led(term)
        answer = self._look(self._address.reverse_pointer, "PTR")
        kind = "AAAA" if self._address.version == 6 else "A"
        names = [value.lower().rstrip(".") for value in answer.values][:MOST_NAMES]
        fitting = [n for n in names if n == target.lower() or n.endswith(f".{target.lower()}")]
        back = any(str(self._address) in self._look(name, kind).values for name in fitting)
        return Led(term, (ipaddress.ip_network(self._address),) if back else (), void=answer.absent)


def _gravest(answers: list[Answer]) -> Status:
    order = (Status.FOUND, Status.SILENT, Status.FAILED, Status.NO_RECORD, Status.NO_NAME)
    return min((a.status for a in answers), key=order.index)


def _is_void(status: Status) -> bool:
    return status in (Status.NO_RECORD, Status.NO_NAME)


class _Wrong(Exception):
    def __init__(self, result: Result, why: str) -> None:
        super().__init__(why)
        self.result, self.why = result, why


def evaluate(policy: Policy, address: Address | None) -> Evaluation:
    """
    Return what a receiver concludes of a mail from *address*.

    Args:
        address: None is an address that no term but `all` matches, which costs a receiver the most.
    """
    walk = _Walk(address)
    try:
        result, why = walk.check(policy)
    except _Wrong as wrong:
        result, why = wrong.result, wrong.why
    return Evaluation(result, walk.lookups, walk.voids, why)


class _Walk:
    """One evaluation; counts go on beyond the limits, so that a person learns by how much."""

    def __init__(self, address: Address | None) -> None:
        self._address, self.lookups, self.voids = address, 0, 0

    def check(self, policy: Policy) -> tuple[Result, str]:
        """Check the top record, with the limits of all of it."""
        result, why = self._check(policy)
        if self.lookups > MOST_LOOKUPS:
            return Result.PERMERROR, f"it takes {self.lookups} lookups, and receivers make {MOST_LOOKUPS}"
        if self.voids > MOST_VOID_LOOKUPS:
            return (
                Result.PERMERROR,
                f"{self.voids} of its lookups find nothing, and receivers bear {MOST_VOID_LOOKUPS}",
            )
        return result, why

    def _check(self, policy: Policy) -> tuple[Result, str]:
        if policy.status in (Status.FAILED, Status.SILENT):
            raise _Wrong(Result.TEMPERROR, f"the DNS does not answer for {policy.domain}")
        if policy.problem:
            raise _Wrong(Result.PERMERROR, policy.problem)
        if not policy.records:
            return Result.NONE, f"{policy.domain} has no SPF record"
        if len(policy.records) > 1:
            raise _Wrong(Result.PERMERROR, f"{policy.domain} has {len(policy.records)} SPF records")
        for led in policy.terms:
            self.lookups += led.term.looks_up
            self.voids += led.void
            if led.term.name == "redirect":
                return self._redirected(led)
            if self._matches(led):
                return QUALIFIERS[led.term.qualifier], ""
        return Result.NEUTRAL, ""

    def _redirected(self, led: Led) -> tuple[Result, str]:
        if led.policy is None:
            return Result.NEUTRAL, ""
        result, why = self._check(led.policy)
        if result is Result.NONE:
            raise _Wrong(Result.PERMERROR, f"redirect={led.term.value}: {why}")
        return result, why

    def _matches(self, led: Led) -> bool:
        if led.crowded:
            raise _Wrong(Result.PERMERROR, f"'{led.term.name}' leads to more than {MOST_NAMES} mail servers")
        if led.term.name == "include":
            if led.policy is None:
                return False
            result, why = self._check(led.policy)
            if result is Result.NONE:
                raise _Wrong(Result.PERMERROR, f"include:{led.term.value}: {why}")
            return result is Result.PASS
        if led.status in (Status.FAILED, Status.SILENT):
            raise _Wrong(Result.TEMPERROR, f"the DNS does not answer for '{led.term.name}:{led.term.value}'")
        if self._address is None:
            return led.term.name == "all"
        return any(self._address in network for network in led.networks)
