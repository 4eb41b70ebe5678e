"""The machine: Python, clock, disk space and how fast the disk keeps what it was told; decisions are pure functions."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from newsletter.doctor.findings import Finding, fail, ok, warn

OLDEST_PYTHON = (3, 11)
FAIL_BELOW_BYTES, WARN_BELOW_BYTES = 100 * 2**20, 2**30
FSYNC_SECONDS = 0.25
SLOW_FSYNCS_PER_SECOND = 50
RELEASED = datetime(2026, 11, 1, tzinfo=UTC)  # a clock before this is wrong
CLOCK_SECONDS = 120
CLOCK_FIX = "Set the clock, and let it be kept by NTP: timedatectl set-ntp true"
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs"})


def check_machine(workspace: Path, now: datetime, *, connections: int | None = None) -> Iterator[Finding]:
    """
    Look at the machine that the workspace is on.

    Args:
        connections: To all relays together, for what the disk makes of them; null while the configuration is unread.
    """
    yield judge_python(sys.version_info[:3])
    yield judge_clock(now, _newest_file(workspace))
    yield judge_space(shutil.disk_usage(workspace).free)
    yield _judge_disk(workspace, connections)
    mounts = Path("/proc/mounts")
    if mounts.is_file():
        yield judge_file_system(workspace, mounts.read_text(errors="replace"))


def judge_python(version: tuple[int, ...]) -> Finding:
    text = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        return fail("python", f"Python {text} is too old.", "Install Python 3.11 or newer.")
    return ok("python", f"Python {text}")


def judge_clock(now: datetime, newest_file: datetime | None) -> Finding:
    """A clock that is behind signs mail with dates of the past and starts schedules late."""
    if now < RELEASED:
        return fail("clock", f"The clock says {now:%Y-%m-%d}, before this program was written.", CLOCK_FIX)
    if newest_file is not None and (newest_file - now).total_seconds() > CLOCK_SECONDS:
        return warn(
            "clock", f"A file of the workspace is dated {newest_file:%Y-%m-%d %H:%M}, in the future.", CLOCK_FIX
        )
    return ok("clock", f"{now:%Y-%m-%d %H:%M} UTC")


def judge_clock_beside(now: datetime, theirs: datetime, who: str) -> Iterator[Finding]:
    """Compare with the clock of another machine; only a difference is told."""
    seconds = (now - theirs).total_seconds()
    if abs(seconds) > CLOCK_SECONDS:
        way = "ahead of" if seconds > 0 else "behind"
        yield warn("clock", f"The clock is {abs(seconds) / 60:,.0f} minutes {way} that of {who}.", CLOCK_FIX)


def judge_space(free_bytes: int) -> Finding:
    text = f"{free_bytes / 2**30:.1f} GB free"
    if free_bytes < FAIL_BELOW_BYTES:
        return fail("disk space", f"Only {free_bytes / 2**20:.0f} MB free.", "Free some space before you send.")
    if free_bytes < WARN_BELOW_BYTES:
        return warn("disk space", text, "Free some space soon; an issue to 100,000 people takes about 100 MB.")
    return ok("disk space", text)


def judge_fsync(per_second: float, connections: int | None = None) -> Finding:
    """
    Say how fast an issue can go at most.

    Each connection has one message in hand and waits for one durable write before its end leaves; what all of them
    wait for is written together.
    """
    text = f"{per_second:,.0f} durable writes a second"
    if connections is not None:
        bound = per_second * connections
        text += f"; with {connections} connections an issue goes at {bound:,.0f} messages a second at most"
    if per_second < SLOW_FSYNCS_PER_SECOND:
        return warn("disk speed", f"{text}.", "Put the workspace on an SSD, or allow more connections.")
    return ok("disk speed", f"{text}.")


def judge_file_system(workspace: Path, mounts: str) -> Finding:
    """SQLite's locks do not hold on network file systems."""
    kind = _file_system(workspace, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        return fail("file system", f"The workspace is on {kind}.", "Put it on a local disk, or use PostgreSQL.")
    return ok("file system", kind or "unknown")


def _file_system(path: Path, mounts: str) -> str:
    fields = [line.split(" ") for line in mounts.splitlines() if line.count(" ") >= 3]
    above = [(f[1], f[2]) for f in fields if path.is_relative_to(f[1].replace("\\040", " "))]
    return max(above, key=lambda mount: len(mount[0]), default=("", ""))[1]


def _newest_file(workspace: Path) -> datetime | None:
    times = [p.stat().st_mtime for p in workspace.iterdir() if p.is_file()]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def _judge_disk(workspace: Path, connections: int | None) -> Finding:
    try:
        return judge_fsync(measure_fsync(workspace), connections)
    except OSError as error:
        return fail("disk speed", f"Nothing can be written here: {error.strerror}.", "Check owner, mode and space.")


def measure_fsync(folder: Path, *, seconds: float = FSYNC_SECONDS) -> float:
    """Return how often in a second 4 kB can be written so that they survive a power cut."""
    with tempfile.TemporaryFile(dir=folder) as file:
        page, count, start = b"\0" * 4096, 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
            count += 1
        return count / (time.perf_counter() - start)
