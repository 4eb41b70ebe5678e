"""A PostgreSQL server of a benchmark's own, with the settings of a fresh installation; gone at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

_START_SECONDS = 30


@contextmanager
def throwaway_server() -> Iterator[str | None]:
    """Yield the URL of an empty database; None where no PostgreSQL is installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(programs[-1]) if programs else shutil.which("initdb")
    if found is None:
        yield None
        return
    owner = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    become = ["setpriv", f"--reuid={owner}", f"--regid={owner}", "--init-groups", "--"] if owner else []
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        if owner:
            shutil.chown(folder, owner)
        yield from _run(Path(found).parent, folder, become)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(programs: Path, folder: Path, become: list[str]) -> Iterator[str]:
    data = folder / "data"
    making = [*become, str(programs / "initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8"]
    subprocess.run([*making, "--no-locale"], check=True, capture_output=True, cwd=folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*become, str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*command, "-h", "127.0.0.1"], stdout=log, stderr=log)
    url = f"postgresql://tester@127.0.0.1:{port}/postgres"
    try:
        _wait_for(url)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # its fast way down: it waits for nobody
        server.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
