"""
The guarantee of a delivery as a check: what the rows of an issue say, against what a server's own log says. Pure.

It answers with every promise that is broken, so that a test shows all of them, and can itself be tested by lies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FINAL = frozenset({"sent", "bounced", "expired", "suppressed", "held", "cancelled", "uncertain"})
Event = Mapping[str, Any]


def broken_promises(
    rows: Sequence[tuple[str, str]], events: Iterable[Event], *, planned: int, stops: int, connections: int
) -> list[str]:
    """
    Return what does not hold, in words; an empty list is the guarantee kept.

    Args:
        rows: Address and state of every delivery of the issue.
        events: The server's log.
        stops: How often a process was stopped abruptly.
        connections: How many connections one process has.
    """
    log = list(events)
    accepted = Counter(event["to"] for event in log if event["event"] == "accepted")
    refused = {event["to"] for event in log if event["event"] == "refused" and 500 <= event["code"] < 600}
    cuts = sum(event["event"] == "cut" for event in log)
    states = dict(rows)
    uncertain = sum(state == "uncertain" for state in states.values())
    found = [
        *(f"{address} is in the issue twice" for address, count in Counter(a for a, _ in rows).items() if count > 1),
        *(f"{address} has no end: {state}" for address, state in rows if state not in FINAL),
        *(
            f"{address} is lost: sent, not received"
            for address, state in rows
            if state == "sent" and address not in accepted
        ),
        *(f"{address} is doubled: received {count} times" for address, count in accepted.items() if count > 1),
        *(f"{address} was received and is in no row" for address in accepted if address not in states),
        *(
            f"{address} is {states[address]} and was received"
            for address in accepted
            if states.get(address, "sent") not in ("sent", "uncertain")
        ),
        *(
            f"{address} bounced, and nobody refused it"
            for address, state in rows
            if state == "bounced" and address not in refused
        ),
    ]
    if len(rows) != planned:
        found.append(f"{len(rows)} rows for {planned} people")
    if uncertain > stops * connections + cuts:
        found.append(f"{uncertain} are uncertain after {stops} stops of {connections} connections and {cuts} cuts")
    ids = {(event["to"], event["message_id"]) for event in log if event["event"] == "accepted"}
    if len({message_id for _, message_id in ids}) != len(ids):
        found.append("two people's copies have the same Message-ID")
    return found


def figures(rows: Sequence[tuple[str, str]], events: Iterable[Event], **more: int) -> str:
    """Return the counts of a run on one line, for the report of the long form."""
    log = list(events)
    kinds = Counter(event["event"] for event in log)
    counts = {**more, "cuts": kinds["cut"], "accepted": kinds["accepted"], "refused": kinds["refused"]}
    return ", ".join(f"{name} {count}" for name, count in {**counts, **Counter(s for _, s in rows)}.items())
