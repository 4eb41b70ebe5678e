"""Talk to the relay as far as sending would, without mailing anybody: greeting, TLS, user and password, its limits."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from newsletter.config.settings import Config, SmtpAccount
from newsletter.config.values import is_placeholder
from newsletter.doctor.certificates import days_left, judge_days, words_of
from newsletter.doctor.findings import Finding, fail, ok, warn
from newsletter.send.envelope import fixed_sender

TIMEOUT_SECONDS = 5.0
_KEYS = "Check smtp.{}: newsletter config show"


@dataclass(frozen=True, slots=True)
class RelaySaid:
    """
    What a conversation brought to light.

    Attributes:
        tls: The version in use; empty without TLS.
        days: Until the end of its certificate; null where none was verified.
        most_bytes: The largest message that it takes; null when it does not say, or has no limit.
    """

    tls: str
    days: int | None
    authenticated: bool
    most_bytes: int | None


class Unfit(Exception):
    """The relay answers and lacks what the configuration asks for. `key` is the setting to look at."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def relay_tasks(
    config: Config, *, online: bool, now: datetime, largest_copy: int | None
) -> list[Callable[[], list[Finding]]]:
    """Return a check for each relay; those elsewhere are only tried when *online*."""
    sender = "" if is_placeholder(config.organisation.from_address) else fixed_sender(config)
    tasks: list[Callable[[], list[Finding]]] = []
    for account in config.smtp.all_accounts:
        check = "relay" if account.name == "default" else f"relay {account.name}"
        if account.on_loopback or online:
            tasks.append(lambda c=check, a=account: list(_try(c, a, sender, now, largest_copy)))  # type: ignore[misc]
        else:
            skipped = ok(check, f"{account.host}:{account.port}, not tried (add --online).")
            tasks.append(lambda f=skipped: [f])  # type: ignore[misc]
    return tasks


def _try(check: str, account: SmtpAccount, sender: str, now: datetime, largest_copy: int | None) -> Iterator[Finding]:
    place = account.host if account.host.startswith("unix:") else f"{account.host}:{account.port}"
    try:
        said = _converse(account, sender, now)
    except Unfit as unfit:
        yield fail(check, f"{place} {unfit}", _KEYS.format(unfit.key))
    except smtplib.SMTPAuthenticationError as error:
        refused = f"{place} refuses the user or password: {_text(error.smtp_error)}"
        yield fail(check, refused, _KEYS.format("username and smtp.password"))
    except ssl.SSLError as error:
        yield fail(
            check, f"{place} has no valid certificate or TLS: {words_of(error)}", _KEYS.format("tls and smtp.host")
        )
    except smtplib.SMTPResponseException as error:
        yield fail(check, f"{place} answers {error.smtp_code} {_text(error.smtp_error)}", "Ask who runs the relay.")
    except (OSError, smtplib.SMTPException) as error:
        words = (getattr(error, "strerror", None) or str(error) or "no answer").rstrip(".")
        yield warn(check, f"{place} does not answer: {words}.", "Start it, or check smtp.host and smtp.port.")
    else:
        yield from judge_relay(check, place, account, said, largest_copy)


def judge_relay(
    check: str, place: str, account: SmtpAccount, said: RelaySaid, largest_copy: int | None
) -> Iterator[Finding]:
    """Judge a relay that answered. *largest_copy* is the size of our largest message so far, null for none."""
    well = f"{place} answers" + (f", with {said.tls}" if said.tls else "")
    well += ", accepts the password" if said.authenticated else ""
    if said.tls and said.days is None:
        well += ", its certificate unverified"
    yield judge_days(check, place, said.days, well)
    if not said.tls and not account.on_loopback:
        yield warn(
            check,
            f"Mail to {place} goes unencrypted: anybody on the way can read who gets it.",
            'Set smtp.tls = "required", and ask who runs the relay for STARTTLS.',
        )
    if said.most_bytes is not None and largest_copy is not None and largest_copy > said.most_bytes:
        sizes = f"{said.most_bytes / 1000:,.0f} kB, and our largest is {largest_copy / 1000:,.0f} kB"
        yield fail(
            check, f"{place} takes messages of at most {sizes}.", "Shorten the issue, or ask for a higher limit."
        )
    elif said.most_bytes is not None:
        ours = f"; our largest is {largest_copy / 1000:,.0f} kB" if largest_copy is not None else ""
        yield ok(check, f"It takes messages of up to {said.most_bytes / 1000:,.0f} kB{ours}.")


def _converse(account: SmtpAccount, sender: str, now: datetime) -> RelaySaid:
    """Go as far as MAIL, where many relays first say that they want a password or another sender, and take it back."""
    with _connected(account) as relay:
        relay.ehlo_or_helo_if_needed()
        if account.tls_mode in ("required", "opportunistic") and account.protocol == "smtp":
            _secure(relay, account)
        if account.username:
            if not relay.has_extn("auth"):
                raise Unfit(
                    "asks for no user and password (it offers no AUTH), and we have one.", "username and smtp.tls"
                )
            relay.login(account.username, account.password.get_secret_value())
        if sender:
            code, words = relay.mail(sender)
            if code >= 400:
                raise Unfit(
                    f"refuses our envelope sender {sender}: {code} {_text(words)}", "username and bounces.domain"
                )
            relay.rset()
        secured = relay.sock if isinstance(relay.sock, ssl.SSLSocket) else None
        size = relay.esmtp_features.get("size", "")
        return RelaySaid(
            tls=(secured.version() or "TLS") if secured else "",
            days=days_left(secured.getpeercert(), now) if secured else None,
            authenticated=bool(account.username),
            most_bytes=int(size) if size.isdigit() and int(size) else None,
        )


def _secure(relay: smtplib.SMTP, account: SmtpAccount) -> None:
    context = ssl.create_default_context()
    if account.tls_mode == "opportunistic":  # as sending does: encrypted if it can be had, from whomever
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if relay.has_extn("starttls"):
        relay.starttls(context=context)
        relay.ehlo_or_helo_if_needed()
    elif account.tls_mode == "required":
        raise Unfit("offers no encryption (STARTTLS), which smtp.tls requires.", "tls and smtp.port")


class _OverUnixSocket(smtplib.SMTP):
    """SMTP over a socket file; the standard library does it for LMTP alone."""

    def __init__(self, path: str, local_hostname: str) -> None:
        self._path = path
        super().__init__("localhost", local_hostname=local_hostname, timeout=TIMEOUT_SECONDS)

    def _get_socket(self, _host: str, _port: int, timeout: float) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(timeout)
            connected.connect(self._path)
        except OSError:
            connected.close()
            raise
        return connected


def _connected(account: SmtpAccount) -> smtplib.SMTP:
    path = account.host.removeprefix("unix:") if account.host.startswith("unix:") else ""
    name = account.local_hostname or socket.gethostname()  # the library's own default asks the DNS
    if account.protocol == "lmtp":
        return smtplib.LMTP(path or account.host, account.port, local_hostname=name, timeout=TIMEOUT_SECONDS)
    if path:
        return _OverUnixSocket(path, name)
    if account.tls_mode == "implicit":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(account.host, account.port, name, timeout=TIMEOUT_SECONDS, context=context)
    return smtplib.SMTP(account.host, account.port, name, timeout=TIMEOUT_SECONDS)


def _text(raw: bytes | str) -> str:
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    return "".join(c if c.isprintable() else " " for c in text)[:200]
