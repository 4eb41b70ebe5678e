"""
What runs beside the sending of a worker, each in a thread of its own: looking into mailboxes, the receiver, retention,
the answering of what is asked for on the site, keeping the file of who is never mailed, and the sign that the worker
works.

None of them can hold up a send or one another. One that breaks is told once, and started again a little later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from newsletter.app import App
from newsletter.asked.answering import Answering
from newsletter.config.returning import Mailbox, Receiver
from newsletter.heartbeat import Pulse, keep_beating
from newsletter.personal_data.retention import keep_running
from newsletter.returning import make_receiver, watch_mailbox
from subscribers.errors import SubscribersError

RETRY_SECONDS = 30.0
END_SECONDS = 40.0
KEEP_SECONDS = 1.0

Run = Callable[[threading.Event], None]


@dataclass
class Service:
    """One thing that runs until it is told to stop, started again when it breaks."""

    name: str
    run: Run
    say: Callable[[str], None]
    retry_seconds: float = RETRY_SECONDS
    _trouble: str = field(default="")

    def keep_running(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.run(stop)
            except SubscribersError as error:
                self._tell(error.message + (f" {error.hint}" if error.hint else ""))
            except Exception as error:  # a fault of one service must not end the worker
                self._tell(f"{self.name} broke ({type(error).__name__}: {error}) and is started again.")
            stop.wait(self.retry_seconds)

    def _tell(self, words: str) -> None:
        if words != self._trouble:
            self._trouble = words
            self.say(words)


def services(app: App, say: Callable[[str], None], pulse: Pulse) -> list[Service]:
    """Return what the configuration asks for, what answers the site, and what every worker does; *pulse* is its own."""
    found = [Service("The file of who is never mailed", partial(_keep_never_mail, app, say), say)]
    found += watching(app, app.config.bounces.mailboxes, say)
    receiver = app.config.bounces.receiver
    if receiver is not None:
        found.append(Service("The receiver", partial(_receive, app, receiver, say), say))
    found.append(Service("The answering of requests", Answering(app, say).run, say))
    found.append(Service("The heartbeat", partial(keep_beating, app, pulse), say))
    found.append(Service("Retention", partial(keep_running, app, say), say))
    return found


def watching(app: App, mailboxes: Iterable[Mailbox], say: Callable[[str], None]) -> list[Service]:
    """Return what watches these mailboxes."""
    return [Service(f"Mailbox {config.name}", partial(_watch, app, config, say), say) for config in mailboxes]


def _watch(app: App, config: Mailbox, say: Callable[[str], None], stop: threading.Event) -> None:
    watch_mailbox(app, config, say).run(stop)


def _keep_never_mail(app: App, say: Callable[[str], None], stop: threading.Event) -> None:
    """Let the file follow the database: what the site and the sending write is there within a second or so."""
    told = False
    while not stop.is_set():
        kept = app.keeper.keep(now=app.now())
        if kept.set_aside is not None:
            say(f"{app.workspace.never_mail} was damaged and is written anew; the old one is {kept.set_aside}.")
        if kept.unknown and not told:
            say(f"{app.workspace.never_mail} knows more than the database, which was put back: newsletter db adopt")
            told = True
        stop.wait(KEEP_SECONDS)
    app.keeper.keep(now=app.now())


def _receive(app: App, config: Receiver, say: Callable[[str], None], stop: threading.Event) -> None:
    make_receiver(app, config, say).run(stop)


@contextmanager
def running(services: Iterable[Service], app: App, stop: threading.Event) -> Iterator[None]:
    """Run the services while the block runs; at its end they finish what they have in hand."""
    threads = [
        threading.Thread(target=service.keep_running, args=(stop,), name=service.name, daemon=True)
        for service in services
    ]
    if threads:
        app.intake  # noqa: B018  # made here once, not in each thread
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(END_SECONDS)
