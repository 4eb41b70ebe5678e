"""
A mailbox by IMAP: each mail is taken, then moved into the folder of its kind; nothing is deleted.

A connection that breaks between the two leaves the mail where it was. It is moved at the next look, and taken twice
it changes nothing. Only mail that was taken is ever marked or expunged, by its UID.
"""

from __future__ import annotations

import imaplib
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from subscribers.bounces.intake import Disposition
from subscribers.bounces.mailboxes.account import DAMAGED, Account, Memory, Stopped, Tally
from subscribers.bounces.mailboxes.aside import Aside
from subscribers.bounces.mailboxes.breaks import Breaks
from subscribers.bounces.mailboxes.connecting import broken, words
from subscribers.bounces.mailboxes.imap_opening import BROKEN, open_client
from subscribers.bounces.mailboxes.taking import BEGINNING_BYTES, Taker
from subscribers.errors import DatabaseUnavailable, MailboxTrouble

MAILS_A_MOVE = 200  # some servers read the whole folder again at each move
MAILS_A_SEARCH = 5_000  # their UIDs on one line: a line of a server may not be endless
BYTES_A_FETCH = 2_000_000
IDLE_SECONDS = 540.0  # of the 29 minutes that servers allow; many routers forget a silent connection after ten
STOP_LOOK_SECONDS = 1.0

_SIZE, _WHOLE, _BEGINNING = b"RFC822.SIZE", b"BODY.PEEK[]", f"BODY.PEEK[]<0.{BEGINNING_BYTES}>".encode()


class ImapMailbox:
    """A folder of an IMAP server."""

    def __init__(self, account: Account, taker: Taker, memory: Memory) -> None:
        self.account = account
        self._taker = taker
        self._aside = Aside(memory)
        self._client: Any = None
        self._validity = 0
        self._folders: dict[Disposition, str] = {}
        self._there: set[str] = set()  # folders that are known to exist
        self._sorted: dict[int, Disposition] = {}  # taken, and not known to be moved
        self._breaks = Breaks()

    def look(self, tally: Tally, stopped: Stopped) -> None:
        """Take and sort away what is there; a connection that breaks is opened again."""
        self._breaks = Breaks()
        try:
            while True:
                before = tally.taken.total()
                try:
                    self._pass(tally, stopped)
                    return
                except BROKEN as error:
                    self.close()
                    if not self._breaks.go_on(progress=tally.taken.total() > before):
                        raise broken(self.account, error) from error
        finally:
            self._aside.save()

    def wait(self, seconds: float, stopped: Stopped) -> None:
        """Wait for the server's call (IDLE), or the time where it does not offer that."""
        if self._client is None or not self._client.has_capability("IDLE"):
            stopped.wait(seconds)
            return
        try:
            self._idle(min(seconds, IDLE_SECONDS), stopped)
        except BROKEN:
            self.close()  # the next look says what is the matter, if anything still is

    def check(self) -> str:
        try:
            client = self._connected()
            count = self._select(client, readonly=True)
            idle = "IDLE" if client.has_capability("IDLE") else "no IDLE"
            move = "MOVE" if client.has_capability("MOVE") else "no MOVE"
            absent = [name for name in self._folders.values() if not client.folder_exists(name)]
        except BROKEN as error:
            raise broken(self.account, error) from error
        finally:
            self.close()
        made = f"; made at the first look: {', '.join(absent)}" if absent else ""
        return f"folder {self.account.folder} holds {count} mails ({idle}, {move}){made}"

    def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            with suppress(*BROKEN, AttributeError):
                client.shutdown()

    def _connected(self) -> Any:
        if self._client is None:
            self._client = open_client(self.account)
            self._folders = {d: _full_name(self._client, name) for d, name in self.account.targets.items()}
        return self._client

    def _pass(self, tally: Tally, stopped: Stopped) -> None:
        client = self._connected()
        uids = self._unread(client)
        passed_over = {uid for uid in uids if self._breaks.passes_over(uid)}
        todo = [uid for uid in uids if not self._aside.holds(str(uid)) and uid not in passed_over]
        todo.sort(key=lambda uid: (self._breaks.of(uid), uid))
        for start in range(0, len(todo), MAILS_A_MOVE):
            if stopped.is_set():
                return
            chunk = todo[start : start + MAILS_A_MOVE]
            try:
                self._take(client, [uid for uid in chunk if uid not in self._sorted], tally, stopped)
            except DatabaseUnavailable:
                self._move(client, chunk)
                raise
            self._move(client, chunk)
        if passed_over:
            tally.left[DAMAGED] += len(passed_over)

    def _unread(self, client: Any) -> list[int]:
        """Return the UIDs of what is in the folder; what others have deleted is no longer ours to read."""
        count = self._select(client)
        windows = ((a, min(a + MAILS_A_SEARCH - 1, count)) for a in range(1, count + 1, MAILS_A_SEARCH))
        uids = [uid for a, b in windows for uid in client.search([f"{a}:{b}", "NOT", "DELETED"])]
        self._aside.open(str(self._validity), {str(uid) for uid in uids})
        return uids

    def _select(self, client: Any, *, readonly: bool = False) -> int:
        """Open the folder and return how many mails are in it."""
        try:
            selected = client.select_folder(_full_name(client, self.account.folder), readonly=readonly)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            hint = f"Check bounces.mailboxes.folder ({self.account.folder})."
            raise MailboxTrouble(f"{self.account.place}: {words(error)}.", lasting=True, hint=hint) from error
        if selected.get(b"UIDVALIDITY", 0) != self._validity:
            self._validity = selected.get(b"UIDVALIDITY", 0)
            self._sorted.clear()  # UIDs mean other mails now; what was taken already is known to the intake
        count: int = selected[b"EXISTS"]
        return count

    def _take(self, client: Any, uids: list[int], tally: Tally, stopped: Stopped) -> None:
        for group in self._groups(client, uids):
            if stopped.is_set():
                return
            large = len(group) == 1 and group[0][1] > self.account.max_message_bytes
            found = self._fetch(client, [uid for uid, _ in group], _BEGINNING if large else _WHOLE)
            for uid, _ in group:
                raw = next((v for k, v in found.get(uid, {}).items() if k.startswith(b"BODY[]")), None)
                if raw is not None:  # else somebody else has moved it meanwhile
                    self._take_one(uid, raw, large, tally)

    def _fetch(self, client: Any, uids: list[int], what: bytes) -> dict[int, dict[bytes, bytes]]:
        try:
            found: dict[int, dict[bytes, bytes]] = client.fetch(uids, [what])
        except BROKEN:
            if len(uids) == 1:
                self._breaks.over(uids[0])
            raise
        return found

    def _take_one(self, uid: int, raw: bytes, large: bool, tally: Tally) -> None:
        if large and not self._taker.takes_beginning(raw, tally):
            self._aside.put(str(uid))
            return
        disposition = self._taker.take(raw, tally)
        if disposition is None:
            self._aside.tried(str(uid))
        else:
            self._sorted[uid] = disposition

    def _groups(self, client: Any, uids: list[int]) -> Iterator[list[tuple[int, int]]]:
        """Yield UIDs with their sizes, so many together as are small enough to be fetched at once."""
        if not uids:
            return
        sizes = client.fetch(uids, [_SIZE])
        group: list[tuple[int, int]] = []
        for uid in uids:
            size = sizes.get(uid, {}).get(_SIZE)
            if size is None:
                continue
            alone = self._breaks.any or size > self.account.max_message_bytes
            if group and (alone or sum(s for _, s in group) + size > BYTES_A_FETCH):
                yield group
                group = []
            if alone:
                yield [(uid, size)]
            else:
                group.append((uid, size))
        if group:
            yield group

    def _move(self, client: Any, chunk: list[int]) -> None:
        """Move those of *chunk* that were taken, each into the folder of its kind."""
        by_folder: dict[str, list[int]] = defaultdict(list)
        for uid in chunk:
            if uid in self._sorted:
                by_folder[self._folders[self._sorted[uid]]].append(uid)
        for folder, uids in by_folder.items():
            try:
                self._make(client, folder)
                _move_into(client, folder, uids)
            except imaplib.IMAP4.abort:
                raise
            except imaplib.IMAP4.error as error:
                self._there.clear()
                said = f"{self.account.name}: mail cannot be moved into the folder {folder}: {words(error)}."
                raise MailboxTrouble(said, hint="Look whether the mailbox is full, and at the folder.") from error
            for uid in uids:
                del self._sorted[uid]

    def _make(self, client: Any, folder: str) -> None:
        if folder not in self._there and not client.folder_exists(folder):
            client.create_folder(folder)
            client.subscribe_folder(folder)
        self._there.add(folder)

    def _idle(self, seconds: float, stopped: Stopped) -> None:
        client, until = self._client, time.monotonic() + seconds
        client.idle()
        while not stopped.is_set() and time.monotonic() < until:
            said = client.idle_check(timeout=STOP_LOOK_SECONDS)
            if any(len(line) > 1 and line[1] == b"EXISTS" for line in said):
                break
        client.idle_done()


def _move_into(client: Any, folder: str, uids: list[int]) -> None:
    if client.has_capability("MOVE"):
        client.move(uids, folder)
        return
    client.copy(uids, folder)
    client.add_flags(uids, [rb"\Deleted"], silent=True)
    if client.has_capability("UIDPLUS"):  # without it nothing is expunged: that would take others' mail along
        client.uid_expunge(uids)


def _full_name(client: Any, name: str) -> str:
    """Return a folder's name as this server writes it: with its separator, below its prefix for personal folders."""
    if name.upper() == "INBOX":
        return name
    prefix, separator = "", "/"
    if client.has_capability("NAMESPACE"):
        personal = client.namespace().personal
        if personal:
            prefix, separator = personal[0]
    full = name.replace("/", separator) if separator else name
    return full if full.startswith(prefix) else prefix + full
