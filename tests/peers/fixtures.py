"""
Real servers on loopback, each with folders of its own, started when a test asks and stopped at the end.

A peer that is not installed skips the test with the reason; where ``CI=true`` it fails instead, so that nothing goes
untested unseen.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

IN_CI = os.environ.get("CI") == "true"
START_SECONDS = 30


def missing(peer: str) -> None:
    """Skip the test that needs *peer*; fail it in CI."""
    reason = f"{peer} is not installed: run `make test` as root on Debian, or `sh tests/peers/install.sh`"
    if IN_CI:
        pytest.fail(f"{reason} (in CI no peer may be missing)")
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(command: list[str], log: Path, *, stop: signal.Signals) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in the foreground; its words go to *log*."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def folder_for(owner: str | None) -> Iterator[Path]:
    """A folder outside pytest's own, which only its user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="peer-"))
    try:
        if owner is not None:
            shutil.chown(folder, owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server; the URL of its `postgres` database, without a driver's name."""
    with running_postgresql("fsync=off") as url:
        yield url


@contextmanager
def running_postgresql(*settings: str) -> Iterator[str]:
    """Start a PostgreSQL with these settings; yield the URL of its `postgres` database, without a driver's name."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(binaries[-1]) if binaries else shutil.which("initdb")
    if found is None:
        missing("PostgreSQL")
    folder_of_programs = Path(str(found)).parent
    owner = "postgres" if os.geteuid() == 0 else None
    become = ["setpriv", f"--reuid={owner}", f"--regid={owner}", "--init-groups", "--"] if owner else []
    with folder_for(owner) as folder:
        data, port = folder / "data", free_port()
        subprocess.run(
            [*become, str(found), "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        command = [*become, str(folder_of_programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
        for setting in ("listen_addresses=127.0.0.1", "max_connections=60", *settings):
            command += ["-c", setting]
        url = f"postgresql://tester@127.0.0.1:{port}/postgres"
        with running(command, folder / "log", stop=signal.SIGINT):
            wait_until(lambda: _answers(url), "PostgreSQL did not start")
            yield url


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """An empty database of a test's own, as `database.url` takes it."""
    with empty_database(postgresql_server) as url:
        yield url


@contextmanager
def empty_database(server: str) -> Iterator[str]:
    """Make a database on a server and drop it again; yield its URL, as `database.url` takes it."""
    name = f"test_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        # Sorted as people sort, which hides no comparison that should go by code points.
        locale = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-GB'"
        connection.execute(f'CREATE DATABASE "{name}" {locale}'.encode())
    yield server.replace("postgresql://", "postgresql+psycopg://").replace("/postgres", f"/{name}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix: where it listens, and the Maildir that it delivers ``*@example.org`` into."""

    port: int
    folder: Path

    def mail_of(self, local_part: str) -> list[Path]:
        """The mail delivered to one person, oldest first."""
        line = f"Delivered-To: {local_part}@example.org\n".encode()
        arrived = sorted((self.folder / "mail/all/new").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        return [path for path in arrived if line in path.read_bytes().partition(b"\n\n")[0] + b"\n"]

    @property
    def log(self) -> str:
        return (self.folder / "maillog").read_text(errors="replace")


UNKNOWN_LOCAL_PART = "gone"

_MAIN_CF = """
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
relay_domains =
virtual_mailbox_domains = example.org
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = regexp:{folder}/config/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_reject_unlisted_recipient = yes
message_size_limit = 1000000
"""

_MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


@pytest.fixture(scope="session")
def postfix() -> Iterator[Postfix]:
    """Postfix with a queue of its own. It knows every mailbox of example.org but ``gone``."""
    with running_postfix() as found:
        yield found


@contextmanager
def running_postfix(main: str = "", master: str = "", files: Mapping[str, str] | None = None) -> Iterator[Postfix]:
    """Start a Postfix with more lines of main.cf and master.cf, where ``{port}`` and ``{folder}`` are its own."""
    program = shutil.which("postfix", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing("Postfix")
    if os.geteuid() != 0:
        pytest.skip("Postfix can only be started by root")
    with folder_for(None) as folder:
        folder.chmod(0o755)
        found = Postfix(free_port(), folder)
        _furnish(found, Path(str(program)).parent, main, master)
        for name, text in (files or {}).items():
            (folder / "config" / name).write_text(text)
        command = [str(program), "-c", str(folder / "config")]
        try:
            # Not `start-fg`: its master takes a session of its own and outlives whoever is told to stop.
            started = subprocess.run([*command, "start"], capture_output=True, text=True, check=False, timeout=60)
            assert started.returncode == 0, started.stderr
            wait_until(lambda: listens(found.port), f"Postfix did not start: {started.stderr}")
            yield found
        finally:
            subprocess.run([*command, "stop"], capture_output=True, check=False, timeout=60)


def _furnish(postfix: Postfix, programs: Path, main: str, master: str) -> None:
    folder, user = postfix.folder, pwd.getpwnam("nobody")
    for name, owner in (("queue", None), ("data", "postfix"), ("mail", "nobody"), ("config", None)):
        (folder / name).mkdir()
        if owner is not None:
            shutil.chown(folder / name, owner)
    values = {"folder": folder, "sbin": programs, "uid": user.pw_uid, "gid": user.pw_gid, "port": postfix.port}
    (folder / "config" / "main.cf").write_text((_MAIN_CF + main).format(**values))
    (folder / "config" / "master.cf").write_text((_MASTER_CF + master).format(**values))
    known = f"if !/^{UNKNOWN_LOCAL_PART}@/\n/@example\\.org$/ all/\nendif\n"  # it allows no $1 here
    (folder / "config" / "mailboxes").write_text(known)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        missing("Chromium")
    return str(found)


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, in the version that the measuring tools beside the checkout name."""
    package = Path(__file__).resolve().parents[3] / "shared" / "tools" / "mail-audit" / "package.json"
    if not package.is_file():
        pytest.skip(f"{package} is not here: it names the version of axe-core that judges the pages")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: it fetches axe-core, which judges the pages")
    version = json.loads(package.read_text())["dependencies"]["axe-core"]
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-save", f"axe-core@{version}"]
    fetched = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    if fetched.returncode != 0:
        pytest.skip(f"axe-core cannot be fetched: {fetched.stderr[-300:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
