"""
Refusals written for people: qmail, Exim, Postfix without a report, Yahoo, Domino, MDaemon and others.

The text is cut where the returned message begins; then each way to name a failed recipient is tried, the surest
first. What stands between one recipient and the next is that recipient's diagnostic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

ADDRESS = r"[A-Za-z0-9._%+=!#$&'*/?^`{|}~-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}"
_ADDRESS = re.compile(ADDRESS)

# A line that says that the returned message follows.
_RETURNED = re.compile(
    r"^[ \t>*=|.#<(-]{0,100}(?:(?:this is )?(?:a )?(?:copy|transcript)? ?(?:of )?(?:the |your |a )?"
    r"(?:original|returned|unsent|forwarded|undelivered|source) (?:e-?mail|message|mail)(?! (?:was|id|has|could))"
    r"|(?:this is |here is |included is |below is |below this line is |the following is )?a copy of "
    r"|below this line|start of returned|message (?:text|headers?) follow|headers? of the"
    r"|the headers? (?:of|and)|(?:returned|original) (?:message )?headers?|message header follows"
    r"|-- the header and top|mensaje original|message removed|begin (?:original|message)"
    r"|received: |return-path: |dkim-signature: |arc-seal: |x-received: )[^\n]{0,200}",
    re.I | re.M,
)

# Ways to name the failed recipient, the surest first; group 1 is the address. The first ones are so sure that they
# hold even for somebody who wrote to himself.
_SURE = 6
_WAYS = tuple(
    re.compile(pattern, re.I | re.M)
    for pattern in (
        rf"^[ \t]*original address:[ \t]*({ADDRESS})",
        rf"^[ \t]*(?:final|original)-recipient:[ \t]*(?:rfc822|smtp|x-[\w-]+)?[ \t]*;?[ \t]*<?({ADDRESS})",
        rf"^[ \t]*(?:failed )?recipient(?: address)?:[ \t]*[<\[]?(?:smtp:)?({ADDRESS})",
        rf"^[ \t]*<({ADDRESS})>[ \t]*(?:\([^)\n]{{0,200}}\))?:",
        rf"^[ \t]*\"({ADDRESS})\":",
        rf"^[ \t]*({ADDRESS})[ \t]+on[ \t]+(?:mon|tue|wed|thu|fri|sat|sun)\b",
        rf"^[ \t]*({ADDRESS}):(?:[ \t]|$)",
        rf"^[ \t]*({ADDRESS})[ \t]*<mailto:",
        rf"^[ \t]*(?:(?:>|\*|--)[ \t]*)?<?({ADDRESS})>?[ \t]*(?:\.\.\.[^\n]*|\[[^\]\n]*\]|$)",
        rf"^[ \t]*\d{{3}}[ -](?:[245]\.\d+\.\d+[ \t]+)?<?({ADDRESS})>?[ \t]*\.\.\.",
        rf"^[ \t]*\"[^\"\n]{{1,100}}\"[ \t]+<({ADDRESS})>",
        rf"(?:unknown user|undeliverable[ \t]+to|delivery userid|mailbox is full|attempts"
        rf"|delivery failed|errors?):?[ \t]+<?({ADDRESS})",
        rf"^[ \t]*rcpt to:[ \t]*<({ADDRESS})>",
        rf"(?:rcpt to|sent <<< rcpt to):[ \t]*<({ADDRESS})>",
        rf"addressed to[ \t]+['\"<]?({ADDRESS})",
        rf"(?:deliver(?:y|ed)?|message|mail|e-mail)[^\n@<]{{0,60}}[ \t]to:?[ \t]+[<'\"]?({ADDRESS})",
        rf"(?:recipient|address|user|account|mailbox)[^\n@]{{0,60}}[<\[('\" :]({ADDRESS})",
        rf"^[ \t]*({ADDRESS})[ \t]+-[ \t]+no such",
        rf"(?:generated (?:from|by)|reached our local address)[ \t]*({ADDRESS})",
    )
)
# In a transcript of a session each line is about one recipient.
_TRANSCRIPT = next(rank for rank, way in enumerate(_WAYS) if way.pattern.startswith(r"^[ \t]*\d{3}"))
_NOT_RECIPIENTS = re.compile(
    r"(?:contact|please|sender|mail from|envelope-from|from:|e-?mail us|reply to|postmaster|assistance)[^\n@]{0,80}$",
    re.I,
)


@dataclass(frozen=True, slots=True)
class NamedRecipient:
    """A recipient that a text names, and what it says about it."""

    address: str
    diagnostic: str


@lru_cache(maxsize=8)  # asked for the same text several times while one mail is read
def cut_returned(text: str) -> tuple[str, str]:
    """Split a text into the report and the returned message below it (either may be empty)."""
    for found in _RETURNED.finditer(text):
        if found.start() == 0 and not text[: found.end()].strip():
            continue
        return text[: found.start()], text[found.end() :]
    return text, ""


def named_recipients(text: str, *, ours: frozenset[str]) -> list[NamedRecipient]:
    """
    Return the recipients that the report part of a text names, in order, each once.

    Args:
        ours: Addresses that are no recipients: the sender's, the reporter's, the mailbox the report came to.
    """
    for rank, way in enumerate(_WAYS):
        places: list[tuple[int, int, str]] = []
        for found in way.finditer(text):
            address = found.group(1).rstrip(".").strip("'").lower()
            before = text[max(0, found.start(1) - 100) : found.start(1)].rpartition("\n")[2]
            if (rank >= _SURE and address in ours) or _NOT_RECIPIENTS.search(before):
                continue
            places.append((found.start(), found.end(), address))
        if places:
            return _with_diagnostics(text, places, by_line=rank == _TRANSCRIPT)
    return []


def _with_diagnostics(text: str, places: list[tuple[int, int, str]], *, by_line: bool) -> list[NamedRecipient]:
    found: dict[str, str] = {}
    for index, (start, end, address) in enumerate(places):
        if by_line:
            found.setdefault(address, text[start : text.find("\n", end) if "\n" in text[end:] else len(text)].strip())
            continue
        following = next((p[0] for p in places[index + 1 :] if p[2] != address), len(text))
        before = text[:start] if index == 0 else ""
        said = text[start:following].strip()
        # Some reporters give the reason first and the address after it.
        found.setdefault(address, said if _says_something(said, address) else f"{said}\n{before[-1500:]}")
    return [NamedRecipient(address, said) for address, said in found.items()]


def _says_something(said: str, address: str) -> bool:
    rest = _ADDRESS.sub("", said.lower().replace(address, ""))
    return len(re.sub(r"[\W_]+", "", rest)) > 8


def header_value(text: str, name: str) -> str:
    """Return the first value of a header in a returned message's text, unfolded; empty when absent."""
    found = re.search(rf"^[ \t>]*{re.escape(name)}:[ \t]*([^\n]*(?:\n[ \t]+[^\n]+){{0,20}})", text, re.I | re.M)
    return " ".join(found.group(1).split()) if found else ""


def addresses_in(value: str) -> list[str]:
    """Return every address in a text, lower case, in order, each once."""
    return list(dict.fromkeys(a.rstrip(".").lower() for a in _ADDRESS.findall(value)))
