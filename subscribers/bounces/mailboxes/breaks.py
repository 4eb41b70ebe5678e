"""When a connection breaks: whether to open it again, and which mail the server cannot hand out; pure."""

from __future__ import annotations

from collections import Counter

MOST_IN_A_ROW = 3  # without a mail taken between them
BREAKS_A_MAIL = 2  # after which a mail is passed over, for this look
MOST_PASSED_OVER = 20


class Breaks:
    """The breaks of one look; those over a mail that was being fetched alone are charged to the mail."""

    def __init__(self) -> None:
        self._mails: Counter[int | str] = Counter()
        self._in_a_row = 0
        self._charged = False
        self.any = False

    def over(self, mail: int | str) -> None:
        """Charge the break that is just happening to a mail."""
        self._mails[mail] += 1
        self._charged = True

    def go_on(self, *, progress: bool) -> bool:
        """Count a break and return whether it is worth connecting again."""
        self.any = True
        self._in_a_row = 0 if progress or self._charged else self._in_a_row + 1
        self._charged = False
        return self._in_a_row < MOST_IN_A_ROW and len(self._mails) <= MOST_PASSED_OVER

    def passes_over(self, mail: int | str) -> bool:
        return self._mails[mail] >= BREAKS_A_MAIL

    def of(self, mail: int | str) -> int:
        """Return how often it broke over a mail; those come last."""
        return self._mails[mail]
