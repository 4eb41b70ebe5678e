"""
SIGTERM and Ctrl-C as an event that a program waits for.

A handler runs in the middle of whatever the main thread does. Where that waits for the very event, it may hold the
event's lock at the moment: to set it there and then would wait for a lock that only the interrupted code gives back.
"""

from __future__ import annotations

import _thread
import signal
import threading
from types import FrameType


def stop_on_signals(stop: threading.Event) -> None:
    """Have SIGTERM and SIGINT set *stop*, from a thread that takes no lock to begin."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        _thread.start_new_thread(stop.set, ())

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
