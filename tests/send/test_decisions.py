"""The pure decisions: when to try again, how fast, and when refusals concern more than one person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.send.breaker import OPEN_FOR, Breakers
from newsletter.send.replies import SmtpReply
from newsletter.send.retry import retry_delay
from newsletter.send.states import FINAL, TO_DO, TRANSITIONS, states_before
from newsletter.send.throttle import Limits, Used, permits, use, wait_seconds
from newsletter.tables import DeliveryState as S

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
THREE_DAYS = timedelta(hours=72)


def test_waits_grow_and_end_within_three_days():
    waits, attempt = [], 1
    while (wait := retry_delay(attempt, give_up_after=THREE_DAYS)) is not None:
        waits.append(wait)
        attempt += 1
    assert waits[:4] == [timedelta(minutes=m) for m in (5, 15, 45, 120)]
    assert all(a <= b for a, b in pairwise(waits))
    assert timedelta(hours=60) < sum(waits, timedelta()) <= THREE_DAYS


@given(st.integers(1, 20), st.floats(-10, 10))
def test_the_spread_moves_a_wait_by_a_fifth_at_most(attempt, spread):
    plain = retry_delay(attempt, give_up_after=timedelta(days=365))
    moved = retry_delay(attempt, give_up_after=timedelta(days=365), spread=spread)
    assert plain is not None
    assert moved is not None
    assert 0.799 * plain <= moved <= 1.201 * plain


def test_an_attempt_that_was_never_made_is_refused():
    with pytest.raises(ValueError, match="never made"):
        retry_delay(0, give_up_after=THREE_DAYS)


def drive(limits: Limits, seconds: float, *, batch: int = 7) -> list[float]:
    """Send as fast as is allowed for a while, in simulated time; return when each message left."""
    used, now, sent = Used(), 1_000_000.0, []
    end = now + seconds
    while now < end:
        times = permits(limits, used, now, most=batch, horizon_seconds=2)
        if not times:
            now += max(0.01, wait_seconds(limits, used, now))
            continue
        used = Used.from_json(use(limits, used, now, times).to_json())
        sent += times
        now = max(now, times[-1])
    return sent


def most_in_a_window(times: list[float], window: float) -> int:
    return max(sum(t <= other < t + window for other in times) for t in times)


def test_thirty_a_minute_is_never_more_and_hardly_less():
    sent = drive(Limits(per_minute=30), 1_200)
    assert most_in_a_window(sent, 60) <= 30
    assert len(sent) / 20 >= 29


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 120), st.integers(1, 20))
def test_no_minute_has_more_than_its_limit(per_minute, batch):
    assert most_in_a_window(drive(Limits(per_minute=per_minute), 200, batch=batch), 60) <= per_minute


def test_an_hour_and_a_day_hold_their_limits_too():
    sent = drive(Limits(per_hour=50), 4 * 3_600)
    assert most_in_a_window(sent, 3_600) <= 50
    assert len(sent) >= 150
    day = drive(Limits(per_day=40, per_minute=60), 3 * 86_400)
    assert most_in_a_window(day, 86_400) <= 40
    assert len(day) >= 110


def test_without_limits_nothing_waits():
    assert not Limits()
    assert permits(Limits(), Used(), 5.0, most=3, horizon_seconds=2) == [5.0] * 3
    assert wait_seconds(Limits(), Used(), 5.0) == 0
    assert use(Limits(per_minute=1), Used(), 5.0, []) == Used()


def breakers(planned: int = 1_000) -> Breakers:
    return Breakers(planned, held_pause_count=20, held_pause_percent=1)


def test_a_breaker_opens_for_its_domain_only_and_closes_by_itself():
    found = breakers()
    assert found.refused_by_policy("a.example", SmtpReply(550, "5.7.1 no"), NOW) is None
    assert found.open_until("a.example", NOW) == NOW + OPEN_FOR
    assert found.open_until("b.example", NOW) is None
    assert found.open_until("a.example", NOW + OPEN_FOR) is None
    found.accepted("a.example")
    assert found.open_until("a.example", NOW) is None


def test_one_domain_pauses_after_ten_refusals_three_domains_at_once():
    reply = SmtpReply(550, "5.7.1 no")
    one = breakers()
    assert [one.refused_by_policy("a.example", reply, NOW) for _ in range(9)] == [None] * 9
    assert "a.example" in (one.refused_by_policy("a.example", reply, NOW) or "")
    three = breakers()
    said = [three.refused_by_policy(f"{name}.example", reply, NOW) for name in "abc"]
    assert said[:2] == [None, None]
    assert "3 receiving domains" in (said[2] or "")


def test_the_same_content_refused_three_times_pauses():
    found, reply = breakers(), SmtpReply(554, "5.6.0 malformed")
    assert [found.refused_content(reply), found.refused_content(SmtpReply(552, "5.3.4 big"))] == [None, None]
    assert found.refused_content(reply) is None
    assert "content" in (found.refused_content(reply) or "")


def test_held_copies_pause_by_share_or_by_number():
    small = breakers(planned=100)
    assert [small.held("x"), small.held("x")] == [None, None]
    assert small.held("why") is not None
    large = breakers(planned=100_000)
    assert [large.held("x") for _ in range(19)] == [None] * 19
    assert "why" in (large.held("why") or "")


def test_every_state_is_an_end_or_still_to_do():
    assert set(FINAL) | set(TO_DO) == set(S)
    assert not set(FINAL) & set(TO_DO)


def test_each_edge_of_the_table_says_when_it_happens():
    assert all(comment for comment in TRANSITIONS.values())
    assert all(a is not b for a, b in TRANSITIONS)


def test_only_a_claimed_row_becomes_an_intent_and_only_an_intent_or_what_was_doubted_is_sent():
    assert states_before(S.INTENT) == (S.CLAIMED,)
    assert set(states_before(S.SENT)) == {S.INTENT, S.UNCERTAIN}
    assert set(states_before(S.UNCERTAIN)) == {S.INTENT, *TO_DO}
