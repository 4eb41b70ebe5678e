"""A Dovecot of a test session's own on loopback: IMAP, POP3 and LMTP, with people that tests add."""

from __future__ import annotations

import grp
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.peers.fixtures import folder_for, free_port, listens, missing, running, wait_until

PASSWORD = "open-sesame"
MAIL_USER = "nobody"
PEOPLE = 1000

_CONF = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
instance_name = {name}
protocols = imap pop3 lmtp
listen = 127.0.0.1
ssl = {ssl}
{certificate}
disable_plaintext_auth = no
auth_mechanisms = plain
auth_username_format = %Lu
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%Lu
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
first_valid_gid = 1
mail_fsync = never
recipient_delimiter = +
mail_plugins = quota
pop3_uidl_format = %g
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%Lu {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%Lu {folder}/users
}}
plugin {{
  quota = maildir:User quota
  quota_rule = *:storage=100M
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
  service_count = 0
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
  service_count = 0
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
service anvil {{
  client_limit = 500
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  client_limit = 500
}}
"""


@dataclass(frozen=True, slots=True)
class Dovecot:
    """A running Dovecot: its ports, and its folder."""

    folder: Path
    imap: int
    imaps: int
    pop3: int
    pop3s: int
    lmtp: int
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(PEOPLE)))

    def add(self, *names: str, quota: str = "") -> None:
        """Make people known, all with the same password; Dovecot looks at its file again a second later."""
        extra = f"userdb_quota_rule=*:{quota}" if quota else ""
        with (self.folder / "users").open("a") as file:
            file.writelines(f"{name}:{PASSWORD}::::::{extra}\n" for name in names)
        time.sleep(1.1)

    def somebody(self) -> str:
        """Return a person whom no test has used yet."""
        return f"person{next(self._numbers)}@example.org"

    def maildir(self, name: str) -> Path:
        return self.folder / "mail" / name

    def put(self, name: str, mails: list[bytes]) -> None:
        """Lay mails into somebody's inbox, as a delivery would."""
        for part in ("tmp", "new", "cur"):
            (self.maildir(name) / part).mkdir(parents=True, exist_ok=True)
        start = len(list((self.maildir(name) / "new").iterdir()))
        for number, mail in enumerate(mails, start):
            (self.maildir(name) / "new" / f"{1_700_000_000 + number}.M{number}P1.test").write_bytes(mail)
        for path in (self.maildir(name), *self.maildir(name).rglob("*")):
            shutil.chown(path, MAIL_USER)

    def put_often(self, name: str, mail: bytes, count: int) -> None:
        """Lay the same mail into somebody's inbox many times over; on the disk it is there once."""
        self.put(name, [mail])
        [first] = (self.maildir(name) / "new").iterdir()
        for number in range(1, count):
            os.link(first, first.with_name(f"{1_700_000_000 + number}.M{number}P1.test"))

    def mails(self, name: str, folder: str = "") -> list[bytes]:
        """Return what is in one folder of somebody, whether seen or not."""
        root = self.maildir(name) / (f".{folder}" if folder else "")
        return [path.read_bytes() for part in ("new", "cur") for path in sorted(root.glob(f"{part}/*"))]

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """Dovecot without a certificate: passwords go in the clear, on loopback."""
    with running_dovecot() as found:
        yield found


@contextmanager
def running_dovecot(certificate: Path | None = None) -> Iterator[Dovecot]:
    """Start a Dovecot; with a certificate it offers TLS on all ports and on those of its own."""
    program = shutil.which("dovecot", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing("Dovecot")
    if os.geteuid() != 0:
        pytest.skip("Dovecot can only be started by root here")
    with folder_for(None) as folder:
        folder.chmod(0o755)
        for name in ("run", "state", "mail"):
            (folder / name).mkdir()
        shutil.chown(folder / "mail", MAIL_USER)
        people = (f"person{number}@example.org:{PASSWORD}::::::\n" for number in range(PEOPLE))
        (folder / "users").write_text("".join(people))
        found = Dovecot(folder, *(free_port() for _ in range(5)))
        group = next(g.gr_name for g in grp.getgrall() if g.gr_name in ("nogroup", "nobody"))
        lines = f"ssl_cert = <{certificate}\nssl_key = <{certificate}" if certificate else ""
        ports = {name: getattr(found, name) for name in ("imap", "imaps", "pop3", "pop3s", "lmtp")}
        conf = _CONF.format(
            folder=folder, name=folder.name, ssl="yes" if certificate else "no", certificate=lines,
            user=MAIL_USER, group=group, **ports,
        )  # fmt: skip
        (folder / "dovecot.conf").write_text(conf)
        command = [str(program), "-F", "-c", str(folder / "dovecot.conf")]
        with running(command, folder / "out", stop=signal.SIGTERM) as process:
            wait_until(lambda: listens(found.lmtp) and listens(found.imap), f"Dovecot did not start: {folder}")
            assert process.poll() is None
            yield found
