"""
Ask the public site as a mail program would: one click on an unsubscribe link, with a token that belongs to nobody.

The token is signed by this workspace's key and names no subscriber, so an answer of 200 proves the whole way (address,
certificate, proxy, site, keys, database) and changes nothing.

Source: RFC 8058 3.1: no redirect, no cookie.
"""

from __future__ import annotations

import re
import secrets
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from newsletter.config.settings import Config
from newsletter.config.values import is_loopback, is_placeholder
from newsletter.doctor.certificates import days_left, judge_days, words_of
from newsletter.doctor.findings import Finding, fail, ok, warn
from newsletter.doctor.machine import judge_clock_beside
from newsletter.errors import WorkspaceError
from newsletter.keys import load_keys
from newsletter.render.links import unsubscribe_url
from subscribers.tokens import ALL_LISTS, SUBSCRIBER_ID_BYTES, unsubscribe_token

CHECK = "public site"
TIMEOUT_SECONDS = 5.0
_SYSTEM_CODE = re.compile(r"\[Errno -?\d+\] ")
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@dataclass(frozen=True, slots=True)
class Clicked:
    """What the site answered; `days` are those left of its certificate, null without TLS; `date` is by its clock."""

    status: int
    location: str
    sets_cookie: bool
    days: int | None
    date: datetime | None = None


def site_task(config: Config, secrets_folder: Path, *, online: bool, now: datetime) -> Callable[[], list[Finding]]:
    """Return the check of `web.url`; a site elsewhere is asked only when *online*."""
    url = config.web.url
    if is_placeholder(url):
        return lambda: [
            warn(CHECK, "Not asked: web.url is not set.", "Set web.url; unsubscribe links are built on it.")
        ]
    if not online:
        return lambda: [ok(CHECK, f"{url}, not asked (add --online).")]
    return lambda: list(_try(url, secrets_folder, now))


def _try(url: str, secrets_folder: Path, now: datetime) -> Iterator[Finding]:
    import httpx

    try:
        token = unsubscribe_token(
            load_keys(secrets_folder).links.current, secrets.token_bytes(SUBSCRIBER_ID_BYTES), ALL_LISTS
        )
        clicked = _click(unsubscribe_url(url, token), now)
    except WorkspaceError:
        yield warn(CHECK, "Not asked: the keys of the links cannot be read.", "Mend the keys first, as said above.")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        cause = _tls_cause(error)
        if cause is not None:
            refused = f"{url} has no valid certificate or TLS: {words_of(cause)}"
            yield fail(CHECK, refused, "Give your web server a certificate with its whole chain, for this very name.")
        else:
            words = _SYSTEM_CODE.sub("", str(error)).rstrip(".") or "no answer in time"
            yield fail(
                CHECK, f"{url} does not answer: {words}.", "Start newsletter serve and your web server; check web.url."
            )
    else:
        yield from judge_click(url, clicked)
        if clicked.date is not None:
            yield from judge_clock_beside(now, clicked.date, url)


def _click(url: str, now: datetime) -> Clicked:
    import httpx

    trust = ssl.create_default_context()  # the system's own authorities, as for the relay
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False, verify=trust) as client:
        with client.stream("POST", url, data=ONE_CLICK) as answer:
            stream = answer.extensions.get("network_stream")
            secured = stream.get_extra_info("ssl_object") if stream is not None else None
            days = days_left(secured.getpeercert(), now) if secured is not None else None
        headers = answer.headers
        date = _date(headers.get("date", ""))
        return Clicked(answer.status_code, headers.get("location", ""), "set-cookie" in headers, days, date)


def _date(header: str) -> datetime | None:
    """Return the time of a Date header, which is always in UTC. Source: RFC 9110 5.6.7."""
    try:
        return parsedate_to_datetime(header).replace(tzinfo=UTC)
    except ValueError:
        return None


def _tls_cause(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def judge_click(url: str, clicked: Clicked) -> Iterator[Finding]:
    """Judge an answer."""
    if 300 <= clicked.status < 400:
        away = f"{url} sends an unsubscribe click elsewhere ({clicked.status}), and mail programs do not follow: "
        away += clicked.location[:200]
        yield fail(CHECK, away, "Set web.url to the address that it ends at, or take the redirect away.")
    elif clicked.status in (404, 405, 403, 401):
        stranger = f"{url} does not know our unsubscribe links ({clicked.status})."
        yield fail(
            CHECK, stranger, "Let your web server pass every path and POST to newsletter serve of this workspace."
        )
    elif clicked.status != 200:
        ill = f"{url} answers an unsubscribe click with {clicked.status}."
        yield fail(CHECK, ill, "See what newsletter serve and your web server say in their logs.")
    elif clicked.sets_cookie:
        cookie = f"{url} sets a cookie on an unsubscribe click, which RFC 8058 forbids."
        yield warn(CHECK, cookie, "Switch it off in your web server or its firewall for /unsubscribe/.")
    else:
        yield judge_days(CHECK, url, clicked.days, f"{url} answers an unsubscribe click (200, no redirect, no cookie)")
    host = urlsplit(url).hostname or ""
    if is_loopback(host):
        yield warn(
            CHECK, f"{url} reaches only this machine; members cannot use its links.", "Set web.url to a public address."
        )
