"""
Programs of others that verify DKIM signatures: dkimpy, OpenDKIM and rspamd. Each is asked what it thinks of a message.

dkimpy has its Ed25519 from a library that is not here, so that one primitive is lent to it from `cryptography`;
reading the fields and working out what was signed stays its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import types
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import dkim
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.peers.dns import DnsServer
from tests.peers.fixtures import folder_for, free_port, missing, running, wait_until

Records = dict[tuple[str, str], list[str]]


class Verifier(Protocol):
    """`keys` are TXT records; the answer says of each selector in a message whether its signature holds."""

    def verdicts(self, message: bytes, keys: Records) -> dict[str, bool]: ...


class DkimPy:
    def verdicts(self, message: bytes, keys: Records) -> dict[str, bool]:
        def lookup(name: bytes, timeout: int = 5) -> bytes | None:
            found = keys.get((name.decode().rstrip("."), "TXT"))
            return found[0].encode() if found else None

        found = {}
        for index, selector in enumerate(selectors_in(message)):
            try:
                found[selector] = bool(dkim.DKIM(message).verify(idx=index, dnsfunc=lookup))
            except dkim.DKIMException:
                found[selector] = False
        return found


class _LentVerifyKey:
    def __init__(self, encoded: bytes, encoder: object = None) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(b64decode(encoded))

    def verify(self, signed: bytes, signature: bytes) -> None:
        self._key.verify(signature, signed)


if not hasattr(dkim, "nacl"):
    dkim.nacl = types.SimpleNamespace(
        signing=types.SimpleNamespace(VerifyKey=_LentVerifyKey),
        encoding=types.SimpleNamespace(Base64Encoder=None),
        exceptions=types.SimpleNamespace(BadSignatureError=InvalidSignature, ValueError=ValueError),
    )


class OpenDkim:
    """Its test mode, offline: the keys stand in a file."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        (folder / "conf").write_text(f"Mode v\nSyslog no\nTestPublicKeys {folder / 'keys'}\n")

    def verdicts(self, message: bytes, keys: Records) -> dict[str, bool]:
        lines = [f"{name} {values[0]}\n" for (name, kind), values in keys.items() if kind == "TXT"]
        (self._folder / "keys").write_text("".join(lines))
        (self._folder / "message").write_bytes(message)
        words = [self._program, "-v", "-v", "-x", str(self._folder / "conf"), "-t", str(self._folder / "message")]
        said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        results = re.findall(r"dkim=(\w+)[^;]*?header\.s=([\w-]+)", said)
        return {selector: result == "pass" for result, selector in results}


class Rspamd:
    """Asked over HTTP; it looks up the keys in a DNS server of the test."""

    def __init__(self, port: int, dns: DnsServer) -> None:
        self._port, self._dns = port, dns

    def verdicts(self, message: bytes, keys: Records) -> dict[str, bool]:
        self._dns.records = {**self._dns.records, **keys}
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/checkv2", data=message)
        request.add_header("IP", "203.0.113.5")  # mail from this machine is not checked
        with urllib.request.urlopen(request, timeout=20) as answer:
            symbols = json.loads(answer.read())["symbols"]
        found = {}
        for symbol, holds in (("R_DKIM_ALLOW", True), ("R_DKIM_REJECT", False), ("R_DKIM_PERMFAIL", False)):
            for option in symbols.get(symbol, {}).get("options", []):
                found[option.partition(":s=")[2]] = holds
        return found


def selectors_in(message: bytes) -> list[str]:
    header = message.partition(b"\r\n\r\n")[0]
    fields = re.findall(rb"^DKIM-Signature:[^\r]*(?:\r\n[ \t][^\r]*)*", header, re.MULTILINE)
    return [re.search(rb"\bs=([^;\s]+)", field)[1].decode() for field in fields]  # type: ignore[index]


_RSPAMD = """
options {{
    pidfile = "{folder}/pid";
    filters = "dkim";
    dns {{ nameserver = ["127.0.0.1:{dns_port}:1"]; timeout = 5s; }}
    control_socket = "{folder}/control.sock mode=0600";
    cache_file = "{folder}/symbols.cache";
    history_file = "{folder}/history";
    dynamic_conf = "{folder}/dynamic";
    hs_cache_dir = "{folder}/";
    stats_file = "{folder}/stats.ucl";
    tempdir = "{folder}";
    url_tld = "{folder}/top-level-domains";
    local_addrs = [];
    explicit_modules = [];
}}
logging {{ type = "console"; level = "warning"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
dkim {{ trusted_only = false; }}
"""


@pytest.fixture(scope="session")
def dkimpy() -> DkimPy:
    return DkimPy()


@pytest.fixture(scope="session")
def opendkim() -> Iterator[OpenDkim]:
    program = shutil.which("opendkim", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing("OpenDKIM")
    with folder_for(None) as folder:
        yield OpenDkim(str(program), folder)


@pytest.fixture(scope="session")
def rspamd() -> Iterator[Rspamd]:
    """rspamd with its DKIM check alone, on a configuration of its own."""
    program = shutil.which("rspamd")
    if program is None:
        missing("rspamd")
    owner = "_rspamd" if os.geteuid() == 0 else None
    become = ["-u", owner, "-g", owner] if owner else ["--insecure"]
    with folder_for(owner) as folder, DnsServer({}) as dns:
        port = free_port()
        # Its own list of thousands takes half a minute to compile.
        (folder / "top-level-domains").write_text("org\ncom\nexample\n")
        configuration = folder / "rspamd.conf"
        configuration.write_text(_RSPAMD.format(folder=folder, port=port, dns_port=dns.port))
        found, command = Rspamd(port, dns), [str(program), "-f", "-c", str(configuration), *become]
        with running(command, folder / "log", stop=signal.SIGTERM):
            wait_until(lambda: _answers(found), "rspamd did not start")
            yield found


def _answers(rspamd: Rspamd) -> bool:
    try:
        return rspamd.verdicts(b"Subject: x\r\n\r\nx\r\n", {}) == {}
    except OSError:
        return False
