"""The text of an SPF record as terms; pure. Source: RFC 7208 4.6, 5, 6, 7 and 12."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

VERSION = "v=spf1"
BY_NAME = frozenset({"a", "mx", "ptr", "include", "exists"})
_TERM = re.compile(r"([+?~-]?)([a-z][a-z0-9_.-]*)(?:(:)([^/\s]*))?((?:/\d{1,3})?(?://\d{1,3})?)", re.IGNORECASE)
_NETWORK = re.compile(r"([+?~-]?)(ip[46]):(\S+)", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(\S*)", re.IGNORECASE)
_MACRO = re.compile(r"%(?:\{([a-z])(\d*)(r?)([.\-+,/_=]*)\}|([%_-])|)", re.IGNORECASE)
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}


class SpfSyntax(ValueError):
    """A term that no receiver can read: it answers `permerror` to the whole record."""


@dataclass(frozen=True, slots=True)
class Term:
    """
    One mechanism, or the modifier `redirect`.

    Attributes:
        value: The domain as it stands, macros and all, or the network of ip4 and ip6; empty means the record's domain.
    """

    name: str
    value: str = ""
    qualifier: str = "+"
    prefix4: int = 32
    prefix6: int = 128

    @property
    def looks_up(self) -> bool:
        """Whether it counts against the ten lookups that a receiver makes. Source: RFC 7208 4.6.4."""
        return self.name in BY_NAME or self.name == "redirect"


def is_spf(text: str) -> bool:
    return text.lower() == VERSION or text.lower().startswith(f"{VERSION} ")


def parse_record(text: str) -> tuple[Term, ...]:
    """
    Return the terms of a record in order, `redirect` last; modifiers that have no say are left out.

    Raises:
        SpfSyntax: With the term that cannot be read.
    """
    terms = [term for word in text.split()[1:] if (term := _term(word)) is not None]
    mechanisms = [t for t in terms if t.name != "redirect"]
    redirects = [t for t in terms if t.name == "redirect"]
    if len(redirects) > 1:
        raise SpfSyntax("redirect= stands there twice")
    if any(t.name == "all" for t in mechanisms):
        redirects = []  # RFC 7208 6.1: with `all` it is ignored
    return (*mechanisms, *redirects)


def _term(word: str) -> Term | None:
    if found := _MODIFIER.fullmatch(word):
        name = found[1].lower()
        if name == "redirect" and not found[2]:
            raise SpfSyntax(f"'{word}' names no domain")
        return Term("redirect", found[2]) if name == "redirect" else None
    if found := _NETWORK.fullmatch(word):
        return _network(word, found[1], found[2].lower(), found[3])
    found = _TERM.fullmatch(word)
    if found is None or found[2].lower() not in (*BY_NAME, "all"):
        raise SpfSyntax(f"'{word}' is no term of SPF")
    name, value = found[2].lower(), found[4] or ""
    if (name in ("include", "exists") and not value) or (found[3] and not value) or (name == "all" and value):
        raise SpfSyntax(f"'{word}' is not complete")
    if found[5] and name not in ("a", "mx"):
        raise SpfSyntax(f"'{word}' may have no '/'")
    return Term(name, value, found[1] or "+", *_prefixes(word, found[5] or ""))


def _network(word: str, qualifier: str, name: str, value: str) -> Term:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise SpfSyntax(f"'{word}' holds no network") from None
    if network.version != int(name[2]):
        raise SpfSyntax(f"'{word}' holds a network of the other kind")
    return Term(name, str(network), qualifier or "+")


def _prefixes(word: str, text: str) -> tuple[int, int]:
    four, _, six = text.partition("//")
    prefix4, prefix6 = int(four.removeprefix("/") or 32), int(six or 128)
    if prefix4 > 32 or prefix6 > 128:
        raise SpfSyntax(f"'{word}' has too long a prefix")
    return prefix4, prefix6


def expand(spec: str, values: Mapping[str, str]) -> str | None:
    """
    Put the macros of a domain in; None when it depends on something that is not in *values*, such as the mail itself.

    Source: RFC 7208 7.

    Raises:
        SpfSyntax: For a ``%`` that begins no macro.
    """
    unknown = False

    def replaced(found: re.Match[str]) -> str:
        nonlocal unknown
        if found[5]:
            return _ESCAPES[found[5]]
        if not found[1]:
            raise SpfSyntax(f"'{spec}' has a % that begins no macro")
        value = values.get(found[1].lower())
        if value is None:
            unknown = True
            return ""
        parts = re.split(f"[{re.escape(found[4] or '.')}]", value)
        parts = parts[::-1] if found[3] else parts
        return ".".join(parts[-int(found[2]) :] if found[2] and int(found[2]) else parts)

    expanded = _MACRO.sub(replaced, spec)
    return None if unknown else expanded
