"""A stop reaches a program at any moment, also at the one at which it begins to wait for it."""

from __future__ import annotations

import subprocess
import sys

# What `Event.wait` does for a moment each time: hold the lock of the event, in the thread in which handlers run.
WAITS = """
import os, signal, threading, time
from newsletter.stopping import stop_on_signals
stop = threading.Event()
stop_on_signals(stop)
with stop._cond:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
        time.sleep(0.05)
print(stop.wait(10))
"""


def test_a_stop_that_comes_while_the_event_is_locked_is_heard() -> None:
    done = subprocess.run([sys.executable, "-c", WAITS], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
