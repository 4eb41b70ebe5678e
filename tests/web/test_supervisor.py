"""Two processes, watched."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from newsletter.web.supervisor import Child, Supervisor, pause_before_restart

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def supervise(children: list[Child], said: list[str], during: object) -> None:
    """Run a supervisor in this thread while *during* runs in another, then stop it."""
    supervisor = Supervisor(children, said.append)

    def act() -> None:
        during()  # type: ignore[operator]
        supervisor.stop()

    thread = threading.Thread(target=act)
    thread.start()
    supervisor.run()
    thread.join()


def wait_for(condition: object, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_the_pause_doubles_up_to_a_minute() -> None:
    assert [pause_before_restart(n) for n in (1, 2, 3, 10, 1000)] == [1, 2, 4, 60, 60]


def test_a_child_that_dies_is_said_and_started_again_and_the_other_goes_on() -> None:
    said: list[str] = []
    children = [Child("The site", SLEEP), Child("The worker", SLEEP)]

    def kill_one() -> None:
        wait_for(lambda: all(c.process for c in children))
        first, other = (c.process.pid for c in children if c.process)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: children[0].process and children[0].process.pid != first)
        assert children[1].process
        assert children[1].process.pid == other

    supervise(children, said, kill_one)
    assert len(said) == 1
    assert "The site ended with code -9" in said[0]


def test_a_stop_ends_the_children_gently(tmp_path: Path) -> None:
    mark = tmp_path / "stopped"
    ready = tmp_path / "ready"
    program = (
        "import pathlib, signal, sys, time\n"
        f"def end(*_): pathlib.Path({str(mark)!r}).touch(); sys.exit(0)\n"
        f"signal.signal(signal.SIGTERM, end); pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)"
    )
    supervise([Child("The worker", [sys.executable, "-c", program])], [], lambda: wait_for(ready.exists))
    assert mark.exists()


def test_another_stop_is_passed_on_as_well(tmp_path: Path) -> None:
    """The worker lets copies finish at the first, and drops its connections at the next."""
    once, ready = tmp_path / "once", tmp_path / "ready"
    program = (
        "import pathlib, signal, sys, time\n"
        f"once = pathlib.Path({str(once)!r})\n"
        "def end(*_): sys.exit(0) if once.exists() else once.touch()\n"
        f"signal.signal(signal.SIGTERM, end); pathlib.Path({str(ready)!r}).touch()\n"
        "while True: time.sleep(0.05)"
    )
    said: list[str] = []
    supervisor = Supervisor([Child("The worker", [sys.executable, "-c", program])], said.append)

    def act() -> None:
        wait_for(ready.exists)
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(once.exists)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=act)
    thread.start()
    begun = time.monotonic()
    supervisor.run()
    thread.join()
    assert time.monotonic() - begun < 20
    assert said == []
