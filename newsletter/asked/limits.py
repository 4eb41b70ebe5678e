"""
The limits of sign-ups, one row of `throttles` each: by form, network, receiving domain, kind of form and overall; and
by network and overall those of complaints and requests about one's own data, and of links to one's settings.

A row is locked from reading to storing. When the limit for all runs
dry the breaker opens: for a while nobody who signs up is written to, and operators are told.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from newsletter.asked.bucket import FULL_AFTER_SECONDS, Bucket, take
from newsletter.send.throttles import SIGN_UP_BREAKER, locked_value, store_value
from newsletter.tables import Throttle

PREFIX = "sign-up:"
FORM, MOST_SENDS_OF_A_FORM = f"{PREFIX}form:", 5
NETWORK, DOMAIN, EMBEDDED, OVERALL = f"{PREFIX}network:", f"{PREFIX}domain:", f"{PREFIX}embedded", f"{PREFIX}overall"
REQUEST_NETWORK, REQUEST_OVERALL = "request:network:", "request:overall"
REQUESTS_PER_HOUR_PER_NETWORK, REQUESTS_PER_HOUR = 10, 100  # a person reads each of them
LINK_NETWORK, LINK_OVERALL = "link:network:", "link:overall"
LINKS_PER_HOUR_PER_NETWORK, LINKS_PER_HOUR = 60, 1000  # a whole office has one network; a mail of ours goes to each


def may_ask(session: Session, network: str, per_hour: int, now: datetime) -> bool:
    """Return whether a network may ask once more. Senders whose network is not known share one."""
    return _take(session, NETWORK + network, per_hour, now)


def may_ask_embedded(session: Session, per_hour: int, now: datetime) -> bool:
    """Return whether the forms that stand on other sites may ask once more."""
    return _take(session, EMBEDDED, per_hour, now)


def may_send_form(session: Session, number: str, until: datetime) -> bool:
    """
    Return whether one form of the site may be sent once more: by somebody who mistyped, not by a machine, all day.

    Args:
        until: From when it is refused whatever its number, which is then forgotten.
    """
    connection, name = session.connection(), FORM + number
    left = (locked_value(connection, name) or {"level": MOST_SENDS_OF_A_FORM})["level"]
    if left < 1:
        return False
    store_value(connection, name, Bucket(left - 1, until.timestamp()).to_json())
    return True


def may_request(session: Session, network: str, now: datetime) -> bool:
    """Return whether a network may send one more complaint or request about somebody's own data."""
    return _take(session, REQUEST_NETWORK + network, REQUESTS_PER_HOUR_PER_NETWORK, now) and _take(
        session, REQUEST_OVERALL, REQUESTS_PER_HOUR, now
    )


def may_ask_for_link(session: Session, network: str, now: datetime) -> bool:
    """Return whether a network may type one more address that is to get a link to its settings."""
    return _take(session, LINK_NETWORK + network, LINKS_PER_HOUR_PER_NETWORK, now) and _take(
        session, LINK_OVERALL, LINKS_PER_HOUR, now
    )


def may_mail(session: Session, domain: str, per_hour: int, now: datetime) -> bool:
    """Return whether one more mail may go to a receiving domain."""
    return _take(session, DOMAIN + domain, per_hour, now)


def may_mail_anybody(session: Session, per_hour: int, pause: timedelta, now: datetime) -> bool:
    """Return whether one more mail may go to anybody; open the breaker when none may."""
    if breaker_until(session, now) is not None:
        return False
    if _take(session, OVERALL, per_hour, now):
        return True
    store_value(
        session.connection(),
        SIGN_UP_BREAKER,
        {"opened": now.timestamp(), "until": (now + pause).timestamp(), "per_hour": per_hour},
    )
    return False


def breaker_until(session: Session, now: datetime) -> datetime | None:
    """Return until when nobody who signs up is written to; None while the breaker is closed."""
    stored = session.scalar(select(Throttle.value).where(Throttle.name == SIGN_UP_BREAKER))
    until = datetime.fromtimestamp(stored["until"], UTC) if stored else None
    return until if until is not None and until > now else None


def any_full(session: Session, now: datetime) -> bool:
    """Return whether `forget_full` would delete anything."""
    return bool(_full(session, now))


def forget_full(session: Session, now: datetime) -> None:
    """Delete the buckets that are full again: who asked from where is known no longer than the limits need it."""
    full = _full(session, now)
    for begin in range(0, len(full), 500):
        session.execute(delete(Throttle).where(Throttle.name.in_(full[begin : begin + 500])))


def _full(session: Session, now: datetime) -> list[str]:
    named = or_(*(Throttle.name.startswith(kind) for kind in (FORM, NETWORK, DOMAIN, REQUEST_NETWORK, LINK_NETWORK)))
    rows = session.execute(select(Throttle.name, Throttle.value).where(named))
    before = now.timestamp() - FULL_AFTER_SECONDS
    return [name for name, value in rows if not value or value["at"] <= before]


def _take(session: Session, name: str, per_hour: int, now: datetime) -> bool:
    connection = session.connection()
    allowed, after = take(Bucket.from_json(locked_value(connection, name)), per_hour, now.timestamp())
    store_value(connection, name, after.to_json())
    return allowed
