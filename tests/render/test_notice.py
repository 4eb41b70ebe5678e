"""Notices as bytes: their header, their text, and what no value can do to either."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from newsletter.errors import InvalidValue, TemplateError
from newsletter.paths import shipped_templates
from newsletter.render.environment import make_environment
from newsletter.render.notice import NoticeHeaders, NoticeText, compose_notice, render_notice
from newsletter.send.gate import check_message

HEADERS = NoticeHeaders(
    from_name="Example Network",
    from_address="news@example.org",
    to="ann@example.com",
    reply_to="office@example.org",
    message_id="link.0123456789abcdef@example.org",
    date=datetime(2026, 11, 2, 9, 30, tzinfo=UTC),
    language="en-GB",
)
TEXT = NoticeText("Your link", "Dear Ann\n\n    https://news.example.org/p/abc\n")
INJECTIONS = ["\r\nBcc: x@example.net", "\nSubject: y", "\rX: y", "\x00", "\u2028Bcc: x", "a\x0bb", "\x85Bcc: x"]


def parsed(message: bytes):
    return email.message_from_bytes(message, policy=email.policy.default)


def test_a_notice_says_that_nobody_wrote_it_and_offers_no_unsubscribing():
    message = compose_notice(TEXT, HEADERS)
    check_message(message, recipient="ann@example.com", newsletter=False)
    read = parsed(message)
    assert read["Auto-Submitted"] == "auto-generated"
    assert read["X-Auto-Response-Suppress"] == "OOF, AutoReply"
    assert not [name for name in read if name.lower().startswith("list-")]
    once = ("From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type")
    assert all(len(read.get_all(name)) == 1 for name in once)
    assert (read["To"], read["Subject"], read["Reply-To"]) == ("ann@example.com", "Your link", "office@example.org")
    assert read.get_content().replace("\r\n", "\n") == TEXT.body


def test_the_same_values_give_the_same_bytes():
    assert compose_notice(TEXT, HEADERS) == compose_notice(TEXT, HEADERS)


@pytest.mark.parametrize("evil", INJECTIONS)
@pytest.mark.parametrize("field", ["from_name", "from_address", "to", "reply_to", "message_id", "language", "subject"])
def test_no_value_adds_a_header_field(field, evil):
    """What cannot stand in its field is refused; what is let through adds no field and passes the gate."""
    text, headers = TEXT, HEADERS
    if field == "subject":
        text = NoticeText("News" + evil, TEXT.body)
    else:
        headers = replace(HEADERS, **{field: getattr(HEADERS, field) + evil})
    with pytest.raises(InvalidValue):
        compose_notice(text, headers)


def test_a_body_cannot_smuggle_a_second_message():
    body = "a\r\n.\r\nMAIL FROM:<x@example.net>\r\n\n.\nQUIT\rx\x00y\n"
    message = compose_notice(NoticeText("Hello", body), HEADERS)
    check_message(message, recipient="ann@example.com", newsletter=False)
    assert b"\r\n." not in message
    assert "\x00" not in parsed(message).get_content()


def test_a_long_subject_and_other_scripts_are_folded_and_encoded():
    subject = "Newyddion \u0141\u00f3d\u017a " * 12
    message = compose_notice(NoticeText(subject, TEXT.body), HEADERS)
    check_message(message, recipient="ann@example.com", newsletter=False)
    assert parsed(message)["Subject"] == subject


VALUES = {
    "paused": {
        "issue": "2026-11",
        "what": "example.com refuses our mail by policy (550 5.7.1).",
        "sent": 3,
        "planned": 9,
    },
    "relay": {"issues": ["2026-11", "extra"], "what": "The mail server 127.0.0.1:25 cannot be reached."},
    "digest": {"issue": "digest-2026-11"},
    "schedule": {"issue": "2026-11", "what": "No worker ran at 2026-11-02 10:00."},
    "ended": {"issue": "2026-11", "planned": 9, "sent": 3, "held": 1, "expired": 2, "uncertain": 3},
    "refusals": {"issue": "2026-11", "count": 12},
    "returned": {"issue": "newsletter", "count": 60, "reasons": {"reputation": 40, "policy": 20}},
    "sign-ups": {"per_hour": 200, "minutes": 60},
    "request": {"number": 3, "kind": "access", "due": "2026-12-02"},
    "database": {"what": "The disk that holds the database is full.", "since": "2026-11-02 09:30"},
}


_OURS = {
    "organisation": "Example Network",
    "postal_address": "1 High Street",
    "privacy_url": "https://example.org/",
    "requests_url": "https://news.example.org/requests",
}
TO_READERS = {
    "settings-link": {"url": "https://news.example.org/settings/abc", **_OURS},
    "confirmation": {
        "lists": ["Members"],
        "link": "https://x.example/a",
        "until": date(2026, 5, 2),
        "contact": "a@b.org",
        **_OURS,
    },
    "already-subscribed": {"contact": "chair@example.org", **_OURS},
}


def test_every_template_that_ships_is_rendered_here():
    shipped = {path.name for path in (shipped_templates() / "email" / "notices").glob("*.j2")}
    assert shipped == {f"{name}.txt.j2" for name in (*(f"alert-{name}" for name in VALUES), *TO_READERS)}


@pytest.mark.parametrize("name", TO_READERS)
def test_a_notice_to_a_reader_is_short_and_says_what_to_do(name):
    text = render_notice(make_environment((shipped_templates(),)), name, language="en-GB", **TO_READERS[name])
    assert len(text.body.splitlines()) <= 26
    assert "\n\n\n" not in text.body
    assert "nothing" in text.body
    compose_notice(text, HEADERS)


@pytest.mark.parametrize("name", VALUES)
def test_an_alert_is_short_names_the_issue_and_a_command(name):
    text = render_notice(make_environment((shipped_templates(),)), f"alert-{name}", language="en-GB", **VALUES[name])
    assert "    newsletter " in text.body
    assert all(len(line) <= 76 for line in text.body.splitlines())
    assert len(text.body.splitlines()) <= 26
    assert "\n\n\n" not in text.body
    subject = {"database": "database", "sign-ups": "sign up", "request": "data"}.get(name)
    for issue in VALUES[name].get("issues", [VALUES[name].get("issue", subject)]):
        assert issue in text.subject
    compose_notice(text, HEADERS)


def test_a_translation_of_the_workspace_wins_in_its_language_only(tmp_path: Path):
    folder = tmp_path / "email" / "notices" / "cy"
    folder.mkdir(parents=True)
    (folder / "alert-paused.txt.j2").write_text("Subject: {{ issue }} wedi stopio\n\nTestun\n")
    environment = make_environment((tmp_path, shipped_templates()))
    assert (
        render_notice(environment, "alert-paused", language="cy-GB", **VALUES["paused"]).subject
        == "2026-11 wedi stopio"
    )
    english = render_notice(environment, "alert-paused", language="en-GB", **VALUES["paused"])
    assert english.subject == "Newsletter 2026-11 has stopped"


def test_a_notice_knows_its_language_and_says_days_in_it(tmp_path: Path):
    """The header names the language that the text is in, for whoever has it read out."""
    folder = tmp_path / "email" / "notices" / "cy"
    folder.mkdir(parents=True)
    (folder / "confirmation.txt.j2").write_text("Subject: Cadarnhau\n\nTan {{ until }}\n")
    environment = make_environment((tmp_path, shipped_templates()))

    def render(language: str, name: str = "confirmation") -> NoticeText:
        return render_notice(environment, name, language=language, **TO_READERS[name])

    assert (render("cy").body, render("cy").language) == ("Tan 2 Mai 2026\n", "cy")
    assert "until 2 May 2026." in render("en-GB").body
    assert "until 2 May 2026." in render("ur").body
    assert [render(tag, "settings-link").language for tag in ("en-US", "cy", "ur")] == ["en-US", "", ""]


@pytest.mark.parametrize("content", ["Hello\n\nText\n", "Subject: only\n", "Subject: x\n\n  \n"])
def test_a_template_without_subject_or_text_is_named(tmp_path: Path, content: str):
    folder = tmp_path / "email" / "notices"
    folder.mkdir(parents=True)
    (folder / "alert-paused.txt.j2").write_text(content)
    environment = make_environment((tmp_path, shipped_templates()))
    with pytest.raises(TemplateError, match="alert-paused"):
        render_notice(environment, "alert-paused", language="en-GB", **VALUES["paused"])
