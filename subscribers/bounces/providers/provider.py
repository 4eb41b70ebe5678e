"""What a provider is to us: how its posts are verified, how they are read, and what must be set for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from subscribers.bounces.event import EventKind, ProviderEvent
from subscribers.bounces.providers.notice import Notice, to_event
from subscribers.bounces.providers.payload import digest, written
from subscribers.bounces.providers.verifying import Posted, Secrets

LONGEST_EVENT_ID = 100
Entry = dict[str, Any]
Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Batch:
    """
    What one post holds.

    Attributes:
        notices: Each with its id and with its own entry, so that nobody's is kept beside another's.
        unreadable: The entries that could not be read, which cost the others nothing.
    """

    notices: tuple[tuple[str, Notice, bytes], ...]
    unreadable: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Provider:
    """
    One mail service.

    Attributes:
        needs: Names of `Secrets`, each line an alternative that is enough to verify by.
        split: Raw body and headers to the entries of a batch; raises `PayloadUnreadable`.
        tell: One entry to its notices.
        verify: Raises `WebhookRefused`, before anything of the body is believed.
        token: What may be used for one body only, where the signature does not cover the body.
        probes: Methods by which the provider asks, before it has any secret, whether somebody is there.
    """

    name: str
    title: str
    needs: tuple[tuple[str, ...], ...]
    split: Callable[[bytes, Headers], list[Entry]]
    tell: Callable[[Entry], Iterable[Notice]]
    verify: Callable[[Posted, Secrets, datetime], None]
    token: Callable[[Posted, Secrets], str] | None = None
    probes: tuple[str, ...] = ()

    def read_batch(self, body: bytes, headers: Headers | None = None) -> Batch:
        """
        Read every entry of a post.

        Raises:
            PayloadUnreadable: When it is no post of this provider at all.
        """
        notices: list[tuple[str, Notice, bytes]] = []
        unreadable: list[bytes] = []
        for entry in self.split(body, headers or {}):
            try:
                notices += self._identified(entry)
            except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
                unreadable.append(_kept(entry))  # of a form that nobody has seen: the others must not be lost with it
        return Batch(tuple(notices), tuple(unreadable))

    def read(self, body: bytes, headers: Headers | None = None) -> list[ProviderEvent]:
        """
        Return the events of a post.

        Raises:
            PayloadUnreadable: When it is no post of this provider at all.
        """
        return [to_event(notice, event_id) for event_id, notice, _ in self.read_batch(body, headers).notices]

    def unread(self, raw: bytes) -> ProviderEvent:
        """Return an entry that could not be read or kept as what it is: nothing known, filed as it came."""
        return ProviderEvent(f"unread:{digest(self.name, raw)}", EventKind.OTHER, "", raw=raw)

    def missing(self, secrets: Secrets) -> tuple[str, ...]:
        """Return what must still be set before anything is believed; nothing when all is."""
        lacking = [tuple(name for name in needed if not getattr(secrets, name)) for needed in self.needs]
        return min(lacking, key=len)

    def _identified(self, entry: Entry) -> Iterator[tuple[str, Notice, bytes]]:
        """
        Give each notice an id: the provider's, with its place among several, else one made of its content.

        Of an entry that is about several people each has what was understood of it, not the others' addresses.
        """
        told = list(self.tell(entry))
        for number, notice in enumerate(told):
            own = notice.event_id
            if not own or len(own) > LONGEST_EVENT_ID:
                own = digest(self.name, entry)
            yield (f"{own}:{number}" if number else own), notice, written(entry if len(told) == 1 else asdict(notice))


def _kept(entry: Entry) -> bytes:
    try:
        return written(entry)
    except (RecursionError, ValueError):
        return b""  # nested too deeply to be written again
