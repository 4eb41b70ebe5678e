"""
What comes back, end to end: a real Postfix finds out late that members are gone, full or away, and says so.

Nobody is lost to a wrong guess: after one issue only those who complained, after a second only those who are gone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import smtplib
import subprocess
import sys
from collections import Counter
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from newsletter.cli.main import cli
from tests.peers.dovecot import PASSWORD, running_dovecot
from tests.peers.fixtures import Postfix, free_port, listens, wait_until
from tests.peers.relaying import BOUNCES, MEMBERS, relaying_postfix
from tests.send.conftest import RunningSink

FEED = Path(__file__).parent.parent.parent / "docs" / "tutorial" / "news.xml"
MAILBOX_USER = f"b@{BOUNCES}"
KINDS = {"gone": 40, "full": 10, "away": 10, "cross": 5, "well": 135}
PEOPLE = {kind: [f"{kind}{n}@{MEMBERS}" for n in range(count)] for kind, count in KINDS.items()}
LATER = ("faketime", "-f", "+4d")

CONFIG = """
[bounces]
domain = "{bounces}"

[[bounces.mailboxes]]
name = "by-imap"
host = "127.0.0.1"
port = {imap}
username = "{user}"
password = "{password}"

[[bounces.mailboxes]]
name = "by-pop3"
protocol = "pop3"
host = "127.0.0.1"
port = {pop3}
username = "{user}"
password = "{password}"
delete = true
"""

pytestmark = pytest.mark.journey


@pytest.fixture
def newsletter(tmp_path: Path):
    """Run the command in a folder of its own, perhaps at another time, and return its JSON or its text."""

    def newsletter(*words: str, code: int = 0, at: tuple[str, ...] = ()) -> Any:
        command = [*at, sys.executable, "-m", "newsletter", "--workspace", "ws", *words]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NEWSLETTER")}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if "--json" in words else done.stdout + done.stderr

    return newsletter


def begin(tmp_path: Path, relay: Postfix | RunningSink, config: str, addresses: list[str]) -> None:
    """Make a workspace with everybody on one list, and posts to tell of."""

    def run(*words: str) -> None:  # in this process, which is quicker
        done = CliRunner().invoke(cli, ["--workspace", str(tmp_path / "ws"), *words])
        assert done.exit_code == 0, f"{words}: {done.output} {done.exception}"

    run(
        "init", str(tmp_path / "ws"), "--name", "Vale", "--from-address", "news@example.org",
        "--postal-address", "1 High Street", "--web-url", "https://news.example.org", "--smtp-port", str(relay.port),
    )  # fmt: skip
    path = tmp_path / "ws" / "config.toml"
    text = "\n".join(line for line in path.read_text().splitlines() if line != "[bounces]")
    path.write_text(text + config)
    (tmp_path / "people.csv").write_text("address\n" + "\n".join(addresses) + "\n")
    run("lists", "create", "members")
    people = ("--list", "members", "--basis", "consent", "--evidence", "forms")
    run("subscribers", "import", str(tmp_path / "people.csv"), *people)
    run("source", "add", "feed", str(FEED), "--name", "news")
    run("source", "fetch")


def send(newsletter, slug: str, at: tuple[str, ...] = ()) -> dict[str, Any]:
    newsletter("issue", "draft", "--slug", slug, "--include", "1", at=at)
    newsletter("audience", "set", slug, "--list", "members", at=at)
    newsletter("issue", "send", slug, "--yes", at=at)
    status: dict[str, Any] = newsletter("issue", "status", slug, "--json", at=at)
    return status


def complain(port: int, mail: bytes) -> None:
    """Report a mail as a feedback loop does: to the one address it knows, with the mail as it was delivered."""
    head, _, body = mail.partition(b"\n\n")
    subject = message_from_bytes(mail)["Subject"]
    report = (
        (
            f"From: feedback@provider.example\nTo: bounces@{BOUNCES}\nSubject: FW: {subject}\n"
            'MIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary="fb"\n\n'
            "--fb\nContent-Type: text/plain\n\nThis is an abuse report for a mail that came from your host.\n"
            "--fb\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: Loop/1\nVersion: 1\n"
            "\n--fb\nContent-Type: message/rfc822\n\n"
        ).encode()
        + head
        + b"\n\n"
        + body
        + b"\n--fb--\n"
    )
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as relay:
        relay.sendmail("feedback@provider.example", [f"bounces@{BOUNCES}"], report)


def verdicts(newsletter, slug: str) -> dict[str, set[str]]:
    """What came back about one issue: addresses by kind and class, each at most once."""
    rows = newsletter("bounces", "list", "--json", "--issue", slug)
    found: dict[str, set[str]] = {}
    for row in rows:
        key = row["class"] if row["kind"] == "bounce" else row["kind"]
        assert row["address"] not in found.setdefault(key, set()), f"{row['address']} twice as {key}"
        found[key].add(row["address"])
    return found


def suppressed(newsletter) -> set[str]:
    return {row["address"] for row in newsletter("suppressions", "list", "--json")}


def test_verdicts_of_two_issues_are_exactly_what_happened(newsletter, tmp_path: Path) -> None:
    """Two hundred members: 40 gone, 10 full, 10 away, 5 complain; the second issue goes four days later."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed: sh tests/peers/install.sh")
    with (
        running_dovecot() as dovecot,
        relaying_postfix(members_port=dovecot.lmtp, bounces_port=dovecot.lmtp) as postfix,
    ):
        dovecot.add(*PEOPLE["well"], *PEOPLE["cross"], MAILBOX_USER)
        dovecot.add(*PEOPLE["full"], quota="bytes=500")
        config = CONFIG.format(
            bounces=BOUNCES, imap=dovecot.imap, pop3=dovecot.pop3, user=MAILBOX_USER, password=PASSWORD
        )
        begin(tmp_path, postfix, config, [a for addresses in PEOPLE.values() for a in addresses])

        def arrived(reports: int) -> None:
            what = f"not all came back: {Counter(x[:40] for x in postfix.log.splitlines())}\n{postfix.log[-3000:]}"
            wait_until(lambda: len(dovecot.mails(MAILBOX_USER)) >= reports, what)

        # The first issue: the relay takes all of it, and what it cannot deliver comes back as mail.
        status = send(newsletter, "first")
        assert (status["planned"], status["sent"]) == (200, 200)
        arrived(60)
        for person in PEOPLE["cross"]:
            wait_until(lambda person=person: bool(dovecot.mails(person)), f"{person} got nothing")
            [mail] = dovecot.mails(person)
            complain(postfix.port, mail)
        arrived(65)
        [looked] = newsletter("bounces", "fetch", "by-imap", "--json")
        assert (looked["processed"], looked["autoreply"], looked["unknown"], looked["reply"]) == (55, 10, 0, 0)
        assert dovecot.mails(MAILBOX_USER) == []
        assert len(dovecot.mails(MAILBOX_USER, "Autoreply")) == 10
        assert verdicts(newsletter, "first") == {
            "hard": set(PEOPLE["gone"]),
            "soft": set(PEOPLE["full"]),
            "autoreply": set(PEOPLE["away"]),
            "complaint": set(PEOPLE["cross"]),
        }
        assert suppressed(newsletter) == set(PEOPLE["cross"])

        # The second, four days on; this time the mailbox is read by POP3.
        status = send(newsletter, "second", at=LATER)
        assert (status["planned"], status["sent"]) == (195, 195)
        arrived(60)
        [looked] = newsletter("bounces", "fetch", "by-pop3", "--json", at=LATER)
        assert (looked["processed"], looked["autoreply"], looked["unknown"], looked["reply"]) == (50, 10, 0, 0)
        assert dovecot.mails(MAILBOX_USER) == []
        assert verdicts(newsletter, "second") == {
            "hard": set(PEOPLE["gone"]),
            "soft": set(PEOPLE["full"]),
            "autoreply": set(PEOPLE["away"]),
        }
        assert suppressed(newsletter) == {*PEOPLE["cross"], *PEOPLE["gone"]}


RECEIVING = """
[bounces]
domain = "{bounces}"

[bounces.receiver]
port = {port}
"""


def test_a_mail_server_hands_reports_to_the_worker(newsletter, tmp_path: Path) -> None:
    """By LMTP, beside the sending; what is not ours is refused, and while nothing listens Postfix keeps the mail."""
    port = free_port()
    with running_dovecot() as dovecot, relaying_postfix(members_port=dovecot.lmtp, bounces_port=port) as postfix:
        dovecot.add(*PEOPLE["well"][:2])
        config = RECEIVING.format(bounces=BOUNCES, port=port)
        begin(tmp_path, postfix, config, [*PEOPLE["well"][:2], *PEOPLE["gone"][:2]])
        send(newsletter, "first")
        wait_until(lambda: postfix.log.count("status=deferred") == 2, f"nothing was deferred: {postfix.log[-3000:]}")
        words = [sys.executable, "-m", "newsletter", "--workspace", "ws", "work"]
        with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as worker:
            wait_until(lambda: listens(port), "the receiver does not listen")
            with smtplib.LMTP("127.0.0.1", port, timeout=20) as talk:
                talk.ehlo()
                talk.mail("<>")
                assert talk.rcpt("chair@example.org")[0] == 550
            subprocess.run(["postqueue", "-c", str(postfix.folder / "config"), "-f"], check=True, timeout=20)
            wait_until(lambda: "250 2.0.0 Kept" in postfix.log, f"nothing was kept: {postfix.log[-3000:]}")
            wait_until(lambda: postfix.log.count("250 2.0.0 Kept") == 2, "one is missing")
            worker.send_signal(signal.SIGTERM)
            _, said = worker.communicate(timeout=60)
        assert (worker.returncode, "Traceback" in said) == (0, False)
        assert verdicts(newsletter, "first") == {"hard": set(PEOPLE["gone"][:2])}
        assert suppressed(newsletter) == set()
