"""When one refusal concerns more than one person: the pure decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from newsletter.config.settings import DomainRate
from newsletter.send.breaker import OPEN_FOR, Breaker, Tallies, reason_to_pause
from newsletter.send.receivers import DomainLimits, provider_of
from newsletter.send.replies import SmtpReply

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
NO = SmtpReply(550, "5.7.1 no")


def refused(times: int = 1, *, breaker: Breaker | None = None, delivery: int = 7, now: datetime = NOW) -> Breaker:
    found = breaker or Breaker("a.example")
    for _ in range(times):
        found = found.refused(delivery, "a.example", NO, now)
    return found


def test_a_refusal_opens_it_and_its_time_makes_it_half_open():
    found = refused()
    assert found.until == NOW + OPEN_FOR[0]
    assert not found.is_half_open(NOW)
    assert found.is_half_open(NOW + OPEN_FOR[0])
    assert (found.reply, found.domains) == ("550 5.7.1 no", ("a.example",))


def test_refusals_of_copies_that_were_under_way_do_not_make_it_longer():
    assert refused(5, now=NOW).until == refused(1).until


def test_each_failed_trial_keeps_it_open_for_longer():
    found, now, waits = refused(), NOW, []
    for _ in range(5):
        assert found.until is not None
        waits.append(found.until - now)
        now = found.until
        found = refused(breaker=found, now=now)
    assert all(a <= b for a, b in pairwise(waits))
    assert waits[0] == timedelta(minutes=30)
    assert waits[-1] == timedelta(hours=4)


def test_a_success_closes_it_and_a_person_s_word_puts_it_on_trial():
    found = refused(3)
    assert (found.closed().until, found.closed().refusals) == (None, 0)
    assert found.on_trial(NOW).is_half_open(NOW)
    assert found.on_trial(NOW).refusals == 0
    assert Breaker("a.example").on_trial(NOW).until is None


def test_a_copy_that_is_refused_while_others_are_taken_is_refused_for_itself():
    found = Breaker("a.example")
    for number in range(3):
        assert not found.refuses_only(7)
        found = refused(breaker=found.closed(), now=NOW + number * timedelta(hours=1))
    assert found.refuses_only(7)
    assert not found.refuses_only(8)


def test_refusals_while_it_is_open_are_nobody_s_own():
    assert not refused(9).refuses_only(7)


def test_it_is_stored_and_read_as_it_was():
    found = refused(2)
    assert Breaker.from_json("a.example", found.to_json()) == found
    assert Breaker.from_json("a.example", refused().closed().to_json()) == refused().closed()
    assert Breaker.from_json("a.example", {}) == Breaker("a.example")


def test_one_provider_pauses_the_issue_after_ten_refusals_or_three_failed_trials():
    assert [reason_to_pause(refused(n), refusing=1, sent=50) for n in range(1, 10)] == [None] * 9
    words = reason_to_pause(refused(10), refusing=1, sent=50) or ""
    assert "a.example refuses our mail by policy" in words
    assert "newsletter doctor" in words
    found = refused()
    for _ in range(3):
        assert reason_to_pause(found, refusing=1, sent=50) is None
        assert found.until is not None
        found = refused(breaker=found, now=found.until)
    assert reason_to_pause(found, refusing=1, sent=50) is not None


def test_three_providers_pause_it_unless_many_others_take_our_mail():
    assert reason_to_pause(refused(), refusing=2, sent=0) is None
    assert "3 providers" in (reason_to_pause(refused(), refusing=3, sent=20) or "")
    assert reason_to_pause(refused(), refusing=3, sent=5_000) is None
    assert reason_to_pause(refused(), refusing=300, sent=5_000) is not None


def tallies(planned: int = 1_000) -> Tallies:
    return Tallies(planned, held_pause_count=20, held_pause_percent=1)


def test_the_same_content_refused_three_times_pauses():
    found, reply = tallies(), SmtpReply(554, "5.6.0 malformed")
    assert found.refused_content("a.example", reply) is None
    assert found.refused_content("a.example", SmtpReply(552, "5.3.4 big")) is None
    assert found.refused_content("a.example", reply) is None
    assert "content" in (found.refused_content("a.example", reply) or "")


def test_the_same_content_refused_by_two_providers_pauses():
    found, reply = tallies(), SmtpReply(554, "5.6.0 malformed")
    assert found.refused_content("a.example", reply) is None
    assert found.refused_content("b.example", reply) is not None


def test_held_copies_pause_by_share_or_by_number():
    small = tallies(planned=100)
    assert [small.held("x"), small.held("x")] == [None, None]
    assert small.held("why") is not None
    large = tallies(planned=100_000)
    assert [large.held("x") for _ in range(19)] == [None] * 19
    assert "why" in (large.held("why") or "")


@pytest.mark.parametrize(
    ("domain", "reply", "provider"),
    [
        ("googlemail.com", "", "google"),
        ("hotmail.co.uk", "", "microsoft"),
        ("live.com", "", "microsoft"),
        ("yahoo.co.uk", "", "yahoo"),
        ("aol.com", "", "yahoo"),
        ("me.com", "", "apple"),
        ("dudley.gov.uk", "", "dudley.gov.uk"),
        ("outlook.dudley.gov.uk", "", "outlook.dudley.gov.uk"),
        ("live.example.org", "", "live.example.org"),
        ("charity.example", "5.7.26 unauthenticated, see https://support.google.com/mail - gsmtp", "google"),
        ("police.example", "5.7.515 Access denied, sending domain does not meet the level", "microsoft"),
        ("police.example", "5.7.1 blocked [AM7.eop-eur04.prod.protection.outlook.com]", "microsoft"),
        ("police.example", "5.7.1 no", "police.example"),
    ],
)
def test_a_provider_is_known_by_its_domains_or_by_its_words(domain, reply, provider):
    assert provider_of(domain, SmtpReply(550, reply) if reply else None) == provider


def limits(*names: str) -> DomainLimits:
    return DomainLimits([DomainRate(domain=name, per_minute=30) for name in names])


def test_the_most_specific_limit_counts_for_a_domain():
    found = limits("example.com", "mail.example.com")
    assert found.key_of("example.com") == "example.com"
    assert found.key_of("news.example.com") == "example.com"
    assert found.key_of("a.mail.example.com") == "mail.example.com"
    assert found.key_of("notexample.com") is None
    assert found.names == ("mail.example.com", "example.com")


def test_a_limit_of_nothing_is_none():
    assert not DomainLimits([DomainRate(domain="example.com")])
    assert DomainLimits().key_of("example.com") is None
    assert DomainLimits().fingerprint == ""


def test_other_names_give_another_fingerprint_and_other_numbers_do_not():
    assert limits("a.example").fingerprint != limits("b.example").fingerprint
    assert limits("a.example").fingerprint == DomainLimits([DomainRate(domain="a.example", connections=2)]).fingerprint
