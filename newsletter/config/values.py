"""
The kinds of value a configuration holds, each checked where it enters; a refusal says what to write instead.

`.invalid` is a reserved top-level domain that never resolves: `newsletter init` writes it where it may not invent a
name, loading accepts it, and `doctor` and the preflight report it until the operator has filled it in.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, SecretStr

from newsletter.dkim_keys import is_name

PLACEHOLDER_DOMAIN = ".invalid"
LONGEST_SOCKET_PATH = 100  # the system has room for 107

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_PATH_SECRET = re.compile(r"[A-Za-z0-9_-]{24,128}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def is_placeholder(text: str) -> bool:
    """Tell whether an address or URL still stands under the domain that `init` writes for what it was not told."""
    host = urlsplit(text).hostname or "" if "://" in text else text.rpartition("@")[2]
    return host.lower().rstrip(".").endswith(PLACEHOLDER_DOMAIN)


def is_loopback(host: str) -> bool:
    """Tell whether a host name or literal address means this machine."""
    name = host.lower().strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"'{name}' is no time zone; write one such as Europe/London")
    return name


def _language(tag: str) -> str:
    if not _LANGUAGE.fullmatch(tag):
        raise ValueError(f"'{tag}' is no language tag; write one such as en-GB or cy")
    return tag


def _address(text: str) -> str:
    from subscribers.addresses import parse_address
    from subscribers.errors import InvalidValue

    if not text.isprintable():
        raise ValueError("an address holds no line break or other control character")
    standing_in = text.removesuffix(PLACEHOLDER_DOMAIN) + ".example.org" if is_placeholder(text) else text
    try:
        found = parse_address(standing_in)
    except InvalidValue as error:
        raise ValueError(error.message.replace(standing_in, text)) from None
    return text if is_placeholder(text) else found.address


def _address_or_empty(text: str) -> str:
    return _address(text) if text else text


def _one_line(text: str) -> str:
    stripped = text.strip()
    if not stripped.isprintable():
        raise ValueError("this must be one line without control characters")
    return stripped


def _split_url(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"'{text}' is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable() or " " in text:
        raise ValueError(f"'{text}' is no URL; write one such as https://www.example.org")
    return parts


def _page_url(text: str) -> str:
    if text:
        _split_url(text)
    return text


def _public_url(text: str) -> str:
    parts = _split_url(text)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"'{text}' must begin with https:// because unsubscribe links are built on it")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"'{text}' must hold no user, '?' or '#': links are built by adding to it")
    return text.rstrip("/")


def _domain(text: str) -> str:
    name = text.lower().rstrip(".")
    if not name.isascii():
        name = name.encode("idna").decode()
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"'{text}' is no domain; write one such as example.org")
    return name


def _domain_or_empty(text: str) -> str:
    return _domain(text) if text else text


def _time_of_day(text: str) -> str:
    if not _TIME_OF_DAY.fullmatch(text):
        raise ValueError(f"'{text}' is no time of day; write hours and minutes such as 08:30, at the latest 24:00")
    return text


def _bind_address(text: str) -> str:
    if text != "localhost":
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ValueError(f"'{text}' is no IP address; write 127.0.0.1, or 0.0.0.0 for every network") from None
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"'{text}' is no IP address or network; write 127.0.0.1 or 10.0.0.0/8") from None
    return text


def _slug(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"'{text}' is no name: lower-case letters, digits and hyphens only, 64 at most")
    return text


def _dkim_name_or_empty(text: str) -> str:
    if text and not is_name(text):
        raise ValueError(f"'{text}' is no selector: lower-case letters, digits and hyphens only, 50 at most")
    return text


def _path_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text and not _PATH_SECRET.fullmatch(text):
        raise ValueError("write 24 to 128 random letters, digits, '-' or '_', such as `openssl rand -hex 24` prints")
    return secret


def _host(text: str) -> str:
    if text.startswith("unix:"):
        if not text.startswith("unix:/"):
            raise ValueError(f"'{text}' is no socket; write unix: and an absolute path")
        return text
    name = text.strip("[]")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        if "://" in text or ":" in text:
            raise ValueError(f"'{text}' is no host name; the port has a key of its own") from None
        return _domain(text)


def _mailbox_host(text: str) -> str:
    if text.startswith("unix:"):
        raise ValueError(f"'{text}' is no host name; a mailbox is reached by name or address")
    return _host(text) if text else text


def _folder_name(text: str) -> str:
    if not text.strip() or not text.isprintable() or any(c in text for c in '*%"\\') or ".." in text:
        raise ValueError(f"'{text}' is no folder name; write one such as Processed or Bounces/Processed")
    return text.strip()


def _socket_path(text: str) -> str:
    if text and (not text.startswith("/") or len(text.encode()) > LONGEST_SOCKET_PATH):
        raise ValueError(f"'{text}' is no socket; write an absolute path of at most {LONGEST_SOCKET_PATH} bytes")
    return text


TimezoneName = Annotated[str, AfterValidator(_timezone)]
LanguageTag = Annotated[str, AfterValidator(_language)]
MailAddress = Annotated[str, AfterValidator(_address)]
OptionalMailAddress = Annotated[str, AfterValidator(_address_or_empty)]
OneLine = Annotated[str, AfterValidator(_one_line)]
PageUrl = Annotated[str, AfterValidator(_page_url)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
Domain = Annotated[str, AfterValidator(_domain)]
OptionalDomain = Annotated[str, AfterValidator(_domain_or_empty)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
BindAddress = Annotated[str, AfterValidator(_bind_address)]
Network = Annotated[str, AfterValidator(_network)]
OptionalDkimName = Annotated[str, AfterValidator(_dkim_name_or_empty)]
Slug = Annotated[str, AfterValidator(_slug)]
PathSecret = Annotated[SecretStr, AfterValidator(_path_secret)]
RelayHost = Annotated[str, AfterValidator(_host)]
MailboxHost = Annotated[str, AfterValidator(_mailbox_host)]
FolderName = Annotated[str, AfterValidator(_folder_name)]
SocketPath = Annotated[str, AfterValidator(_socket_path)]
ProviderName = Literal[
    "brevo",
    "mailersend",
    "mailgun",
    "mailjet",
    "mailtrap",
    "mandrill",
    "postal",
    "postmark",
    "resend",
    "sendgrid",
    "ses",
    "sparkpost",
    "unisender_go",
]
