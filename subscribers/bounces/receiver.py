"""
A server that other mail servers hand returned mail to, by SMTP or LMTP.

It says 250 only when a mail is kept, and takes mail for our own addresses alone: no relay, and nothing bounces from
here. A mail ends at CR LF . CR LF and nowhere else, so that no second one can be smuggled in.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from subscribers.bounces.intake import Taken
from subscribers.bounces.mailboxes.account import Stopped
from subscribers.bounces.receiver_protocol import Door, Handler, Settings, new_door
from subscribers.bounces.receiver_rates import Rates
from subscribers.errors import DatabaseUnavailable, MailboxTrouble

TAKERS = 4
STOP_LOOK_SECONDS = 0.2
LAST_SECONDS = 20.0  # for mails that are being kept when the receiver is stopped
TAKE_SECONDS = 120.0
SOCKET_MODE = 0o660  # for the mail server, by its group


class Receiver:
    """
    The server; `run` serves until it is told to stop.

    Args:
        accepts: Whether an address is one of ours.
        take: Keeps one mail and the address that it came for; it commits, or raises DatabaseUnavailable.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        accepts: Callable[[str], bool],
        take: Callable[[bytes, str], Taken],
        say: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self.accepts = accepts
        self.port = settings.port
        self._take = take
        self._say = say
        self._trouble = ""

    def run(self, stopped: Stopped) -> None:
        """
        Serve until *stopped*; what is being kept by then is finished.

        Raises:
            MailboxTrouble: When it cannot listen.
        """
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd would log addresses
        asyncio.run(self._serve(stopped))

    async def _serve(self, stopped: Stopped) -> None:
        rates, doors = Rates(self.settings.limits), set[Door]()
        with ThreadPoolExecutor(TAKERS, thread_name_prefix="receive") as pool:
            handler = Handler(self.accepts, rates, lambda raw, to: self._keep(pool, raw, to))
            server = await self._listen(lambda: new_door(self.settings, handler, rates, doors))
            try:
                while not stopped.is_set():  # noqa: ASYNC110  (an event of threads)
                    await asyncio.sleep(STOP_LOOK_SECONDS)
            finally:
                server.close()
                await _let_go(doors)
                if self.settings.socket_path:
                    with suppress(OSError):
                        os.unlink(self.settings.socket_path)

    async def _listen(self, door: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        settings, loop = self.settings, asyncio.get_running_loop()
        try:
            if settings.socket_path:
                _make_way(settings.socket_path)
                server = await loop.create_unix_server(door, settings.socket_path)
                os.chmod(settings.socket_path, SOCKET_MODE)
                return server
            server = await loop.create_server(door, settings.bind, settings.port)
        except OSError as error:
            place = settings.socket_path or f"{settings.bind}:{settings.port}"
            words = error.strerror or str(error)
            hint = "Is it running twice? Else check [bounces.receiver]."
            raise MailboxTrouble(f"The receiver cannot listen on {place}: {words}.", hint=hint) from error
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _keep(self, pool: ThreadPoolExecutor, raw: bytes, address: str) -> bool:
        """Return whether a mail is kept. Whatever goes wrong, its sender keeps it and comes again."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TAKE_SECONDS):
                await loop.run_in_executor(pool, self._take, raw, address)
        except DatabaseUnavailable as error:
            self._tell(f"{error.message} Mail is kept by its sender meanwhile.")
        except TimeoutError:
            self._tell("A mail could not be kept in time; its sender keeps it meanwhile.")
        except Exception as error:  # a fault of the program must not lose a mail
            self._tell(f"A mail could not be read ({type(error).__name__}); its sender keeps it meanwhile.")
        else:
            if self._trouble:
                self._trouble = ""
                self._say("The receiver keeps mail again.")
            return True
        return False

    def _tell(self, words: str) -> None:
        if words != self._trouble:
            self._trouble = words
            self._say(f"Receiver: {words}")


def _make_way(path: str) -> None:
    """Take away a socket that nobody listens on any more; anything else in the way stays."""
    place = Path(path)
    if not place.exists():
        return
    if not stat.S_ISSOCK(place.stat().st_mode):
        raise OSError(errno.EEXIST, "something else is there")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            place.unlink()
        else:
            raise OSError(errno.EADDRINUSE, "another process listens there")


async def _let_go(doors: set[Door]) -> None:
    """Close what waits for a command; what is being kept gets its answer first."""
    until = time.monotonic() + LAST_SECONDS
    while doors and time.monotonic() < until:
        for door in list(doors):
            door.close_if_idle()
        await asyncio.sleep(0.05)
    for door in list(doors):
        door.abort()
