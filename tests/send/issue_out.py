"""An issue that is out, and what a test asks about what comes back of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select, update

from newsletter.app import App
from newsletter.tables import Delivery, Notice
from newsletter.tables import DeliveryState as S
from subscribers import people, suppression
from subscribers.bounces.event import BounceClass, EventKind, ProviderEvent, Reason
from subscribers.bounces.intake import Disposition
from subscribers.bounces.policy import Rule
from subscribers.tables import BounceEvent, Subscription, SubscriptionState, Suppression
from subscribers.tokens import unsubscribe_token
from tests.conftest import NOW
from tests.send.returned_mail import bounce, mark_of


@dataclass
class Sent:
    """An application with issues out, and a clock that a test can move."""

    app: App
    plan: Callable[..., int]
    time: datetime = NOW
    copies: dict[tuple[str, str], Delivery] = field(default_factory=dict)

    def issue(self, slug: str, *, days: float = 0) -> None:
        """Send an issue to everybody so many days later."""
        self.later(days)
        issue_id = self.plan(self.app, 5, slug=slug)
        with self.app.database.write() as session:
            session.execute(update(Delivery).where(Delivery.issue_id == issue_id).values(state=S.SENT, reply_code=250))
            rows = session.scalars(select(Delivery).where(Delivery.issue_id == issue_id)).all()
        self.copies |= {(slug, row.address): row for row in rows}

    def later(self, days: float) -> None:
        self.time += timedelta(days=days)

    def copy(self, number: int, slug: str = "one") -> Delivery:
        return self.copies[slug, f"person{number}@example.com"]

    def mark(self, number: int, slug: str = "one") -> str:
        return mark_of(self.app, self.copy(number, slug))

    def take(self, raw: bytes, **given: str) -> Disposition:
        return self.app.intake.take_mail(raw, way="pipe", **given).disposition

    def returned(self, number: int, slug: str = "one", **report: str) -> Disposition:
        """Take a report about somebody's copy, addressed with its mark."""
        return self.take(bounce(self.mark(number, slug), recipient=f"person{number}@example.com", **report))

    def suppressed(self) -> list[tuple[str | None, str]]:
        with self.app.database.read() as session:
            rows = session.scalars(select(Suppression).where(suppression.active(self.time))).all()
            return sorted((row.address, row.reason) for row in rows)

    def events(self) -> list[BounceEvent]:
        with self.app.database.read() as session:
            return list(session.scalars(select(BounceEvent).order_by(BounceEvent.id)))

    def rules(self) -> list[Rule]:
        return [event.rule for event in self.events()]

    def state(self, number: int, slug: str = "one") -> S:
        with self.app.database.read() as session:
            return session.get_one(Delivery, self.copy(number, slug).id).state

    def subscribed(self, number: int) -> bool:
        with self.app.database.read() as session:
            person = people.find(session, f"person{number}@example.com")
            rows = session.scalars(select(Subscription).where(Subscription.subscriber_id == person.id))
            return any(row.state is SubscriptionState.SUBSCRIBED for row in rows)

    def notices(self) -> list[Notice]:
        with self.app.database.read() as session:
            return list(session.scalars(select(Notice).order_by(Notice.id)))


def event_of(sent: Sent, number: int, **given: object) -> ProviderEvent:
    values: dict[str, object] = {
        "event_id": f"e{number}",
        "kind": EventKind.BOUNCE,
        "address": f"person{number}@example.com",
        "klass": BounceClass.HARD,
        "counts": True,
        "status": "5.1.1",
        "reason": Reason.USER_UNKNOWN,
        "message_id": sent.copy(number).message_id,
        **given,
    }
    return ProviderEvent(**values)  # type: ignore[arg-type]


def original_of(message: bytes) -> bytes:
    import email

    part = email.message_from_bytes(message).get_payload(1)
    payload = part.get_payload(decode=True)  # type: ignore[union-attr]
    assert isinstance(payload, bytes)
    return payload


def token_of(sent: Sent, number: int) -> str:
    copy = sent.copy(number)
    return unsubscribe_token(sent.app.keys.links.current, copy.token_id, copy.list_id)
