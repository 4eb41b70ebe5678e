"""What one member does in the demonstration: takes the link out of the mail that came, and unsubscribes by it."""

from __future__ import annotations

import re
from email import policy
from email.parser import BytesParser
from pathlib import Path
from urllib.parse import urlsplit

from newsletter.errors import NotFound, SourceError

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
_HTTPS_LINK = re.compile(r"<(https://[^>]+)>")


def unsubscribe_link(mail: Path) -> str:
    """
    Return the https link of a mail's List-Unsubscribe header, as a mail program would use it.

    Raises:
        NotFound: When the mail has none, or does not offer one click.

    Source: RFC 8058 3.1.
    """
    message = BytesParser(policy=policy.default).parsebytes(mail.read_bytes())
    found = _HTTPS_LINK.search(str(message.get("List-Unsubscribe", "")))
    if found is None or str(message.get("List-Unsubscribe-Post", "")).strip() != "List-Unsubscribe=One-Click":
        raise NotFound("one-click unsubscribe link in", mail.name)
    return found[1]


def unsubscribe(link: str, site: str) -> None:
    """
    Do what a mail program's button does: POST to the path of *link*, at *site* in place of the public address.

    Raises:
        SourceError: When the answer is not 200.
    """
    import httpx

    path = urlsplit(link).path
    answer = httpx.post(site + path, data=ONE_CLICK, timeout=30, trust_env=False, follow_redirects=False)
    if answer.status_code != httpx.codes.OK:
        raise SourceError(f"The unsubscribe page answered {answer.status_code}.")
