"""
A Postfix that takes every mail and finds out later what becomes of it, as a provider's relay does.

What its members' server (Dovecot) refuses comes back as a delivery report to the envelope sender, by LMTP.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.peers.fixtures import Postfix, running_postfix

MEMBERS, BOUNCES = "members.example.org", "bounces.example.org"

_MAIN_CF = f"""
relay_domains = {MEMBERS} {BOUNCES}
transport_maps = regexp:{{folder}}/config/transports
virtual_alias_maps = inline:{{{{ {{{{ bounces@{BOUNCES} = b@{BOUNCES} }}}} }}}}
lmtp_destination_concurrency_limit = 10
lmtp_destination_recipient_limit = 1
local_header_rewrite_clients =
smtputf8_enable = no
"""

_MASTER_CF = """
lmtp unix - - n - - lmtp
retry unix - - n - - error
away unix - n n - 4 pipe
  flags=R user=nobody argv={python} {folder}/config/away.py {{port}} ${{{{sender}}}} ${{{{recipient}}}}
"""

# What a mail server does for somebody on holiday: RFC 3834, to the envelope sender, from nobody.
_AWAY = '''
import smtplib, sys
port, sender, recipient = sys.argv[1:4]
subject = next((l[9:].strip() for l in sys.stdin if l.lower().startswith("subject: ")), "")
answer = f"""From: {recipient}
To: {sender}
Subject: Automatic reply: {subject}
Auto-Submitted: auto-replied
Content-Type: text/plain; charset=utf-8

I am away until Monday and read no mail.
"""
with smtplib.SMTP("127.0.0.1", int(port)) as relay:
    relay.sendmail("<>", [sender], answer.encode())
'''


@contextmanager
def relaying_postfix(*, members_port: int, bounces_port: int) -> Iterator[Postfix]:
    """Start it; members whose names begin with ``away`` answer by themselves."""
    # One that any user may run: an environment's own is often in somebody's home.
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    members, bounces = MEMBERS.replace(".", r"\."), BOUNCES.replace(".", r"\.")
    transports = (
        f"/^away.*@{members}$/ away:\n"
        f"/@{members}$/ lmtp:inet:127.0.0.1:{members_port}\n"
        f"/@{bounces}$/ lmtp:inet:127.0.0.1:{bounces_port}\n"
    )
    master = _MASTER_CF.format(python=python, folder="{folder}")
    with running_postfix(_MAIN_CF, master, {"away.py": _AWAY, "transports": transports}) as postfix:
        yield postfix
