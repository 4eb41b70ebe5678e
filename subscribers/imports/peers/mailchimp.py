"""
The audience of Mailchimp: one CSV each for the subscribed, the unsubscribed and the cleaned, told by their columns.

What Mailchimp guessed from people's network addresses (place, time zone) and its own marks are not taken over.

Source: headers of published exports; Mailchimp's help page "View Unsubscribed and Cleaned Addresses".
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from subscribers.errors import InvalidValue
from subscribers.imports import columns as fields
from subscribers.imports.peers.export import Export
from subscribers.imports.peers.state import State
from subscribers.imports.tabular import Table

_ADDRESS, _TAGS = "email address", "tags"
_JOINED = ("confirm_time", "optin_time")
_LEFT = {"unsub_time": State.UNSUBSCRIBED, "clean_time": State.BOUNCED}
_WHY = ("unsub_reason", "unsub_reason_other", "unsub_campaign_title", "clean_campaign_title")
_LEFT_OUT = frozenset(
    [
        *("member_rating", "optin_ip", "confirm_ip", "latitude", "longitude", "gmtoff", "dstoff", "timezone"),
        *("cc", "region", "last_changed", "leid", "euid", "notes", "unsub_campaign_id", "clean_campaign_id"),
        *(_TAGS, *_JOINED, *_LEFT, *_WHY),
    ]
)
_OURS = {"(tags)": fields.TAGS, "(joined)": fields.JOINED, "(state)": fields.STATUS, "(evidence)": fields.EVIDENCE}


def read(path: Path, state: State | None) -> Export:
    """
    Open one CSV of an export of Mailchimp.

    Raises:
        InvalidValue: When it has not Mailchimp's columns, or holds people who never subscribed.
    """
    table = Table(path)
    place = {name.casefold(): position for position, name in enumerate(table.columns)}
    if _ADDRESS not in place or not place.keys() & {"leid", "euid", *_JOINED}:
        raise InvalidValue(
            f"{path.name} is no CSV of an export of a Mailchimp audience.",
            hint="Export the audience, unpack the archive, and import the CSV files that are in it.",
        )
    if state is None and any(word in path.name.casefold() for word in ("nonsubscribed", "non-subscribed")):
        raise InvalidValue(
            f"{path.name} holds people who never subscribed; they are not imported.",
            hint="If they agreed in another way, import the file without --from, with that as the evidence.",
        )
    kept = [position for name, position in place.items() if name not in _LEFT_OUT]
    left = next((name for name in _LEFT if name in place), None)

    def cell(cells: Sequence[str], name: str) -> str:
        return cells[place[name]].strip() if name in place else ""

    def translate(cells: Sequence[str]) -> Sequence[str]:
        stands = _state(cells, place, left, state)
        when = f" on {cell(cells, left)}" if left and cell(cells, left) else ""
        why = "; ".join(text for name in _WHY if (text := cell(cells, name)))
        return [
            *(cells[position] for position in kept),
            ";".join(_tags(cell(cells, _TAGS))),
            next((text for name in _JOINED if (text := cell(cells, name))), ""),
            stands.value,
            f"Mailchimp: {stands.value}{when}" + (f" ({why})" if why else ""),
        ]

    columns = (*(table.columns[position] for position in kept), *_OURS)
    leaving = left is not None or (state is not None and state.is_leaving)
    return Export(path, table.sha256, columns, _OURS, table.rows, translate, leaving)


def _state(cells: Sequence[str], place: dict[str, int], left: str | None, said: State | None) -> State:
    """Return how somebody stands; that they left is never overruled by what is said of the whole file."""
    if left is None:
        return said or State.SUBSCRIBED
    if not cells[place[left]].strip():
        if said is not None:
            return said
        raise InvalidValue(f"{left.upper()} is empty, so that nothing says whether they left; say it with --state")
    return _LEFT[left]


def _tags(cell: str) -> list[str]:
    """Read ``"Tag one","Tag two"``."""
    return [tag.strip().replace(";", ",") for tag in next(csv.reader([cell], skipinitialspace=True), []) if tag.strip()]
