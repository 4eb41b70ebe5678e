"""
Sending to a real Postfix against `smtp-source` sending to it: what the mail server takes, we give; prints the ratio.

    python benchmarks/send_postfix.py [--copies 3000] [--connections 10] [--rounds 5] [--shared]

Goal: at least 0.95 in the median of five. Postfix queues each message durably before it answers, and delivers it into a
Maildir at the same time; its own log says how many. It has half of the cores and whoever sends the other half, as a
mail server stands on a machine of its own; `--shared` lets both take from all cores, where each microsecond that a
sender computes is one that the server lacks. Needs root and the Debian package postfix.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sending import free_port, prepare, send_frozen, source_rate, tool, wait_for

GOAL = 0.95
DRAIN_SECONDS = 120

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = {sbin}
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = mx.example.org
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
default_transport = error:nothing leaves this machine
virtual_mailbox_domains = example.org
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_connection_rate_limit = 0
"""
MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
error unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running server."""

    port: int
    folder: Path

    def delivered(self) -> int:
        return (
            (self.folder / "maillog").read_text(errors="replace").count("(delivered to maildir)") if self._logs else 0
        )

    @property
    def _logs(self) -> bool:
        return (self.folder / "maillog").exists()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=3_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shared", action="store_true", help="both on all cores")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("send_postfix: skipped, only root can start Postfix")
        return
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    servers, senders = (cores, cores) if options.shared or not half else (cores[:half], cores[half:])
    os.sched_setaffinity(0, servers)  # what is started has the cores of whoever starts it
    with postfix() as server:
        os.sched_setaffinity(0, senders)
        ratios = [one_round(server, options.copies, options.connections) for _ in range(options.rounds)]
    ratio = statistics.median(ratios)
    place = "on the same cores" if servers == senders else f"on {half} of {len(cores)} cores, the senders on the others"
    print(f"send_postfix: ratio {ratio:.2f} of smtp-source to the same Postfix {place} (median, goal {GOAL})")
    sys.exit(0 if ratio >= GOAL else 1)


def one_round(server: Postfix, copies: int, connections: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        size = prepare(Path(folder), copies, domain="example.org")
        reference = source_rate(server.port, copies, size, connections, to="person@example.org")
        before = _settled(server)
        ours = send_frozen(Path(folder), server.port, connections)
        taken = _settled(server) - before
    assert taken == copies, f"Postfix took {taken} of {copies}"
    print(f"smtp-source {reference:,.0f} a second; ours {ours}: ratio {ours.rate / reference:.2f}")
    return ours.rate / reference


def _settled(server: Postfix) -> int:
    """Wait until the queue is empty, so that no run pays for the one before; return what was delivered so far."""
    queues = [server.folder / "queue" / name for name in ("maildrop", "incoming", "active", "deferred")]
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        if not any(path.is_file() for queue in queues for path in queue.rglob("*")):
            time.sleep(0.5)  # the log is written by another process
            return server.delivered()
        time.sleep(0.2)
    raise SystemExit("Postfix does not get its queue empty")


@contextmanager
def postfix() -> Iterator[Postfix]:
    """Run a Postfix of our own on loopback that delivers into a Maildir."""
    program, folder = tool("postfix"), Path(tempfile.mkdtemp(prefix="postfix-"))
    server = Postfix(free_port(), folder)
    command = [program, "-c", str(folder / "config")]
    try:
        folder.chmod(0o755)
        for name in ("queue", "data", "mail", "config"):
            (folder / name).mkdir()
        user = pwd.getpwnam("nobody")
        shutil.chown(folder / "data", "postfix")
        shutil.chown(folder / "mail", "nobody")
        values = {"folder": folder, "sbin": Path(program).parent, "port": server.port}
        values |= {"uid": user.pw_uid, "gid": user.pw_gid}
        (folder / "config" / "main.cf").write_text(MAIN_CF.format(**values))
        (folder / "config" / "master.cf").write_text(MASTER_CF.format(**values))
        subprocess.run([*command, "start"], check=True, capture_output=True, timeout=60)
        wait_for(server.port)
        yield server
    finally:
        subprocess.run([*command, "stop"], check=False, capture_output=True, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
