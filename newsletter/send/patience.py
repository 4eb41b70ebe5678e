"""What the configuration says of patience with addresses that fail, as the bounce policy takes it."""

from __future__ import annotations

from datetime import timedelta

from newsletter.config.returning import ListPatience
from newsletter.config.settings import Config
from subscribers.bounces.policy import Patience
from subscribers.bounces.verdicts import Patiences


def patiences(config: Config) -> Patiences:
    """Return the measure for all lists, and those of lists that have their own."""
    policy = config.bounces.policy
    usual = Patience(
        hard_times=policy.hard_times,
        hard_span=timedelta(days=policy.hard_days),
        hard_window=timedelta(days=policy.hard_window_days),
        score=policy.score,
        score_span=timedelta(days=policy.score_days),
        half_life=timedelta(days=policy.half_life_days),
    )
    by_list = {each.list: _own(usual, each) for each in config.bounces.lists}
    return Patiences(usual, by_list, timedelta(days=policy.rest_days) if policy.rest_days else None)


def _own(usual: Patience, own: ListPatience) -> Patience:
    return Patience(
        hard_times=own.hard_times or usual.hard_times,
        hard_span=timedelta(days=own.hard_days) or usual.hard_span,
        hard_window=timedelta(days=own.hard_window_days) or usual.hard_window,
        score=own.score or usual.score,
        score_span=timedelta(days=own.score_days) or usual.score_span,
        half_life=timedelta(days=own.half_life_days) or usual.half_life,
    )
