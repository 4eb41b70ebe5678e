"""
The sample network as files of today: copied, with every date moved by the same number of whole weeks.

Weekdays stay as they are, so a weekly drop-in on Tuesdays is still on Tuesdays and its exceptions still fit.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

NETWORK = Path(__file__).parent / "network"
WRITTEN_ON = date(2026, 3, 2)  # a Monday: the files are as they would have been on this day
TEXT_SUFFIXES = {".xml", ".json", ".ics", ".md"}

_MAIL_DATE = re.compile(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d{2} \w{3} \d{4})\b")
_ISO_DATE = re.compile(r"\b(\d{4}-\d{2}-\d{2})(?=T|\b)")
_CALENDAR_DATE = re.compile(r"(?<=[:=])(\d{8})(?=T\d{6}|\s|$)", re.MULTILINE)


def weeks_until(today: date) -> timedelta:
    """Return how far the files are moved: from the Monday they were written on to the Monday of this week."""
    return today - timedelta(days=today.weekday()) - WRITTEN_ON


def shift_dates(text: str, shift: timedelta) -> str:
    """Move every date of a feed (RFC 822), of JSON and front matter (ISO), and of a calendar (basic format)."""
    for pattern, layout, prefix in (
        (_MAIL_DATE, "%d %b %Y", "%a, "),
        (_ISO_DATE, "%Y-%m-%d", ""),
        (_CALENDAR_DATE, "%Y%m%d", ""),
    ):
        text = pattern.sub(_mover(layout, prefix, shift), text)
    return text


def _mover(layout: str, prefix: str, shift: timedelta) -> Callable[[re.Match[str]], str]:
    def moved(found: re.Match[str]) -> str:
        day = datetime.strptime(found[1], layout) + shift  # noqa: DTZ007  # a day has no zone
        return day.strftime(prefix + layout)

    return moved


def copy_network(folder: Path, today: date) -> None:
    """Write the sample network into *folder*; what its files say is as of this week."""
    shift = weeks_until(today)
    for source in sorted(p for p in NETWORK.rglob("*") if p.is_file()):
        target = folder / source.relative_to(NETWORK)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix in TEXT_SUFFIXES and source.name != "README.md":
            # newline="" keeps the CRLF that a calendar file must have.
            with source.open(encoding="utf-8", newline="") as file:
                text = file.read()
            with target.open("w", encoding="utf-8", newline="") as file:
                file.write(shift_dates(text, shift))
        else:
            shutil.copyfile(source, target)
