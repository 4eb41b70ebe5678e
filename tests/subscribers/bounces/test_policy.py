"""The policy: invariants that hold for any history of an address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.bounces.event import Reason
from subscribers.bounces.policy import RULES, Decision, Fact, Patience, Rule, Sign, decide, suppresses_at_once

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
USUAL = Patience()
moments = st.integers(0, 400 * 24).map(lambda hours: NOW - timedelta(hours=hours))
facts = st.builds(
    Fact,
    copy=st.one_of(st.none(), st.integers(1, 8)),
    sign=st.sampled_from(Sign),
    at=moments,
    at_once=st.just(False),
)
histories = st.lists(facts, max_size=20)


def hard(copy: int, days_ago: float) -> Fact:
    return Fact(copy, Sign.HARD, NOW - days_ago * DAY)


def soft(copy: int, days_ago: float) -> Fact:
    return Fact(copy, Sign.SOFT, NOW - days_ago * DAY)


def proof(copy: int | None, days_ago: float) -> Fact:
    return Fact(copy, Sign.PROOF, NOW - days_ago * DAY)


@given(histories, st.randoms())
def test_the_order_of_reports_does_not_matter(history: list[Fact], random: object) -> None:
    shuffled = list(history)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    before, after = decide(history, USUAL, now=NOW), decide(shuffled, USUAL, now=NOW)
    assert (before.rule, before.score) == (after.rule, pytest.approx(after.score))


@given(histories)
def test_what_is_reported_again_about_a_copy_changes_nothing(history: list[Fact]) -> None:
    again = [fact for fact in history if fact.copy is not None]
    assert decide(history + again, USUAL, now=NOW) == decide(history, USUAL, now=NOW)


@given(histories)
def test_proof_of_delivery_now_forgets_everything(history: list[Fact]) -> None:
    assert decide([*history, Fact(None, Sign.PROOF, NOW)], USUAL, now=NOW) == Decision(None, 0)


@given(histories)
def test_what_never_counts_changes_nothing(history: list[Fact]) -> None:
    counting = [fact for fact in history if fact.sign is not Sign.NONE]
    assert decide(counting, USUAL, now=NOW) == decide(history, USUAL, now=NOW)


@given(st.lists(st.builds(Fact, st.just(1), st.sampled_from(Sign), moments), max_size=20))
def test_one_copy_suppresses_nobody_however_it_is_reported(history: list[Fact]) -> None:
    assert decide(history, USUAL, now=NOW).rule is None


@given(
    st.lists(
        st.builds(Fact, st.integers(1, 50), st.just(Sign.HARD), st.integers(0, 60).map(lambda m: NOW - m * DAY / 24)),
        max_size=50,
    )
)
def test_nothing_of_less_than_three_days_suppresses(history: list[Fact]) -> None:
    """A receiver that is broken for two days returns every copy as unknown."""
    recent = [fact for fact in history if NOW - fact.at < 3 * DAY]
    assert decide(recent, USUAL, now=NOW).rule is None


@given(histories, st.integers(1, 1000))
def test_a_score_only_fades(history: list[Fact], days: int) -> None:
    now, later = decide(history, USUAL, now=NOW), decide(history, USUAL, now=NOW + days * DAY)
    assert later.score <= now.score


@given(histories)
def test_a_day_adds_at_most_one(history: list[Fact]) -> None:
    assert 0 <= decide(history, USUAL, now=NOW).score <= len({fact.at.date() for fact in history})


@given(histories, st.integers(3, 5), st.floats(1, 50))
def test_more_patience_suppresses_no_more(history: list[Fact], times: int, score: float) -> None:
    patient = Patience(hard_times=times, score=max(score, USUAL.score))
    if decide(history, USUAL, now=NOW).rule is None:
        assert decide(history, patient, now=NOW).rule is None


def test_two_hard_reports_three_days_apart_suppress() -> None:
    assert decide([hard(1, 3), hard(2, 0)], USUAL, now=NOW).rule is Rule.TWO_HARD
    assert decide([hard(1, 2.9), hard(2, 0)], USUAL, now=NOW).rule is None


def test_hard_reports_that_lie_further_apart_than_the_window_do_not_suppress() -> None:
    assert decide([hard(1, 90), hard(2, 0)], USUAL, now=NOW).rule is Rule.TWO_HARD
    assert decide([hard(1, 90.1), hard(2, 0)], USUAL, now=NOW).rule is None
    assert decide([hard(1, 4 * 365), hard(2, 0)], USUAL, now=NOW).rule is None
    assert decide([hard(1, 4 * 365), hard(2, 4), hard(3, 0)], USUAL, now=NOW).rule is Rule.TWO_HARD
    assert decide([hard(1, 120), hard(2, 60), hard(3, 0)], Patience(hard_times=3), now=NOW).rule is None


def test_proof_between_two_hard_reports_keeps_the_address() -> None:
    assert decide([hard(1, 9), proof(2, 5), hard(3, 0)], USUAL, now=NOW).rule is None


def test_accepting_first_and_returning_later_proves_nothing() -> None:
    history = [hard(1, 9), proof(2, 5.1), hard(2, 5)]
    assert decide(history, USUAL, now=NOW).rule is Rule.TWO_HARD


def test_soft_reports_of_two_weeks_add_up_and_of_a_few_days_do_not() -> None:
    weekly = [soft(n, 7 * n) for n in range(6)]
    daily = [soft(n, n) for n in range(12)]
    assert decide(weekly, USUAL, now=NOW).rule is Rule.SCORE
    assert decide(daily, USUAL, now=NOW).rule is None


def test_an_answer_to_us_that_the_mailbox_does_not_exist_suppresses_at_once() -> None:
    assert decide([Fact(1, Sign.HARD, NOW, at_once=True)], USUAL, now=NOW).rule is Rule.AT_ONCE
    assert suppresses_at_once(Reason.USER_UNKNOWN, "5.1.1")
    assert suppresses_at_once(Reason.USER_UNKNOWN, "")
    assert not suppresses_at_once(Reason.USER_UNKNOWN, "5.7.1")
    assert not suppresses_at_once(Reason.HOST_UNKNOWN, "5.1.2")


def test_a_soft_report_of_a_copy_that_turned_out_dead_counts_as_dead() -> None:
    assert decide([soft(1, 5), hard(1, 4), hard(2, 0)], USUAL, now=NOW).rule is Rule.TWO_HARD


def test_every_rule_is_published_and_a_naive_time_is_refused() -> None:
    assert set(RULES) == set(Rule)
    with pytest.raises(ValueError, match="naive"):
        decide([], USUAL, now=NOW.replace(tzinfo=None))
