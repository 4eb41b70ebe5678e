"""Talk to the relay as far as sending would, without mailing anybody: greeting, TLS, user and password."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator

from newsletter.config import Config, SmtpAccount
from newsletter.doctor.findings import Finding, fail, ok, warn

TIMEOUT_SECONDS = 5.0


def check_relays(config: Config, *, online: bool) -> Iterator[Finding]:
    """Try each relay on this machine; those elsewhere only when *online*."""
    for account in config.smtp.all_accounts:
        check = "relay" if account.name == "default" else f"relay {account.name}"
        if account.on_loopback or online:
            yield _try(check, account)
        else:
            yield ok(check, f"{account.host}:{account.port}, not tried (add --online).")


def _try(check: str, account: SmtpAccount) -> Finding:
    place = account.host if account.host.startswith("unix:") else f"{account.host}:{account.port}"
    try:
        said = _converse(account)
    except smtplib.SMTPAuthenticationError as error:
        return fail(check, f"{place} refuses the user or password: {_text(error.smtp_error)}", _KEYS.format("password"))
    except smtplib.SMTPNotSupportedError as error:
        return fail(check, f"{place}: {error}", _KEYS.format("tls"))
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        return fail(check, f"{place} has no valid certificate or TLS: {reason}", _KEYS.format("tls and smtp.host"))
    except smtplib.SMTPResponseException as error:
        return fail(check, f"{place} answers {error.smtp_code} {_text(error.smtp_error)}", "Ask who runs the relay.")
    except (OSError, smtplib.SMTPException) as error:
        words = getattr(error, "strerror", None) or str(error) or "no answer"
        return warn(check, f"{place} does not answer: {words}.", "Start it, or check smtp.host and smtp.port.")
    return ok(check, f"{place} answers{said}.")


_KEYS = "Check smtp.{}: newsletter config show smtp"


def _converse(account: SmtpAccount) -> str:
    with _connected(account) as relay:
        relay.ehlo_or_helo_if_needed()
        said = ", with TLS" if account.tls_mode == "implicit" else ""
        if account.tls_mode in ("required", "opportunistic"):
            if relay.has_extn("starttls"):
                relay.starttls(context=ssl.create_default_context())
                said = ", with TLS"
            elif account.tls_mode == "required":
                raise smtplib.SMTPNotSupportedError("the relay offers no STARTTLS, which smtp.tls requires.")
        if account.username:
            relay.login(account.username, account.password.get_secret_value())
            said += ", accepts the password"
        return said


def _connected(account: SmtpAccount) -> smtplib.SMTP:
    if account.protocol == "lmtp":
        return smtplib.LMTP(account.host.removeprefix("unix:"), account.port)
    if account.tls_mode == "implicit":
        return smtplib.SMTP_SSL(
            account.host, account.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    return smtplib.SMTP(account.host, account.port, timeout=TIMEOUT_SECONDS)


def _text(raw: bytes | str) -> str:
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    return "".join(c if c.isprintable() else " " for c in text)[:200]
