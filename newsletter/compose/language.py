"""Languages of issues: which tags are accepted, which way they are read; pure."""

from __future__ import annotations

import re
from typing import Literal

from babel import Locale, UnknownLocaleError

from newsletter.errors import InvalidValue

RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"})
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?(?:-[A-Za-z0-9]{5,8})*")


def parse_language(text: str) -> str:
    """
    Return a BCP 47 tag.

    Raises:
        InvalidValue: When it is none.
    """
    tag = text.strip()
    if not _TAG.fullmatch(tag):
        raise InvalidValue(f"'{text}' is no language.", hint="Write a tag such as en-GB, cy or ur.")
    return tag


def direction_of(language: str) -> Literal["ltr", "rtl"]:
    parts = language.split("-")
    if len(parts) > 1 and len(parts[1]) == 4:  # a script is stated: pa-Arab, ur-Latn
        return "rtl" if parts[1].title() in ("Arab", "Hebr", "Thaa", "Syrc", "Nkoo") else "ltr"
    return "rtl" if parts[0].lower() in RIGHT_TO_LEFT else "ltr"


def locale_of(language: str) -> Locale:
    """Return the locale for dates in words; English where there is none."""
    for tag in (language, language.partition("-")[0]):
        try:
            return Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse("en_GB", sep="_")
