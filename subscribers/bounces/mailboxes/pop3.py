"""
A mailbox by POP3: each mail is read once, known by its UIDL; only what was understood and kept is ever deleted.

POP3 has no folders. What is not deleted stays on the server and is remembered, so that it is not read at each look. A
mail is remembered before it is deleted: however the connection ends, none is lost and none deleted unread.
"""

from __future__ import annotations

from collections.abc import Iterator

from subscribers.bounces.intake import Disposition
from subscribers.bounces.mailboxes.account import DAMAGED, Account, Memory, Stopped, Tally
from subscribers.bounces.mailboxes.aside import Aside
from subscribers.bounces.mailboxes.breaks import Breaks
from subscribers.bounces.mailboxes.connecting import broken
from subscribers.bounces.mailboxes.pop3_session import Pop3Session, Refused, open_session
from subscribers.bounces.mailboxes.taking import BEGINNING_BYTES, Taker
from subscribers.errors import MailboxTrouble

MAILS_A_SESSION = 500  # what is deleted in a session is deleted at its end, and the server locks the mailbox so long
MOST_MAILS = 1_000_000
LINES_OF_A_BEGINNING = 5_000
UNDERSTOOD = (Disposition.PROCESSED, Disposition.AUTOREPLY)
CUT = (OSError, EOFError, ValueError)

Listing = list[tuple[int, str, int]]  # number, UIDL, bytes


class Pop3Mailbox:
    """The one folder of a POP3 server."""

    def __init__(self, account: Account, taker: Taker, memory: Memory) -> None:
        self.account = account
        self._taker = taker
        self._aside = Aside(memory)
        self._breaks = Breaks()

    def look(self, tally: Tally, stopped: Stopped) -> None:
        """Take what is new, one session after the other; a connection that breaks is opened again."""
        self._breaks = Breaks()
        more = True
        while more and not stopped.is_set():
            before, session = tally.taken.total(), open_session(self.account)
            try:
                more = self._pass(session, tally, stopped)
            except CUT as error:
                if not self._breaks.go_on(progress=tally.taken.total() > before):
                    raise broken(self.account, error) from error
            except Refused as error:
                raise broken(self.account, error) from error
            finally:
                session.close()
                self._aside.save()

    def wait(self, seconds: float, stopped: Stopped) -> None:
        stopped.wait(seconds)

    def check(self) -> str:
        session = open_session(self.account)
        try:
            count = len(self._listing(session))
        except (*CUT, Refused) as error:
            raise broken(self.account, error) from error
        finally:
            session.close()
        deletes = "what was understood is deleted" if self.account.delete else "nothing is deleted"
        return f"holds {count} mails (UIDL, {deletes})"

    def close(self) -> None:
        """Nothing is kept open between two looks: the server locks the mailbox meanwhile."""

    def _pass(self, session: Pop3Session, tally: Tally, stopped: Stopped) -> bool:
        """Take the mails of one session and delete what may be; return whether there are more."""
        listing = self._listing(session)
        self._aside.open("pop3", {uidl for _, uidl, _ in listing})
        new = [m for m in listing if self._aside.result(m[1]) is None and not self._aside.holds(m[1])]
        passed_over = [m for m in new if self._breaks.passes_over(m[1])]
        todo = sorted((m for m in new if m not in passed_over), key=lambda m: self._breaks.of(m[1]))
        for number, uidl, size in todo[:MAILS_A_SESSION]:
            if stopped.is_set():
                break
            if self._aside.result(uidl) is None:  # a second mail of one name is the same mail
                self._take(session, number, uidl, size, tally)
        self._aside.save()
        for number, uidl, _ in listing if self.account.delete else ():
            if self._aside.result(uidl) in UNDERSTOOD:
                session.command(f"DELE {number}")
        session.command("QUIT")  # only now the server deletes
        more = len(todo) > MAILS_A_SESSION
        if passed_over and not more:
            tally.left[DAMAGED] += len(passed_over)
        return more

    def _take(self, session: Pop3Session, number: int, uidl: str, size: int, tally: Tally) -> None:
        large = size > self.account.max_message_bytes
        try:
            raw = _beginning(session, number) if large else _whole(session, number, self.account.max_message_bytes)
        except Refused:
            self._aside.tried(uidl)  # the server cannot hand out this one; the next may be well
            tally.left[DAMAGED] += 1
            return
        except CUT:
            self._breaks.over(uidl)
            raise
        if large and not self._taker.takes_beginning(raw, tally):
            self._aside.put(uidl)
            return
        disposition = self._taker.take(raw, tally)
        if disposition is None:
            self._aside.tried(uidl)
        else:
            self._aside.took(uidl, Disposition.UNKNOWN if large else disposition)  # one not wholly read is kept

    def _listing(self, session: Pop3Session) -> Listing:
        try:
            session.command("UIDL")
        except Refused as error:
            hint = "Use IMAP, or another provider."
            raise MailboxTrouble(f"{self.account.place} has no UIDL: {error}", lasting=True, hint=hint) from None
        names = dict(_pairs(session))
        session.command("LIST")
        sizes = dict(_pairs(session))
        return [(n, name, int(sizes[n])) for n, name in sorted(names.items()) if sizes.get(n, "").isdigit()]


def _pairs(session: Pop3Session) -> Iterator[tuple[int, str]]:
    for count, line in enumerate(session.lines()):
        number, _, rest = line.decode("ascii", "replace").strip().partition(" ")
        if count > MOST_MAILS or not number.isdigit() or not rest:
            raise OSError("the server sends a list that is none")
        yield int(number), rest.split()[0][:100]


def _whole(session: Pop3Session, number: int, most_bytes: int) -> bytes:
    session.command(f"RETR {number}")
    return session.text(most_bytes * 2)  # sizes of POP3 are often those of the file, with other line ends


def _beginning(session: Pop3Session, number: int) -> bytes:
    session.command(f"TOP {number} {LINES_OF_A_BEGINNING}")
    parts, size = [], 0
    for piece in session.lines():
        if size < BEGINNING_BYTES:
            parts.append(piece)
        size += len(piece)
    return b"".join(parts)[:BEGINNING_BYTES]
