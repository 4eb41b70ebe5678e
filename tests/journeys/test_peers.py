"""Whole commands against the servers that people run: Postfix takes the mail, PostgreSQL keeps the list."""

from __future__ import annotations

import email
import email.policy
import smtplib
import time
from pathlib import Path

import pytest

from tests.peers.fixtures import wait_until

FEED = Path(__file__).parent.parent.parent / "docs" / "tutorial" / "news.xml"

pytestmark = pytest.mark.journey


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


def test_an_issue_goes_through_postfix_and_a_refused_member_is_not_mailed_again(
    newsletter, postfix, tmp_path: Path
) -> None:
    """The whole main job against the mail server that most people run: one of three mailboxes does not exist."""
    newsletter(
        "init", "ws", "--name", "Vale", "--from-address", "news@example.org", "--postal-address", "1 High Street",
        "--web-url", "https://news.example.org", "--smtp-port", str(postfix.port),
    )  # fmt: skip
    (tmp_path / "people.csv").write_text(
        "address,name\njo.one@example.org,Jo One\njo.two@example.org,Jo Two\ngone@example.org,Gone Away\n"
    )
    ws = ("--workspace", "ws")
    newsletter(*ws, "lists", "create", "members")
    people = ("--list", "members", "--basis", "consent", "--evidence", "forms")
    newsletter(*ws, "subscribers", "import", str(tmp_path / "people.csv"), *people)
    newsletter(*ws, "source", "add", "feed", str(FEED), "--name", "news")
    newsletter(*ws, "source", "fetch")
    newsletter(*ws, "issue", "draft", "--slug", "first")
    newsletter(*ws, "issue", "letter", "first", "--text", "Dear {{first_name|friend}},\n\nwelcome.")
    newsletter(*ws, "audience", "set", "first", "--list", "members")
    newsletter(*ws, "issue", "send", "first", "--yes", code=4)
    status = newsletter(*ws, "issue", "status", "first", "--json")
    assert (status["planned"], status["sent"], status["bounced"]) == (3, 2, 1)
    for person in ("jo.one", "jo.two"):
        wait_until(lambda person=person: bool(postfix.mail_of(person)), f"{person} got nothing")
        [path] = postfix.mail_of(person)
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert mail["To"].endswith(f"{person}@example.org>") or mail["To"] == f"{person}@example.org"
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert all("Dear Jo," in part.get_content() for part in mail.walk() if part.get_content_maintype() == "text")
    suppressed = newsletter(*ws, "suppressions", "list", "--json")
    assert [entry["address"] for entry in suppressed] == ["gone@example.org"]


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
