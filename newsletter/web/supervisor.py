"""
Two processes watched by a third: one that ends is said so and started again, a little later each time.

A stop is passed on and waited for, so that a send in progress finishes the copies it has begun. Another one is passed
on as well: somebody is in a hurry.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
STEADY_SECONDS = 60.0
STOP_SECONDS = 100.0  # a mail server may think that long over a copy that it has whole
LOOK_SECONDS = 0.2


def pause_before_restart(failures: int) -> float:
    """Return the seconds to wait after that many short lives in a row."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** max(0, failures - 1))


@dataclass
class Child:
    """One process: its name for people, how it is started, and how its lives went."""

    name: str
    command: Sequence[str]
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    restart_at: float = field(default=0.0)

    def start(self, now: float) -> None:
        self.process = subprocess.Popen(  # noqa: S603  # our own program
            list(self.command),
            pass_fds=self.pass_fds,
            process_group=0,  # a Ctrl-C reaches us alone, and we pass it on once
        )
        self.started = now

    def ended(self, now: float) -> int | None:
        """Return the exit code of a process that has just ended, and set the time of its next start."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        self.failures = 1 if now - self.started >= STEADY_SECONDS else self.failures + 1
        self.restart_at = now + pause_before_restart(self.failures)
        return code


class Supervisor:
    """Starts the children and keeps them going until `stop`."""

    def __init__(self, children: Sequence[Child], say: Callable[[str], None]) -> None:
        self.children = children
        self.say = say
        self._stopping = False

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Stop; also from the handler of a signal, which must not touch a lock."""
        again, self._stopping = self._stopping, True
        if again:
            self._terminate()

    def run(self) -> None:
        """Watch until SIGTERM or SIGINT, then end the children."""
        previous = {number: signal.signal(number, self.stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._stopping:
                self._look(time.monotonic())
                time.sleep(LOOK_SECONDS)
        finally:
            self._end()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _look(self, now: float) -> None:
        for child in self.children:
            code = child.ended(now)
            if code is not None:
                pause = child.restart_at - now
                self.say(f"{child.name} ended with code {code}; it is started again in {pause:.0f} s.")
            if child.process is None and now >= child.restart_at:
                child.start(now)

    def _terminate(self) -> None:
        for child in self.children:
            if child.process is not None:
                child.process.terminate()

    def _end(self) -> None:
        running = [child for child in self.children if child.process is not None]
        self._terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in running:
            assert child.process is not None
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.say(f"{child.name} did not stop within {STOP_SECONDS:.0f} s and is ended.")
                child.process.kill()
                child.process.wait()
