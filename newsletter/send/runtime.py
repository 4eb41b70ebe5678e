"""The process while it sends: its event loop, its interpreter's settings, its name, and what signals do."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

# The journal's thread must get the interpreter soon after its commit; the default of 5 ms is 50 messages.
SWITCH_INTERVAL_SECONDS = 0.0005
# Copies are freed by their reference counts; looking for cycles after every 700 objects takes 5 % of the time.
GARBAGE_THRESHOLDS = (500_000, 20, 100)


@lru_cache(maxsize=1)
def own_name() -> str:
    """Return this machine's name. The resolver is asked once: where it is slow, nothing waits for it again."""
    name = socket.getfqdn()
    return name if "." in name and name.isascii() else "localhost.localdomain"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


@contextmanager
def interpreter_for_sending() -> Iterator[None]:
    """Let threads change places quickly and look for garbage rarely, among new objects only."""
    import aiosmtplib  # noqa: F401  (takes 100 ms: now, and not while rows are in hand)

    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)


@contextmanager
def signals_drain(drain: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT call *drain*, where signals can be handled: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        loop.add_signal_handler(number, drain)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
