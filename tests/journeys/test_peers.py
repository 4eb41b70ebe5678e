"""Whole commands against the servers that people run: Postfix takes the mail, PostgreSQL keeps the list."""

from __future__ import annotations

import json
import os
import smtplib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.journey


@pytest.fixture
def newsletter(tmp_path: Path):
    """Run the command in a folder of its own and return its JSON, or its text."""

    def newsletter(*words: str, code: int = 0, **environ: str) -> Any:
        command = [sys.executable, "-m", "newsletter", *words]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NEWSLETTER")} | environ
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if "--json" in words else done.stdout + done.stderr

    return newsletter


def test_postfix_takes_mail_for_known_mailboxes_only(postfix) -> None:
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=10) as relay:
        relay.sendmail("news@example.org", ["anna@example.org"], b"Subject: Hello\r\n\r\nHello\r\n")
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            relay.sendmail("news@example.org", ["gone@example.org"], b"Subject: Hello\r\n\r\nHello\r\n")
    assert refused.value.recipients["gone@example.org"][0] == 550
    deadline = time.monotonic() + 10
    while not postfix.mail_of("anna") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(postfix.mail_of("anna")) == 1, postfix.log


def test_doctor_sees_a_relay_that_answers(newsletter, postfix, tmp_path: Path) -> None:
    newsletter("init", str(tmp_path / "ws"), "--smtp-port", str(postfix.port))
    report = newsletter("--workspace", str(tmp_path / "ws"), "doctor", "--json")
    assert {"check": "relay", "level": "ok"}.items() <= next(f for f in report if f["check"] == "relay").items()


def test_a_workspace_can_live_on_postgresql(newsletter, postgresql_url: str, tmp_path: Path) -> None:
    ws, url = str(tmp_path / "ws"), {"NEWSLETTER__DATABASE__URL": postgresql_url}
    newsletter("init", ws, **url)
    assert not (tmp_path / "ws" / "newsletter.sqlite3").exists()
    assert newsletter("--workspace", ws, "db", "upgrade", "--json", **url)["changed"] is False
    report = newsletter("--workspace", ws, "doctor", "--json", **url)
    assert [f["level"] for f in report if f["check"] == "database"] == ["ok"]


def test_a_database_server_that_is_away_or_refuses_is_told_in_words(newsletter, tmp_path: Path) -> None:
    newsletter("init", str(tmp_path / "ws"))
    away = "postgresql+psycopg://me:canary@127.0.0.1:1/news"
    said = newsletter("--workspace", str(tmp_path / "ws"), "db", "upgrade", code=1, NEWSLETTER__DATABASE__URL=away)
    assert "does not answer" in said
    assert "canary" not in said
