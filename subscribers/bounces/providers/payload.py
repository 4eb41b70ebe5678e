"""
Read what a provider posted, whatever it is.

Unknown fields, kinds and types are passed over; what can be read as nothing at all raises one error and no other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any
from urllib.parse import parse_qsl

from subscribers.errors import SubscribersError

MOST_ENTRIES = 10_000
MOST_FIELDS = 2_000
_EPOCH = re.compile(r"\d{9,13}(?:\.\d+)?")
_FRACTION = re.compile(r"(\.\d{6})\d+")
# What no database keeps as text, and no provider means to send.
_UNKEPT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_MILLISECONDS_FROM = 100_000_000_000


class PayloadUnreadable(SubscribersError):
    """What was posted is none of the forms that this provider sends; nothing of it was kept."""

    code = "payload"


def read_json(body: bytes | str) -> Any:
    """
    Return what a JSON text holds.

    Raises:
        PayloadUnreadable: When it is none, or nested deeper than any provider's is.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise PayloadUnreadable("What was posted is no JSON.") from None


def read_form(body: bytes) -> dict[str, str]:
    """
    Return the fields of a posted form; of a field that is there twice, the first.

    Raises:
        PayloadUnreadable: When it is no form.
    """
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=True, max_num_fields=MOST_FIELDS)
        if not pairs:
            raise ValueError("it is empty")
    except ValueError:
        raise PayloadUnreadable("What was posted is no form.") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def objects(found: Any) -> list[dict[str, Any]]:
    """
    Return the entries of a batch, or the one object as a batch of one; what is no object is passed over.

    Raises:
        PayloadUnreadable: When it is neither a list nor an object.
    """
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        raise PayloadUnreadable("What was posted is neither an event nor a list of events.")
    return [entry for entry in found[:MOST_ENTRIES] if isinstance(entry, dict)]


def inner(values: Any, *names: str) -> dict[str, Any]:
    """Return the object at a path of names; an empty one where there is none."""
    for name in names:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values if isinstance(values, dict) else {}


def listed(values: Mapping[str, Any], name: str) -> list[Any]:
    """Return the list under a name; a single value as a list of one; empty where there is none."""
    found = values.get(name)
    if isinstance(found, list):
        return found
    return [] if found is None else [found]


def text(values: Any, *names: str) -> str:
    """Return the first of these fields that holds a text or number, as text that a database can keep, stripped."""
    for name in names:
        value = values.get(name) if isinstance(values, Mapping) else None
        if isinstance(value, str) and (kept := _UNKEPT.sub(" ", value).strip()):
            return kept
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return ""


def addresses(values: list[Any]) -> Iterator[str]:
    """Yield the plain addresses of a list of ``a@b`` or ``Name <a@b>``."""
    for value in values:
        found = parseaddr(value)[1] if isinstance(value, str) else ""
        if found:
            yield found


def moment(value: Any) -> datetime | None:
    """Return a time of any form that providers use: ISO 8601, seconds or milliseconds since the epoch; else nothing."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, int | float) or _EPOCH.fullmatch(str(value)):
            seconds = float(value)
            return datetime.fromtimestamp(seconds / 1000 if seconds > _MILLISECONDS_FROM else seconds, UTC)
        found = datetime.fromisoformat(_FRACTION.sub(r"\1", str(value).strip()))
    except (ValueError, OverflowError, OSError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def written(entry: Mapping[str, Any]) -> bytes:
    """Return one entry of a batch as it is kept: the same JSON, without the entries beside it."""
    return json.dumps(entry, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")


def digest(*parts: Any) -> str:
    """Return an id for an event that has none of its own: the same entry gives the same id."""
    written = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:40]
