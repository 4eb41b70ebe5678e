"""
What is made of one report about one recipient: matched with the marked copy, counted, and acted on by the policy.

Only a report whose mark is valid, and which names nobody but the person that the marked copy went to, touches anybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import consent, suppression
from subscribers.bounces import records
from subscribers.bounces.event import LONGEST_WORDS, BounceClass, ReportKind, Said
from subscribers.bounces.outside import Application, MarkedCopy
from subscribers.bounces.policy import Patience, Rule, Sign, decide, suppresses_at_once
from subscribers.tables import (
    BounceEvent,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionState,
    Suppression,
)

MARK_LIFETIME = timedelta(days=30)
# Providers redact the address of who complains, and leave the domain. Source: RFC 6590.
_REDACTED = re.compile(r"redact|hashed|anonym|x{4,}|\*{3,}|[0-9a-f]{16,}", re.IGNORECASE)
_SUPPRESSES = {
    Rule.AT_ONCE: suppression.HARD_BOUNCE,
    Rule.TWO_HARD: suppression.HARD_BOUNCE,
    Rule.SCORE: suppression.SOFT_BOUNCES,
}
PROVIDER = "provider"  # the actor of the ledger's lines that somebody at a provider's wrote
_PROOFS = (ReportKind.DELIVERED, ReportKind.AUTOREPLY, ReportKind.MDN, ReportKind.REPLY)
_ARRIVED = (
    *_PROOFS,
    ReportKind.RELAYED,
    ReportKind.DELAYED,
    ReportKind.CHALLENGE,
    ReportKind.COMPLAINT,
    ReportKind.UNSUBSCRIBED,
)
_NEEDS_A_MARK = (ReportKind.BOUNCE, ReportKind.COMPLAINT, ReportKind.UNSUBSCRIBED)


@dataclass(frozen=True, slots=True)
class Found:
    """The copy that the marks name, or why there is none to act on."""

    copy: MarkedCopy | None
    trouble: Rule | None = None


@dataclass(frozen=True, slots=True)
class Patiences:
    """How much is borne, by the name of a list; `soft_rest` is how long a suppression for a score lasts."""

    usual: Patience = field(default_factory=Patience)
    by_list: Mapping[str, Patience] = field(default_factory=dict)
    soft_rest: timedelta | None = timedelta(days=90)

    def of(self, session: Session, list_id: int) -> Patience:
        if not self.by_list:
            return self.usual
        mailing_list = session.get(MailingList, list_id)
        return self.by_list.get(mailing_list.name, self.usual) if mailing_list else self.usual


class Judge:
    """Makes events; nothing here commits."""

    def __init__(self, application: Application, *, patiences: Patiences, pepper: bytes) -> None:
        self._application, self._patiences, self._pepper = application, patiences, pepper

    def judge(self, session: Session, report_id: int, said: Said, found: Found, *, now: datetime) -> BounceEvent:
        """Write down what one report says of one recipient, and do what the rules say."""
        event = self._event(report_id, said)
        session.add(event)
        session.flush()  # its id goes into the evidence of what it does
        event.rule = self._rule(session, event, said, found, now)
        session.flush()
        return event

    def _event(self, report_id: int, said: Said) -> BounceEvent:
        return BounceEvent(
            report_id=report_id,
            kind=said.kind,
            at=said.at,
            address=said.address or None,
            address_hash=records.hash_of(self._pepper, said.address) if said.address else None,
            domain=said.address.rpartition("@")[2][:253],
            klass=said.klass,
            status=said.status[:32],
            reason=said.reason,
            words=said.words[:LONGEST_WORDS],
            sign=Sign.NONE,
            at_once=False,
            rule=Rule.NOT_A_BOUNCE,
            score=0.0,
            suppression_ids=[],
            consent_event_ids=[],
        )

    def _rule(self, session: Session, event: BounceEvent, said: Said, found: Found, now: datetime) -> Rule:
        copy = found.copy
        if copy is not None:
            event.delivery_id, event.issue_id, event.list_id = copy.id, copy.issue_id, copy.list_id
            event.marked_hash = copy.address_hash
            event.domain = event.domain or copy.address.rpartition("@")[2]
        if found.trouble is not None or copy is None:
            trouble = found.trouble or Rule.NO_MARK
            return trouble if said.kind in _NEEDS_A_MARK else Rule.NOT_A_BOUNCE
        if not copy.address:
            event.address, event.words, event.domain = None, "", ""
            return Rule.NOBODY
        if said.address and event.address_hash != copy.address_hash and not _is_redacted(said, copy):
            return Rule.OTHER_ADDRESS
        event.address = event.address or copy.address
        if said.kind in _ARRIVED and said.own_act:
            self._application.accepted(session, copy.id, at=now)
        return self._act(session, event, said, copy, now)

    def _act(self, session: Session, event: BounceEvent, said: Said, copy: MarkedCopy, now: datetime) -> Rule:
        if said.kind is ReportKind.BOUNCE:
            return self._bounce(session, event, said, copy, now)
        if said.kind is ReportKind.COMPLAINT:
            return self._complaint(session, event, copy, now)
        if said.kind is ReportKind.UNSUBSCRIBED:
            return self._unsubscribed(session, event, said, copy, now)
        if said.kind in _PROOFS:
            event.sign = Sign.PROOF
            return Rule.PROOF
        return Rule.NOT_A_BOUNCE

    def _bounce(self, session: Session, event: BounceEvent, said: Said, copy: MarkedCopy, now: datetime) -> Rule:
        if not said.in_session:
            self._application.returned(session, copy.id, status=said.status, words=said.words, at=now)
        if said.klass not in (BounceClass.HARD, BounceClass.SOFT) or not said.counts:
            return Rule.NEVER_COUNTS
        forwarded = bool(said.forwarded_to) and said.klass is BounceClass.HARD
        event.sign = Sign.SOFT if forwarded or said.klass is BounceClass.SOFT else Sign.HARD
        event.at_once = (
            said.in_session
            and event.sign is Sign.HARD
            and said.reason is not None
            and suppresses_at_once(said.reason, said.status)
        )
        session.flush()
        patience = self._patiences.of(session, copy.list_id)
        decision = decide(records.history(session, copy.address_hash), patience, now=now)
        event.score = decision.score
        if decision.rule is not None:
            self._suppress(session, event, decision.rule, copy, now)
            return decision.rule
        if records.same_copy(session, event):
            return Rule.REPEATED
        return Rule.FORWARDED if forwarded else Rule.COUNTED

    def _suppress(self, session: Session, event: BounceEvent, rule: Rule, copy: MarkedCopy, now: datetime) -> None:
        reason = _SUPPRESSES[rule]
        soft = reason == suppression.SOFT_BOUNCES
        rest = self._patiences.soft_rest
        self._add_suppression(
            session,
            event,
            reason,
            evidence=f"bounce {event.id} ({rule.value}): {event.status} {event.words}"[:500].strip(),
            address=copy.address,
            digest=copy.address_hash,
            list_id=copy.list_id if soft else None,
            expires_at=now + rest if soft and rest else None,
            now=now,
        )

    def _add_suppression(
        self,
        session: Session,
        event: BounceEvent,
        reason: str,
        *,
        evidence: str,
        address: str,
        digest: bytes,
        now: datetime,
        list_id: int | None = None,
        expires_at: datetime | None = None,
    ) -> None:
        """Suppress; the event owns the entry that it made, or that the session made for the same refusal."""
        before = session.scalar(
            select(Suppression).where(
                suppression.active(now),
                Suppression.address_hash == digest,
                Suppression.reason == reason,
                Suppression.list_id.is_(None) if list_id is None else Suppression.list_id == list_id,
            )
        )
        if before is not None:
            if suppression.is_of_refusal(before, event.delivery_id):
                event.suppression_ids = [*event.suppression_ids, before.id]
            return
        made = suppression.suppress(
            session,
            pepper=self._pepper,
            address=address,
            address_hash=digest,
            reason=reason,
            evidence=evidence,
            at=now,
            list_id=list_id,
            expires_at=expires_at,
        )
        event.suppression_ids = [*event.suppression_ids, made.id]

    def _complaint(self, session: Session, event: BounceEvent, copy: MarkedCopy, now: datetime) -> Rule:
        """Take the person off every list and suppress the address, also the one that they moved to since."""
        evidence = f"complaint {event.id} about delivery {copy.id}"
        subscriber = session.get(Subscriber, copy.subscriber_id) if copy.subscriber_id is not None else None
        addresses = {copy.address_hash: copy.address}
        if subscriber is not None:
            addresses[subscriber.address_hash] = subscriber.address
            self._withdraw_everywhere(session, event, subscriber, evidence, now)
        for digest, address in addresses.items():
            self._add_suppression(
                session, event, suppression.COMPLAINT, evidence=evidence, address=address, digest=digest, now=now
            )
        return Rule.COMPLAINT

    def _withdraw_everywhere(
        self, session: Session, event: BounceEvent, subscriber: Subscriber, evidence: str, now: datetime
    ) -> None:
        on = session.scalars(
            select(MailingList)
            .join(Subscription, Subscription.list_id == MailingList.id)
            .where(Subscription.subscriber_id == subscriber.id, Subscription.state != SubscriptionState.UNSUBSCRIBED)
            .order_by(MailingList.id)
        ).all()
        for mailing_list in on:
            self._withdraw(session, event, subscriber, mailing_list, "complaint", evidence, now)

    def _unsubscribed(self, session: Session, event: BounceEvent, said: Said, copy: MarkedCopy, now: datetime) -> Rule:
        subscriber = session.get(Subscriber, copy.subscriber_id) if copy.subscriber_id is not None else None
        mailing_list = session.get(MailingList, copy.list_id)
        if subscriber is None or mailing_list is None:
            return Rule.NOBODY
        actor, how = (records.OWN_ACT, "asked") if said.own_act else (PROVIDER, "entered at the provider's")
        evidence = f"{how} by way of delivery {copy.id}, bounces {event.id}"
        self._withdraw(session, event, subscriber, mailing_list, actor, evidence, now)
        return Rule.UNSUBSCRIBED

    def _withdraw(
        self,
        session: Session,
        event: BounceEvent,
        subscriber: Subscriber,
        mailing_list: MailingList,
        actor: str,
        evidence: str,
        now: datetime,
    ) -> None:
        session.flush()
        lines = consent.withdraw(
            session, subscriber, mailing_list, source="returned mail", actor=actor, evidence=evidence, at=now
        )
        event.consent_event_ids = [*event.consent_event_ids, *(line.id for line in lines)]


def _is_redacted(said: Said, copy: MarkedCopy) -> bool:
    """Whether a complaint hides its writer's name behind the domain that the marked copy went to."""
    local, _, domain = said.address.rpartition("@")
    same = domain == copy.address.rpartition("@")[2].lower()
    return said.kind is ReportKind.COMPLAINT and same and _REDACTED.search(local) is not None
