"""An audience is whom lists and segments reach, with a subscription, minus exclusions and the suppressed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from subscribers import consent, lists, people, suppression
from subscribers.audience import LEFT_OUT, Audience, audience_counts, select_audience
from subscribers.errors import Conflict, InvalidValue, NotFound
from subscribers.tables import Frequency, MailingList, Subscriber

ZONE = "Europe/London"
Make = Callable[..., Subscriber]


def _mailed(session: Session, audience: Audience, at: datetime) -> dict[str, str]:
    rows = session.execute(select_audience(session, audience, now=at, timezone=ZONE)).all()
    found = {session.get_one(Subscriber, one).address: session.get_one(MailingList, two).name for one, two in rows}
    assert len(found) == len(rows), "somebody stands twice"
    counts = audience_counts(session, audience, now=at, timezone=ZONE)
    assert counts["mailed"] == len(rows)
    assert counts["matched"] == counts["mailed"] + sum(counts[name] for name in LEFT_OUT)
    assert min(counts.values()) >= 0
    return found


@pytest.fixture
def network(session: Session, make_person: Make, at: datetime) -> Session:
    lists.create(session, "events", at=at)
    make_person("both@example.org", on=("events", "members"), town="Dudley")
    make_person("members@example.org", town="Walsall")
    make_person("events@example.org", on=("events",), town="Dudley")
    make_person("nowhere@example.org", on=(), town="Dudley")
    return session


def test_nobody_is_in_an_audience_by_default(network: Session, at: datetime) -> None:
    assert _mailed(network, Audience(), at) == {}
    assert Audience.from_json(None).is_empty


def test_a_list_reaches_its_subscribers_once(network: Session, at: datetime) -> None:
    assert set(_mailed(network, Audience(lists=("members",)), at)) == {"both@example.org", "members@example.org"}
    found = _mailed(network, Audience(lists=("events", "members")), at)
    assert found == {
        "both@example.org": "members",
        "members@example.org": "members",
        "events@example.org": "events",
    }


def test_a_segment_reaches_only_those_with_a_subscription_and_says_by_which_list(
    network: Session, at: datetime
) -> None:
    audience = Audience(segments=("town = 'dudley'",))
    assert _mailed(network, audience, at) == {"both@example.org": "members", "events@example.org": "events"}
    counts = audience_counts(network, audience, now=at, timezone=ZONE)
    assert (counts["matched"], counts["without_subscription"]) == (3, 1)


def test_the_lists_of_the_audience_come_before_other_lists(network: Session, at: datetime) -> None:
    found = _mailed(network, Audience(lists=("events",), segments=("town = 'walsall'",)), at)
    assert found == {"both@example.org": "events", "events@example.org": "events", "members@example.org": "members"}


def test_exclusions_win(network: Session, at: datetime) -> None:
    audience = Audience(lists=("members", "events"), exclude_lists=("members",), exclude_segments=("town is missing",))
    assert set(_mailed(network, audience, at)) == {"events@example.org"}


def test_suppressions_by_address_domain_and_list_are_left_out(
    network: Session, make_person: Make, at: datetime, pepper: bytes
) -> None:
    make_person("x@mail.blocked.example")
    make_person("y@notblocked.example")
    why = {"reason": "by hand", "evidence": "letter", "at": at}
    members = lists.get(network, "members")
    suppression.suppress(network, domain="blocked.example", **why)
    suppression.suppress(network, pepper=pepper, address="MEMBERS@example.org", **why)
    suppression.suppress(network, pepper=pepper, address="both@example.org", list_id=members.id, **why)
    audience = Audience(lists=("members",))
    assert set(_mailed(network, audience, at)) == {"y@notblocked.example"}
    assert _mailed(network, Audience(lists=("members", "events")), at)["both@example.org"] == "events"
    (entry,) = suppression.find(network, pepper=pepper, what="members@example.org", now=at)
    suppression.lift(network, entry, by="t", why="works again", at=at)
    assert "members@example.org" in _mailed(network, audience, at)


def test_a_suppression_ends_with_its_day(network: Session, at: datetime, pepper: bytes) -> None:
    suppression.suppress(
        network, pepper=pepper, address="members@example.org", reason="soft bounce", evidence="452", at=at,
        expires_at=at + timedelta(days=30),
    )  # fmt: skip
    audience = Audience(lists=("members",))
    assert "members@example.org" not in _mailed(network, audience, at + timedelta(days=29))
    assert "members@example.org" in _mailed(network, audience, at + timedelta(days=30))


def test_the_unsubscribed_are_not_mailed(network: Session, at: datetime) -> None:
    act = {"source": "t", "actor": "t", "evidence": "POST", "at": at}
    consent.withdraw(network, people.find(network, "both@example.org"), lists.get(network, "members"), **act)
    consent.withdraw(network, people.find(network, "events@example.org"), None, **act)
    assert set(_mailed(network, Audience(lists=("members", "events")), at)) == {
        "both@example.org",
        "members@example.org",
    }


def test_who_paused_or_gets_the_digest_is_left_out_and_counted(network: Session, at: datetime) -> None:
    """A pause counts before the digest: both end with the same answer, and only the pause ends by itself."""
    both, members = (people.find(network, f"{name}@example.org") for name in ("both", "members"))
    both.frequency = Frequency.MONTHLY
    members.paused_until, members.frequency = at.date() + timedelta(days=1), Frequency.MONTHLY
    audience = Audience(lists=("members", "events"))
    assert set(_mailed(network, audience, at)) == {"events@example.org"}
    counts = audience_counts(network, audience, now=at, timezone=ZONE)
    assert (counts["paused"], counts["monthly"]) == (1, 1)
    everybody = select_audience(network, audience, now=at, timezone=ZONE, with_monthly=True)
    assert {row[0] for row in network.execute(everybody)} == {both.id, people.find(network, "events@example.org").id}


def test_a_pause_is_over_on_its_day(network: Session, at: datetime) -> None:
    people.find(network, "members@example.org").paused_until = at.date()
    assert "members@example.org" in _mailed(network, Audience(lists=("members",)), at)


def test_an_unknown_or_archived_list_is_refused(network: Session, at: datetime) -> None:
    lists.archive(network, lists.get(network, "events"), at=at)
    with pytest.raises(Conflict, match="archived"):
        select_audience(network, Audience(lists=("events",)), now=at, timezone=ZONE)
    with pytest.raises(NotFound):
        select_audience(network, Audience(lists=("evnts",)), now=at, timezone=ZONE)
    assert "events@example.org" not in _mailed(network, Audience(segments=("town is set",)), at)


def test_an_audience_survives_its_stored_form() -> None:
    audience = Audience(("a",), ("town = 'x'",), ("b",), ("c",))
    assert Audience.from_json(audience.to_json()) == audience
    with pytest.raises(InvalidValue, match="list"):
        Audience.from_json({"list": ["a"]})
