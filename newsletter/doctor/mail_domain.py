"""
What the DNS says of the domains that we mail from: looked up here, judged by the modules beside this one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from newsletter.config.settings import Config, SmtpAccount
from newsletter.config.values import is_placeholder
from newsletter.doctor.dkim_judgement import SigningKey, judge_key, key_missing, relay_signs
from newsletter.doctor.dmarc import Walk, applied_policy, walk
from newsletter.doctor.dmarc_judgement import DmarcFacts, Identity, Vouched, judge_dmarc, report_permit_name
from newsletter.doctor.findings import Finding, Level, ok, warn
from newsletter.doctor.lookup import Answer, Look, Status
from newsletter.doctor.reachable import judge_domain, mail_servers, see_domain
from newsletter.doctor.spf import Address, Policy, Result, evaluate, gather
from newsletter.doctor.spf_judgement import RelaySeen, judge_spf

MOST_ADDRESSES = 8

Task = Callable[[], list[Finding]]


@dataclass(frozen=True, slots=True)
class Signing:
    """Whether we sign, and with what; `problem` says why the keys cannot be had, `fix` what to do."""

    enabled: bool = False
    domain: str = ""
    keys: tuple[SigningKey, ...] = ()
    problem: str = ""
    fix: str = ""


def dns_tasks(config: Config, look: Look, signing: Signing) -> list[Task]:
    """Return the checks, each to be run in a thread of its own; nothing is asked of domains not yet filled in."""
    sender = config.organisation.from_address
    if is_placeholder(sender):
        open_yet = warn(
            "DNS", "Not asked: the address that issues come from is not set.", "Set organisation.from_address."
        )
        return [lambda: [open_yet]]
    return [
        lambda: list(_check_keys(look, signing)),
        lambda: list(_check_identity(config, look, signing)),
        *(_domain_task(config, look, domain, purpose) for domain, purpose in _domains(config).items()),
    ]


def dns_not_asked(signing: Signing) -> list[Finding]:
    """Say so; whether there are keys to sign with is seen without it."""
    missing = [key_missing(signing.problem, signing.fix)] if signing.problem else []
    return [*missing, ok("DNS", "SPF, DKIM, DMARC and MX not looked up (add --online).")]


def _check_identity(config: Config, look: Look, signing: Signing) -> Iterator[Finding]:
    """SPF first, because what DMARC concludes rests on it."""
    domain = config.bounce_domain
    policy = gather(domain, look)
    relays = [seen for account in config.smtp.all_accounts for seen in _see_relay(account, domain, look)]
    yield from judge_spf(policy, relays)
    yield from judge_dmarc(_dmarc_facts(config, look, signing, _vouched(policy, relays)))


def _see_relay(account: SmtpAccount, domain: str, look: Look) -> Iterator[RelaySeen]:
    for address in _addresses_of(account, look):
        yield RelaySeen(account.host, address, evaluate(gather(domain, look, address), address))


def _addresses_of(account: SmtpAccount, look: Look) -> list[Address]:
    """Return where a relay is in the world; none for one here or in a private network, which mails by another."""
    if account.on_loopback:
        return []
    try:
        found = [ipaddress.ip_address(account.host)]
    except ValueError:
        answers = [look(account.host, "A"), look(account.host, "AAAA")]
        found = [ipaddress.ip_address(value) for answer in answers for value in answer.values]
    return [address for address in found if address.is_global][:MOST_ADDRESSES]


def _vouched(policy: Policy, relays: Sequence[RelaySeen]) -> Vouched:
    """A relay may mail from another address than it listens on, so one that is not allowed proves nothing."""
    if evaluate(policy, None).result in (Result.NONE, Result.PERMERROR):
        return Vouched.NO
    passes = bool(relays) and all(seen.evaluation.result is Result.PASS for seen in relays)
    return Vouched.YES if passes else Vouched.UNKNOWN


def _dmarc_facts(config: Config, look: Look, signing: Signing, spf: Vouched) -> DmarcFacts:
    author = config.organisation.from_address.rpartition("@")[2].lower()
    walked = walk(author, look)
    status = look(author, "A").status
    signature = Identity(walk(signing.domain, look), _signed(signing, look)) if signing.enabled else None
    return DmarcFacts(
        author=walked,
        author_status=status,
        envelope=Identity(walk(config.bounce_domain, look), spf),
        signature=signature,
        permits=_permits(walked, status, look),
        contact=_contact(config, author),
    )


def _signed(signing: Signing, look: Look) -> Vouched:
    """One signature that verifies is enough."""
    levels = {judge_key(key, look(key.record.name, "TXT")).level for key in signing.keys}
    if Level.OK in levels:
        return Vouched.YES
    return Vouched.UNKNOWN if Level.WARN in levels else Vouched.NO


def _contact(config: Config, author: str) -> str:
    """Return where reports may go: an address of ours in the same domain, for which nobody has to be asked."""
    ours = (*config.alerts.to, config.organisation.reply_to)
    fitting = (address for address in ours if address.rpartition("@")[2].lower() == author)
    return next(fitting, config.organisation.from_address)


def _permits(author: Walk, status: Status, look: Look) -> dict[str, Answer]:
    """Ask the domains of others that are to get reports whether they take them. Source: RFC 9990."""
    applied = applied_policy(author, status)
    if applied is None:
        return {}
    found: dict[str, Answer] = {}
    for address in applied.record.reports_to:
        elsewhere = address.rpartition("@")[2].lower()
        if elsewhere != applied.record.domain and walk(elsewhere, look).organisation != author.organisation:
            answer = look(report_permit_name(applied.record.domain, elsewhere), "TXT")
            found[address] = answer
    return found


def _check_keys(look: Look, signing: Signing) -> Iterator[Finding]:
    if not signing.enabled:
        yield relay_signs()
    elif signing.problem:
        yield key_missing(signing.problem, signing.fix)
    else:
        for key in signing.keys:
            yield judge_key(key, look(key.record.name, "TXT"))


def _domains(config: Config) -> dict[str, str]:
    """Return the domains that must take mail, each with what for."""
    organisation = config.organisation
    wanted = {config.bounce_domain: ["bounces"]}
    for address in (organisation.from_address, organisation.reply_to):
        if address:
            wanted.setdefault(address.rpartition("@")[2].lower(), []).append("replies")
    return {domain: " and ".join(dict.fromkeys(purposes)) for domain, purposes in wanted.items()}


def _domain_task(config: Config, look: Look, domain: str, purpose: str) -> Task:
    return lambda: list(judge_domain("MX", see_domain(domain, look), purpose, _mail_server(config, look, domain)))


def _mail_server(config: Config, look: Look, domain: str) -> str:
    """Return the host to propose for an MX: what takes the mail of the From already, else the relay."""
    known = mail_servers(look(config.organisation.from_address.rpartition("@")[2], "MX"))
    if known and known[0]:
        return known[0]
    relay = next((a.host for a in config.smtp.all_accounts if not a.on_loopback and not a.host[-1].isdigit()), "")
    return relay or f"mail.{domain}"
