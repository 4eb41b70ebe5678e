"""Links that work once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from newsletter.app import App
from subscribers import one_time
from subscribers.errors import TokenInvalid

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def minted(app: App) -> str:
    with app.database.write() as session:
        return one_time.mint(session, "preferences", now=NOW, lifetime=DAY, payload={"list": 1})


def test_a_token_is_spent_once(app: App) -> None:
    """Looking spends nothing; the second use is refused."""
    text = minted(app)
    with app.database.write() as session:
        assert one_time.look(session, "preferences", text, now=NOW).payload == {"list": 1}
        assert one_time.spend(session, "preferences", text, now=NOW).payload == {"list": 1}
    with app.database.write() as session, pytest.raises(TokenInvalid):
        one_time.spend(session, "preferences", text, now=NOW)


@pytest.mark.parametrize(("purpose", "after"), [("confirm", timedelta(0)), ("preferences", DAY)])
def test_a_token_is_refused_for_another_purpose_and_after_its_time(app: App, purpose: str, after: timedelta) -> None:
    """The answer is the same for both."""
    text = minted(app)
    with app.database.write() as session, pytest.raises(TokenInvalid, match="not valid"):
        one_time.spend(session, purpose, text, now=NOW + after)


def test_the_database_does_not_hold_the_token(app: App) -> None:
    """A stolen database opens no link."""
    text = minted(app)
    with app.database.read() as session:
        row = one_time.look(session, "preferences", text, now=NOW)
        assert text.encode() not in repr(vars(row)).encode()


def test_what_is_over_is_forgotten(app: App) -> None:
    """Those that still work stay."""
    minted(app)
    with app.database.write() as session:
        assert one_time.forget_expired(session, before=NOW) == 0
        assert one_time.forget_expired(session, before=NOW + DAY) == 1
