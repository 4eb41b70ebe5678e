"""What a page says when it cannot do what was asked: in plain words, the same for every cause of its kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """A heading and what to do next."""

    heading: str
    lines: tuple[str, ...]


NOT_FOUND = Notice(
    "Page not found",
    (
        "This link does not lead anywhere. It may have been cut off on its way to you.",
        "Try the link in the email once more, or copy the whole of it.",
    ),
)
NOT_ASKED = Notice(
    "Nothing has changed", ("We could not tell what was asked.", "Go back, then press one of the buttons.")
)
NOT_ALLOWED = Notice("This page cannot do that", ("Open the link from the email again.",))
TOO_LARGE = Notice(
    "Nothing has changed", ("More was sent than this page takes.", "Open the link from the email again.")
)
BUSY = Notice(
    "Not done yet",
    ("We could not save this just now, so nothing has changed.", "Please wait a minute, then press the button again."),
)
FAULT = Notice("Something went wrong", ("The fault is ours. Please try again in a few minutes.",))

BY_STATUS = {400: NOT_ASKED, 404: NOT_FOUND, 405: NOT_ALLOWED, 413: TOO_LARGE, 500: FAULT, 503: BUSY}
