"""Whoever has paused is left alone until the day they named, whenever they paused, and the report says why."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from newsletter.config.settings import Config, SendWindow
from newsletter.publishing import start_issue
from newsletter.send.dispatch import send_issue
from newsletter.send.permission import NOW_DISCREET, PAUSED
from newsletter.send.plan_rows import NoVariantFits
from newsletter.tables import Issue
from subscribers.audience import Audience, audience_counts
from tests.send.chosen import Network


def test_somebody_paused_is_left_out_and_counted(network: Network) -> None:
    network.person("amina")
    network.person("ben", paused_until=date(2026, 12, 1))
    assert network.send("one") == 1
    assert network.outcomes("one") == {"amina": ("sent", None)}
    assert network.issue_named("one").left_out == {
        "excluded": 0, "without_subscription": 0, "suppressed": 0, "paused": 1, "monthly": 0
    }  # fmt: skip


def test_a_pause_ends_by_itself_on_its_day(network: Network) -> None:
    network.person("amina")
    network.person("ben", paused_until=date(2026, 11, 5))
    network.time = datetime(2026, 11, 4, 23, 59, tzinfo=UTC)
    assert network.send("one") == 1
    network.time = datetime(2026, 11, 5, 0, 1, tzinfo=UTC)
    assert network.send("two") == 2


def test_the_day_is_that_of_the_organisation(small_network: Network) -> None:
    """At noon in London it is the next day in Auckland."""
    network = small_network
    config = network.app.config
    organisation = config.organisation.model_copy(update={"timezone": "Pacific/Auckland"})
    network.app.config = config.model_copy(update={"organisation": organisation})
    network.person("ben", paused_until=date(2026, 11, 3))
    network.time = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
    network.person("amina")
    assert network.send("one") == 1
    network.time = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
    assert network.send("two") == 2


def test_a_pause_set_after_the_freeze_stops_what_was_not_begun(network: Network) -> None:
    """At the claim: the copy is suppressed, with its reason, and the others go."""
    network.person("amina")
    network.person("ben")
    issue_id = network.issue("one")
    assert start_issue(network.app, issue_id) == 2
    network.choose("ben", paused_until=date(2026, 11, 20))
    report = send_issue(network.app, issue_id)
    assert report.exit_code == 0
    assert network.outcomes("one") == {"amina": ("sent", None), "ben": ("suppressed", PAUSED)}


def test_a_copy_goes_when_the_pause_is_over_at_its_claim(network: Network) -> None:
    network.person("ben")
    issue_id = network.issue("one")
    start_issue(network.app, issue_id)
    network.choose("ben", paused_until=date(2026, 11, 3))
    network.later(days=1)
    send_issue(network.app, issue_id)
    assert network.outcomes("one") == {"ben": ("sent", None)}


def test_a_branded_copy_never_goes_to_who_chose_discreet_mail_after_the_freeze(network: Network) -> None:
    network.person("amina")
    network.person("ben")
    issue_id = network.issue("one")
    start_issue(network.app, issue_id)
    network.choose("ben", discreet=True)
    send_issue(network.app, issue_id)
    assert network.outcomes("one") == {"amina": ("sent", None), "ben": ("suppressed", NOW_DISCREET)}


def test_that_others_get_discreet_copies_of_the_same_issue_lets_no_branded_one_go(network: Network) -> None:
    """The copy's own variant is asked, not whether there is a discreet one."""
    network.person("amina", discreet=True)
    network.person("ben")
    network.person("carys")
    issue_id = network.issue("one")
    start_issue(network.app, issue_id)
    network.choose("ben", discreet=True)
    send_issue(network.app, issue_id)
    assert network.outcomes("one") == {
        "amina": ("sent", None), "ben": ("suppressed", NOW_DISCREET), "carys": ("sent", None)
    }  # fmt: skip


def test_who_gave_up_discreet_mail_gets_the_copy_that_was_planned(network: Network) -> None:
    network.person("ben", discreet=True)
    issue_id = network.issue("one")
    start_issue(network.app, issue_id)
    network.choose("ben", discreet=False)
    send_issue(network.app, issue_id)
    assert network.outcomes("one") == {"ben": ("sent", None)}


def test_the_counts_say_why_and_add_up(network: Network) -> None:
    network.person("amina")
    network.person("ben", paused_until=date(2027, 1, 1))
    network.person("carys", frequency="monthly")
    network.person("dan", frequency="monthly", paused_until=date(2027, 1, 1))
    network.leave("dan")
    with network.app.database.read() as session:
        counts = audience_counts(session, Audience(lists=("members",)), now=network.time, timezone="Europe/London")
    assert counts == {
        "matched": 3, "excluded": 0, "without_subscription": 0, "suppressed": 0, "paused": 1, "monthly": 1, "mailed": 1
    }  # fmt: skip


def test_somebody_who_changes_while_an_issue_is_frozen_does_not_stop_it(
    small_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL a choice may be stored between two looks of the freeze; it looks again then."""
    from newsletter.publishing import start

    network, tries = small_network, []
    network.person("amina")
    freeze = start.freeze

    def once_without_a_variant(session: object, issue: Issue, **given: object) -> int:
        tries.append(issue.slug)
        if len(tries) == 1:
            raise NoVariantFits("No variant fits.")
        return freeze(session, issue, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(start, "freeze", once_without_a_variant)
    assert start_issue(network.app, network.issue("one")) == 1
    assert len(tries) == 2


def test_a_window_of_the_configuration_is_kept_as_before(small_network: Network) -> None:
    """A pause that begins while the window is closed holds when it opens."""
    network = small_network
    window = SendWindow(start="18:00", end="20:00")
    config: Config = network.app.config
    network.app.config = config.model_copy(update={"send": config.send.model_copy(update={"window": window})})
    network.person("ben")
    issue_id = network.issue("one")
    start_issue(network.app, issue_id)
    send_issue(network.app, issue_id)
    assert network.outcomes("one") == {"ben": ("pending", None)}
    network.choose("ben", paused_until=date(2026, 12, 1))
    network.later(hours=9)
    send_issue(network.app, issue_id)
    assert network.outcomes("one") == {"ben": ("suppressed", PAUSED)}
