"""What a page says when it cannot do what was asked: in plain words, the same for every cause of its kind."""

from __future__ import annotations

from dataclasses import dataclass

from newsletter.web.languages import marked


@dataclass(frozen=True, slots=True)
class Notice:
    """A heading and what to do next, in English: the page translates them."""

    heading: str
    lines: tuple[str, ...]


NOT_FOUND = Notice(
    marked("Page not found"),
    (
        marked("This link does not lead anywhere. It may have been cut off on its way to you."),
        marked("Try the link in the email once more, or copy the whole of it."),
    ),
)
NOT_ASKED = Notice(
    marked("Nothing has changed"),
    (marked("We could not tell what was asked."), marked("Go back, then press one of the buttons.")),
)
NOT_ALLOWED = Notice(marked("This page cannot do that"), (marked("Open the link from the email again."),))
TOO_LARGE = Notice(
    marked("Nothing has changed"),
    (marked("More was sent than this page takes."), marked("Open the link from the email again.")),
)
BUSY = Notice(
    marked("Not done yet"),
    (
        marked("We could not save this just now, so nothing has changed."),
        marked("Please wait a minute, then press the button again."),
    ),
)
FAULT = Notice(marked("Something went wrong"), (marked("The fault is ours. Please try again in a few minutes."),))

BY_STATUS = {400: NOT_ASKED, 404: NOT_FOUND, 405: NOT_ALLOWED, 413: TOO_LARGE, 500: FAULT, 503: BUSY}
