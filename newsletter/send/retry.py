"""When a deferred delivery is tried again; pure. The number of attempts decides, so that a pause costs nobody a try."""

from __future__ import annotations

from datetime import timedelta

# Greylisting lets the second try pass after at most a quarter of an hour. Source: RFC 5321 4.5.4.1, RFC 6647 5.
DELAYS = tuple(timedelta(minutes=m) for m in (5, 15, 45, 120, 240, 480))
SPREAD = 0.2


def retry_delay(attempt: int, *, give_up_after: timedelta, spread: float = 0.0) -> timedelta | None:
    """
    Return how long to wait after the failed *attempt*, or None when it was the last.

    Args:
        attempt: Attempts made so far, this one included (1 = first).
        give_up_after: The waits together are at most this.
        spread: From -1 to 1; moves the wait by up to 20 %, so that thousands do not come back in one second. The
            first wait is only made longer: a server that greylists for five minutes refuses whoever comes earlier.
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt} was never made")
    waited = sum((_delay(n) for n in range(1, attempt)), timedelta())
    delay = _delay(attempt)
    if waited + delay > give_up_after:
        return None
    spread = max(-1.0, min(1.0, spread))
    return delay * (1 + SPREAD * (abs(spread) if attempt == 1 else spread))


def _delay(attempt: int) -> timedelta:
    return DELAYS[min(attempt, len(DELAYS)) - 1]
