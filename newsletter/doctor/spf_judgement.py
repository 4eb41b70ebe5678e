"""What to tell a person of their SPF record, and the record to publish instead; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from newsletter.doctor.findings import DnsRecord, Finding, fail, ok, warn
from newsletter.doctor.lookup import Status
from newsletter.doctor.spf import MOST_LOOKUPS, MOST_VOID_LOOKUPS, Address, Evaluation, Policy, Result, evaluate
from newsletter.doctor.spf_record import VERSION

CHECK = "SPF"
PLACE_OF_ADDRESS = "ip4:ADDRESS"


@dataclass(frozen=True, slots=True)
class RelaySeen:
    """An address of a configured relay, and what a receiver concludes of mail from there."""

    host: str
    address: Address
    evaluation: Evaluation


def judge_spf(policy: Policy, relays: Sequence[RelaySeen]) -> Iterator[Finding]:
    """
    Judge the record of the envelope sender's domain.

    Args:
        policy: As gathered for no address, so that all its terms count.
        relays: What was seen of relays whose addresses are known; none where they run on this machine.
    """
    addresses = [seen.address for seen in relays]
    worst = evaluate(policy, None)
    if policy.status in (Status.FAILED, Status.SILENT):
        yield warn(CHECK, f"The DNS does not answer for {policy.domain}.", "Try again; then ask who runs its DNS.")
    elif not policy.records:
        record = _record(policy.domain, f"{VERSION} {' '.join(_terms(addresses))} ~all")
        fix = _PUBLISH_ADDRESS if PLACE_OF_ADDRESS in record.value else "Publish it:"
        yield fail(CHECK, f"{policy.domain} has no SPF record, so many receivers refuse its mail.", fix, record)
    elif len(policy.records) > 1:
        many = f"{policy.domain} has {len(policy.records)} SPF records: receivers then use none of them."
        yield fail(CHECK, many, "Publish this one, and take the others away:", _merged(policy))
    elif worst.result in (Result.PERMERROR, Result.TEMPERROR):
        yield _judge_error(policy, worst)
    else:
        yield from _judge_breadth(policy, worst)
        yield from _judge_relays(policy, relays)


_PUBLISH_ADDRESS = "Publish it; put the address that your relay mails from in place of ADDRESS:"
_REPLACE = "Publish this instead:"


def _judge_error(policy: Policy, worst: Evaluation) -> Finding:
    if worst.result is Result.TEMPERROR:
        return warn(CHECK, f"The record of {policy.domain} cannot be checked: {worst.why}.", "Try again later.")
    fix = "Mend it; until then receivers treat your mail as if there were no record."
    if worst.lookups > MOST_LOOKUPS:
        fix = "Take out what you do not send from; write a short list of addresses as ip4: and ip6: instead of include:"
    elif worst.voids > MOST_VOID_LOOKUPS:
        fix = "Take out the names that do not exist any more."
    return fail(CHECK, f"The record of {policy.domain} is in error: {worst.why}.", fix)


def _judge_breadth(policy: Policy, worst: Evaluation) -> Iterator[Finding]:
    text = policy.records[0]
    last = policy.terms[-1].term if policy.terms else None
    if any(led.term.name == "all" and led.term.qualifier == "+" for led in policy.terms):
        lax = f"The record of {policy.domain} allows the whole world to send in your name (+all)."
        yield warn(CHECK, lax, _REPLACE, _record(policy.domain, _with_softfail(text)))
    elif last is None or last.name not in ("all", "redirect"):
        open_end = f"The record of {policy.domain} ends without 'all', so it refuses nobody."
        yield warn(CHECK, open_end, _REPLACE, _record(policy.domain, f"{text} ~all"))
    elif any(led.term.name == "ptr" for led in policy.terms):
        yield warn(CHECK, f"The record of {policy.domain} uses 'ptr', which many receivers skip.", "Take it out.")
    else:
        yield ok(CHECK, f"{policy.domain} has one record; it takes {worst.lookups} of {MOST_LOOKUPS} lookups.")


def _judge_relays(policy: Policy, relays: Sequence[RelaySeen]) -> Iterator[Finding]:
    if not relays:
        yield ok(
            CHECK,
            "From which address the mail of your relay reaches the world cannot be told from here: compare it with "
            f" {policy.records[0]}",
        )
        return
    refused = [seen for seen in relays if seen.evaluation.result is not Result.PASS]
    for seen in relays:
        if seen not in refused:
            yield ok(CHECK, f"{policy.domain} allows {seen.host} ({seen.address}).")
    if not refused:
        return
    said = ", ".join(f"{seen.host} ({seen.address}, {seen.evaluation.result.value})" for seen in refused)
    yield warn(
        CHECK,
        f"{policy.domain} does not allow {said}.",
        "If your relay mails from that address, publish this instead (a provider may ask for an include: of its own):",
        _record(policy.domain, _with_addresses(policy.records[0], [seen.address for seen in refused])),
    )


def _merged(policy: Policy) -> DnsRecord:
    """Join the terms of all records; the strictest words are kept out, so that nobody is refused who was allowed."""
    words = [word for text in policy.records for word in text.split()[1:]]
    kept = [w for w in dict.fromkeys(words) if w.lower().lstrip("+-~?") != "all"]
    return _record(policy.domain, " ".join((VERSION, *kept, "~all")))


def _with_softfail(text: str) -> str:
    return " ".join("~all" if word.lower() in ("all", "+all") else word for word in text.split())


def _with_addresses(text: str, addresses: Sequence[Address]) -> str:
    words = text.split()
    ends = [i for i, w in enumerate(words) if w.lower().lstrip("+-~?") == "all" or w.lower().startswith("redirect=")]
    at = ends[0] if ends else len(words)
    return " ".join((*words[:at], *_terms(addresses), *words[at:]))


def _terms(addresses: Sequence[Address]) -> list[str]:
    found = dict.fromkeys(f"ip{address.version}:{address}" for address in addresses if address.is_global)
    return list(found) or [PLACE_OF_ADDRESS]


def _record(domain: str, value: str) -> DnsRecord:
    return DnsRecord(domain, "TXT", value)
