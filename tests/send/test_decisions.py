"""The pure decisions: when to try again, how fast, and when refusals concern more than one person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.send.retry import retry_delay
from newsletter.send.states import FINAL, TO_DO, TRANSITIONS, states_before
from newsletter.send.throttle import Limits, Used, permits, permits_among, take_slot, use, wait_seconds
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


@given(st.floats(-1, 1))
def test_the_first_wait_is_never_shorter_than_greylisting_asks_for(spread):
    wait = retry_delay(1, give_up_after=THREE_DAYS, spread=spread)
    assert wait is not None
    assert timedelta(minutes=5) <= wait <= timedelta(minutes=15)


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


def test_after_a_pause_nothing_is_made_up_for():
    limits = Limits(per_minute=30)
    used = use(limits, Used(), 1_000.0, permits(limits, Used(), 1_000.0, most=5, horizon_seconds=20))
    after = permits(limits, used, 5_000.0, most=50, horizon_seconds=2)
    assert after == [5_000.0]


def test_a_clock_that_was_set_back_stops_nothing_for_long():
    limits = Limits(per_minute=30)
    used = use(limits, Used(), 10_000.0, [10_000.0])
    assert wait_seconds(limits, used, 1_000.0) <= 70


def test_a_domain_takes_only_those_slots_of_the_account_that_are_its_own_too():
    offered = [float(n) for n in range(100, 110)]
    assert permits_among(Limits(per_minute=30), Used(), 100.0, offered) == [100.0, 102.0, 104.0, 106.0, 108.0]
    assert permits_among(Limits(per_minute=20), Used(), 100.0, offered) == [100.0, 103.0, 106.0, 109.0]
    assert permits_among(Limits(), Used(), 100.0, offered) == offered


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 120))
def test_no_minute_has_more_than_the_domain_s_limit_whatever_the_account_offers(per_minute, of_account):
    limits, used, sent = Limits(per_minute=per_minute), Used(), []
    grid = [1_000.0 + n * 61.5 / of_account for n in range(of_account * 4)]
    for start in range(0, len(grid), 5):
        offered = grid[start : start + 5]
        chosen = permits_among(limits, used, offered[0], offered)
        used = use(limits, used, offered[0], chosen)
        sent += chosen
    assert most_in_a_window(sent, 60) <= per_minute


def test_a_copy_that_missed_its_slot_takes_the_next_one():
    limits = Limits(per_minute=60)
    used = Used(next_at=50.0)
    slot, after = take_slot(limits, used, 45.0, not_before=48.0)
    assert (slot, after.next_at) == (50.0, 50.0 + 61.5 / 60)
    assert take_slot(Limits(), used, 45.0, not_before=48.0) == (48.0, used)


def test_without_limits_nothing_waits():
    assert not Limits()
    assert permits(Limits(), Used(), 5.0, most=3, horizon_seconds=2) == [5.0] * 3
    assert wait_seconds(Limits(), Used(), 5.0) == 0
    assert use(Limits(per_minute=1), Used(), 5.0, []) == Used()


def test_every_state_is_an_end_or_still_to_do():
    assert set(FINAL) | set(TO_DO) == set(S)
    assert not set(FINAL) & set(TO_DO)


def test_each_edge_of_the_table_says_when_it_happens():
    assert all(comment for comment in TRANSITIONS.values())
    assert all(a is not b for a, b in TRANSITIONS)


def test_only_a_claimed_row_becomes_an_intent_and_only_what_may_have_had_a_dot_is_sent():
    assert states_before(S.INTENT) == (S.CLAIMED,)
    assert set(states_before(S.SENT)) == {S.CLAIMED, S.INTENT, S.UNCERTAIN}
    assert set(states_before(S.UNCERTAIN)) == {S.INTENT, *TO_DO}
