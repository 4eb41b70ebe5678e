"""What a receiver would conclude of our mail by DMARC, told to a person; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from newsletter.doctor.dmarc import Applied, Walk, applied_policy, is_aligned
from newsletter.doctor.findings import DnsRecord, Finding, fail, ok, warn
from newsletter.doctor.lookup import Answer, Status

CHECK = "DMARC"
_ASKED = {
    "none": "deliver it all the same (p=none), but large providers may not",
    "quarantine": "put it into the spam folder (p=quarantine)",
    "reject": "refuse it (p=reject)",
}


class Vouched(StrEnum):
    """Whether a mechanism passes for our mail, as far as it can be told from here."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Identity:
    """A domain that SPF or DKIM vouches for, walked, and whether it does."""

    walked: Walk
    vouched: Vouched


@dataclass(frozen=True, slots=True)
class DmarcFacts:
    """
    What was looked up.

    Attributes:
        author: The walk from the domain of the From.
        author_status: Whether that domain exists at all.
        envelope: The domain of the envelope sender, which SPF vouches for.
        signature: The ``d=`` of our signature; null where the relay is expected to sign.
        permits: For each address of `rua` elsewhere, the answer to whether it takes our reports.
        contact: Where reports may go, for a record that we propose.
    """

    author: Walk
    author_status: Status
    envelope: Identity
    signature: Identity | None
    permits: Mapping[str, Answer]
    contact: str


def judge_dmarc(facts: DmarcFacts) -> Iterator[Finding]:
    """Judge the published policy, then whether our mail meets it."""
    applied = applied_policy(facts.author, facts.author_status)
    if facts.author.unanswered:
        names = ", ".join(f"_dmarc.{name}" for name in facts.author.unanswered)
        yield warn(CHECK, f"The DNS does not answer for {names}.", "Try again; then ask who runs its DNS.")
        if applied is None:
            return
    yield from _judge_faults(facts)
    if applied is None:
        if not facts.author.doubled and not facts.author.broken:
            none = f"{facts.author.domain} has no DMARC record; large providers refuse newsletters without one."
            yield fail(CHECK, none, "Publish it:", _proposed(facts))
        return
    yield from _judge_policy(applied, facts)
    yield from _judge_alignment(applied, facts)


def _judge_faults(facts: DmarcFacts) -> Iterator[Finding]:
    for domain in facts.author.doubled:
        many = f"_dmarc.{domain} has several DMARC records: receivers then use none of them."
        yield fail(CHECK, many, "Keep one of them, for instance:", _proposed(facts, domain))
    for domain, text in facts.author.broken:
        broken = f"The record of _dmarc.{domain} cannot be used: {text}"
        yield fail(
            CHECK, broken, "It needs p=none, p=quarantine or p=reject. Publish this instead:", _proposed(facts, domain)
        )


def _judge_policy(applied: Applied, facts: DmarcFacts) -> Iterator[Finding]:
    record = applied.record
    said = f"{facts.author.domain} has the policy {applied.tag}={applied.policy}"
    if record.domain != facts.author.domain:
        said += f", from {record.domain}"
    if applied.testing:
        yield warn(
            CHECK, f"{said}, in test mode (t=y): receivers take it as {applied.in_force}.", "Take t=y out in time."
        )
    elif record.reports_to:
        yield ok(CHECK, f"{said}; reports go to {', '.join(record.reports_to)}.")
    if not record.reports_to:
        kept = [part.strip() for part in record.text.split(";") if not part.strip().lower().startswith("rua")]
        value = "; ".join((*filter(None, kept), f"rua=mailto:{facts.contact}"))
        publish = DnsRecord(f"_dmarc.{record.domain}", "TXT", value)
        yield warn(CHECK, f"{said}, and asks for no reports (rua).", "Publish this instead:", publish)
    for address, answer in facts.permits.items():
        if answer.absent:
            elsewhere = address.rpartition("@")[2]
            yield warn(
                CHECK,
                f"Reports to {address} are not sent: {elsewhere} does not say that it takes those of {record.domain}.",
                f"Ask who runs {elsewhere} to publish:",
                DnsRecord(report_permit_name(record.domain, elsewhere), "TXT", "v=DMARC1"),
            )


def report_permit_name(domain: str, elsewhere: str) -> str:
    """Return the name at which a domain says that it takes the reports of another. Source: RFC 9990."""
    return f"{domain}._report._dmarc.{elsewhere}"


def _judge_alignment(applied: Applied, facts: DmarcFacts) -> Iterator[Finding]:
    author, record = facts.author, applied.record
    spf_strict, dkim_strict = record.tag("aspf", "r") == "s", record.tag("adkim", "r") == "s"
    spf = _one("SPF", "envelope sender", facts.envelope, author, strict=spf_strict)
    yield spf.finding
    ways = [spf]
    if facts.signature is not None:
        ways.append(_one("DKIM", "signature (d=)", facts.signature, author, strict=dkim_strict))
        yield ways[-1].finding
    yield _conclude(applied, ways, relay_signs=facts.signature is None, author=author.domain)


@dataclass(frozen=True, slots=True)
class _Way:
    name: str
    passes: Vouched
    finding: Finding


def _one(name: str, what: str, identity: Identity, author: Walk, *, strict: bool) -> _Way:
    other, how = identity.walked, "strict" if strict else "relaxed"
    if is_aligned(author, other, strict=strict):
        said = f"By {name} the {what} {other.domain} is aligned with the From {author.domain} ({how})."
        return _Way(name, identity.vouched, ok(CHECK, said))
    said = f"By {name} the {what} {other.domain} is not aligned with the From {author.domain} ({how})."
    key = "bounces.domain" if name == "SPF" else "dkim.domain"
    wanted = f"write {author.domain}" if strict else f"write {author.domain}, or a domain below it"
    return _Way(name, Vouched.NO, warn(CHECK, said, f"Change {key}: {wanted}."))


def _conclude(applied: Applied, ways: list[_Way], *, relay_signs: bool, author: str) -> Finding:
    passing = [way.name for way in ways if way.passes is Vouched.YES]
    if passing:
        return ok(CHECK, f"A receiver finds: pass, by {' and '.join(passing)}.")
    chances = [way.name for way in ways if way.passes is Vouched.UNKNOWN]
    hopes = [f"{name} passes" for name in chances]
    if relay_signs:
        hopes.append(f"your relay signs with d={author}")
    if hopes:
        return ok(CHECK, f"A receiver finds: pass, if {' or '.join(hopes)}; that cannot be told from here.")
    asked = _ASKED[applied.in_force]
    return fail(CHECK, f"A receiver finds: fail. It is asked to {asked}.", "Mend SPF or DKIM, as said above.")


def _proposed(facts: DmarcFacts, domain: str = "") -> DnsRecord:
    return DnsRecord(f"_dmarc.{domain or facts.author.domain}", "TXT", f"v=DMARC1; p=none; rua=mailto:{facts.contact}")
