"""What the doctor says of webhooks: what is missing, by key, and never a secret."""

from __future__ import annotations

from typing import Any

from newsletter.doctor.findings import Level
from newsletter.doctor.webhooks import check_webhooks
from tests.conftest import smallest_config

PATH = {"path_secret": "canary-" + "p" * 24}


def look(*webhooks: dict[str, Any], **groups: Any) -> list[tuple[str, Level, str]]:
    config = smallest_config(bounces={"webhooks": webhooks}, **groups)
    return [(f.check, f.level, f"{f.message} {f.fix}") for f in check_webhooks(config)]


def test_without_a_webhook_there_is_nothing_to_say() -> None:
    assert look() == []


def test_what_is_missing_is_named() -> None:
    (first, second) = look({"provider": "ses"}, {"provider": "postmark", **PATH, "username": "me"})
    assert first[:2] == ("webhook ses", Level.FAIL)
    assert "path_secret, topic_arns not set" in first[2]
    assert second[1] is Level.FAIL
    assert "password not set" in second[2]
    assert "bounces.webhooks.1" in second[2]


def test_what_is_complete_is_fine_and_shows_no_secret() -> None:
    (found,) = look({"provider": "mailgun", **PATH, "secret": "canary"})
    assert found[:2] == ("webhook mailgun", Level.OK)
    assert "https://news.example.org/webhooks/mailgun/***" in found[2]
    assert "canary" not in found[2]


def test_a_site_on_this_machine_is_reached_by_no_provider() -> None:
    (found,) = look({"provider": "mailgun", **PATH, "secret": "x"}, web={"url": "http://127.0.0.1:8025"})
    assert found[1] is Level.WARN


def test_a_provider_whose_webhook_is_missing_is_named() -> None:
    found = look({"provider": "mailgun", **PATH, "secret": "x"}, smtp={"provider": "ses"})
    assert [(check, level) for check, level, _ in found] == [
        ("webhook mailgun", Level.OK),
        ("webhook ses", Level.WARN),
    ]
