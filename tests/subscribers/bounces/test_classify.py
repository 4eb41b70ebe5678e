"""One classifier for reports and for replies met while sending."""

from __future__ import annotations

import json
from pathlib import Path

from subscribers.bounces.classify import classify, find_status
from subscribers.bounces.event import BounceClass, Reason
from subscribers.bounces.reasons import VERDICTS


def test_every_reason_has_a_verdict() -> None:
    assert set(VERDICTS) == set(Reason)


def test_the_status_that_says_more_is_found() -> None:
    assert find_status("550 5.0.0 host said: 550 5.1.1 unknown") == "5.1.1"
    assert find_status("from 192.0.2.5.1.1 version 4.2") == ""


def test_what_never_counts_is_never_hard() -> None:
    assert all(v.klass is BounceClass.SOFT for v in VERDICTS.values() if not v.counts)


def test_replies_of_providers_are_judged_as_labelled(shared: Path) -> None:
    """At least 98 of 100 within the accepted classes; none that is not the address's fault is hard."""
    rows = json.loads((shared / "bounces" / "smtp_replies.json").read_text())["rows"]
    right, wrongly_hard = 0, []
    for row in rows:
        klass = VERDICTS[classify(row["text"])[0]].klass
        permanent = row["reply"] >= 500
        right += klass.value in row["accept_class"] or (not permanent and "retry" in row["accept_class"])
        if permanent and klass is BounceClass.HARD and row["must_not_suppress"]:
            wrongly_hard.append(row["text"])
    assert wrongly_hard == []
    assert right / len(rows) >= 0.98
