"""Every copy is one well-formed message: what parsers read is what was meant, whatever the values hold."""

from __future__ import annotations

import email
import email.policy
import quopri
import re
from dataclasses import replace
from datetime import timedelta
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsletter.compose.content import IssueContent
from newsletter.errors import InvalidValue
from newsletter.render.environment import Environment
from newsletter.render.headers import MessageHeaders, date_header, list_id, mailbox, structured, unstructured
from newsletter.render.issue import RenderedIssue, render_issue
from newsletter.render.message import compile_message, quoted_printable
from newsletter.render.personal import PersonalValues, fill_html, fill_text, one_line
from newsletter.send.gate import check_message

EXPECTED = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Precedence",
    "Feedback-ID",
    "Content-Language",
    "MIME-Version",
    "Content-Type",
]
NASTY = (
    "a\r\nBcc: victim@example.net",
    "a\nBcc: victim@example.net",
    "a\rBcc: victim@example.net",
    "a\r\n\r\n<script>",
    "a\r\n.\r\nMAIL FROM:<x@y>",
    "\x00\x07\x1b[2J",
    "a\u2028b\u2029c\x85d",
    "=?utf-8?q?=0D=0ABcc=3A_x=40y?=",
    "x" * 3000,
    "ł" * 500,
    "🎉" * 200,
    '"quoted" <x@y>, z@w',
    "\ufdd0unsubscribe_url\ufdd1",
    "...",
    ".",
    "\u202eevil",
    "=3D=\n",
    "From me",
    "--boundary--",
    "   ",
)


def parse(raw: bytes) -> EmailMessage:
    return cast("EmailMessage", email.message_from_bytes(raw, policy=email.policy.default))


def well_formed(raw: bytes) -> None:
    """What the gate asks of the finished bytes, and the limits of a line."""
    assert raw.isascii()
    assert b"\x00" not in raw
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")
    assert not re.search(rb"(^|\n)\.", raw)
    head, _, body = raw.partition(b"\r\n\r\n")
    assert max(len(line) for line in body.split(b"\r\n")) <= 76
    assert max(len(line) for line in head.split(b"\r\n")) <= 998


@pytest.fixture
def raw(rendered: RenderedIssue, headers: MessageHeaders, values: PersonalValues) -> bytes:
    return compile_message(rendered, headers).compose(values)


def test_a_copy_is_well_formed(raw: bytes) -> None:
    well_formed(raw)


def test_both_parts_decode_to_the_filled_rendering(raw: bytes, rendered: RenderedIssue, values: PersonalValues) -> None:
    message = parse(raw)
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    for part, wanted in ((text, fill_text(rendered.text, values)), (html, fill_html(rendered.html, values))):
        assert part["Content-Transfer-Encoding"] == "quoted-printable"
        assert part.get_content_charset() == "utf-8"
        assert part.get_payload(decode=True).decode().replace("\r\n", "\n") == wanted  # type: ignore[union-attr]


def test_headers_are_these_once_each(raw: bytes, values: PersonalValues) -> None:
    message = parse(raw)
    assert message.keys() == EXPECTED
    assert message["To"] == "zofia@example.com"
    assert message["From"] == "Example Network <news@example.org>"
    assert message["Subject"] == "November: a new safe space, and five dates for your diary"
    assert message["Date"] == "Mon, 02 Nov 2026 09:30:00 +0000"
    assert message["Message-ID"] == "<abcdefghijklmnop@news.example.org>"
    assert message["List-Id"] == "Members <members.news.example.org>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Precedence"] == "bulk"
    assert "Auto-Submitted" not in message


def test_list_unsubscribe_offers_https_first_then_mail(raw: bytes, values: PersonalValues) -> None:
    assert " ".join(parse(raw)["List-Unsubscribe"].split()) == (
        f"<{values.unsubscribe_url}>, <mailto:unsubscribe@news.example.org?subject=unsubscribe>"
    )


def test_mailto_may_carry_the_token(rendered: RenderedIssue, headers: MessageHeaders, values: PersonalValues) -> None:
    own = replace(headers, unsubscribe_mailto="mailto:leave@news.example.org?subject={token}")
    token = values.unsubscribe_url.rpartition("/")[2]
    assert f"?subject={token}>" in parse(compile_message(rendered, own).compose(values))["List-Unsubscribe"]


def test_same_values_give_the_same_bytes(
    raw: bytes, rendered: RenderedIssue, headers: MessageHeaders, values: PersonalValues
) -> None:
    assert compile_message(rendered, headers).compose(values) == raw


def test_two_members_copies_differ_only_in_their_own_values(
    rendered: RenderedIssue, headers: MessageHeaders, values: PersonalValues
) -> None:
    message = compile_message(rendered, headers)
    other = replace(values, address="ng@example.net", first_name="Ng", message_id="other@news.example.org")
    one, two = message.compose(values), message.compose(other)
    assert b"zofia@example.com" not in two
    assert b"Zofia" not in two
    assert (
        two.replace(b"ng@example.net", b"zofia@example.com")
        .replace(b"Ng", b"Zofia")
        .replace(b"<other@", b"<abcdefghijklmnop@")
        == one
    )


def test_headers_survive_the_database(headers: MessageHeaders) -> None:
    assert MessageHeaders.from_json(headers.to_json()) == headers


@pytest.mark.parametrize("nasty", NASTY)
def test_a_nasty_name_changes_no_header_and_no_structure(
    nasty: str, content: IssueContent, environment: Environment, headers: MessageHeaders, values: PersonalValues
) -> None:
    made = render_issue(replace(content, subject="{{first_name|Friend}}, news"), environment)
    raw = compile_message(made, headers).compose(replace(values, first_name=nasty, name=nasty))
    well_formed(raw)
    message = parse(raw)
    assert message.keys() == EXPECTED
    assert len(list(message.iter_parts())) == 2
    assert message["Subject"] == f"{one_line(nasty) or 'Friend'}, news"


@pytest.mark.parametrize("nasty", NASTY)
def test_a_nasty_subject_or_title_changes_no_structure(
    nasty: str, content: IssueContent, environment: Environment, headers: MessageHeaders, values: PersonalValues
) -> None:
    raw = compile_message(render_issue(replace(content, subject=nasty), environment), headers).compose(values)
    well_formed(raw)
    assert parse(raw).keys() == EXPECTED


@pytest.mark.parametrize("nasty", [n for n in NASTY if not n.isprintable()])
@pytest.mark.parametrize("field", ["from_name", "from_address", "reply_to", "list_id", "list_title", "feedback_id"])
def test_a_control_character_in_a_fixed_header_is_refused(
    field: str, nasty: str, rendered: RenderedIssue, headers: MessageHeaders
) -> None:
    harmless = not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", nasty)
    if harmless and field in ("from_name", "list_title"):
        compile_message(rendered, replace(headers, **{field: nasty}))  # type: ignore[arg-type]
        return
    with pytest.raises(InvalidValue):
        compile_message(rendered, replace(headers, **{field: nasty}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("address", "a@b>\r\nRCPT TO:<v@x"),
        ("address", "a@example.com, b@example.com"),
        ("address", "żółw@example.com"),
        ("address", ""),
        ("message_id", "<a@b>\r\nBcc: x@y"),
        ("message_id", "no-domain"),
        ("unsubscribe_url", "https://x/>\r\nBcc: x@y"),
        ("unsubscribe_url", "https://x/a,b"),
        ("unsubscribe_url", "javascript:alert(1)"),
        ("preferences_url", "https://x/ y"),
    ],
)
def test_a_value_that_cannot_stand_in_its_place_is_refused(
    field: str, bad: str, rendered: RenderedIssue, headers: MessageHeaders, values: PersonalValues
) -> None:
    with pytest.raises(InvalidValue):
        compile_message(rendered, headers).compose(replace(values, **{field: bad}))


@pytest.mark.parametrize("length", range(40, 200, 7))
def test_links_of_any_length_are_cut_into_lines_that_join_again(
    length: int, rendered: RenderedIssue, headers: MessageHeaders, values: PersonalValues
) -> None:
    url = ("https://news.example.org/unsubscribe/v1." + "aB.-_9" * 40)[:length]
    raw = compile_message(rendered, headers).compose(replace(values, unsubscribe_url=url))
    well_formed(raw)
    text, html = parse(raw).iter_parts()
    assert url in text.get_content()
    assert f'href="{url}"' in html.get_content()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=400))
def test_quoted_printable_decodes_to_what_went_in(text: str) -> None:
    encoded = quoted_printable(text)
    assert all(len(line) <= 76 and not line.startswith(b".") for line in encoded.split(b"\r\n"))
    decoded = quopri.decodestring(encoded.replace(b"\r\n", b"\n")).decode()
    assert decoded == text.replace("\r\n", "\n").replace("\r", "\n")


@settings(max_examples=300)
@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=300))
def test_a_subject_of_any_letters_reads_back_and_folds_at_78(text: str) -> None:
    subject = " ".join(text.split(" "))
    field = unstructured("Subject", subject)
    lines = field.decode("ascii").split("\r\n")[:-1]
    assert all(len(line) <= 78 for line in lines) or subject.isascii()
    read = email.message_from_bytes(field + b"\r\n", policy=email.policy.default)["Subject"]
    if subject.strip() == subject and "=?" not in subject:
        assert read == subject


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Example Network", b"From: Example Network <news@example.org>\r\n"),
        ('The "Safe" Network, Dudley', b'From: "The \\"Safe\\" Network, Dudley" <news@example.org>\r\n'),
        ("Sieć Żółw", b"From: =?utf-8?q?Sie=C4=87_=C5=BB=C3=B3=C5=82w?= <news@example.org>\r\n"),
        ("", b"From: news@example.org\r\n"),
    ],
)
def test_a_sender_name_is_quoted_or_encoded_as_needed(name: str, wanted: bytes) -> None:
    field = mailbox("From", name, "news@example.org")
    assert field == wanted
    parsed = email.message_from_bytes(field + b"\r\n", policy=email.policy.default)["From"].addresses[0]
    assert (parsed.display_name, parsed.addr_spec) == (name, "news@example.org")


def test_other_scripts_are_written_in_base64_words() -> None:
    field = list_id("شبكة الأمان في دادلي والمناطق المجاورة لها", "members.example.org")
    assert b"=?utf-8?b?" in field
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))


def test_a_word_too_long_for_any_line_is_refused() -> None:
    with pytest.raises(InvalidValue, match="too long"):
        structured("Feedback-ID", "x" * 1000)


def test_date_is_that_moment_in_utc(values: PersonalValues) -> None:
    later = values.date.astimezone() + timedelta(hours=14)
    assert date_header(later) == b"Date: Mon, 02 Nov 2026 23:30:00 +0000\r\n"


def test_the_gate_lets_copies_pass(raw: bytes) -> None:
    check_message(raw, recipient="zofia@example.com")


def test_a_feedback_id_that_fits_no_line_is_left_out(
    rendered: RenderedIssue, headers: MessageHeaders, values: PersonalValues
) -> None:
    raw = compile_message(rendered, replace(headers, feedback_id="x" * 90)).compose(values)
    assert "Feedback-ID" not in parse(raw)


@pytest.mark.parametrize("title", ["x" * 1_200, "a " + "b" * 300, '"' * 400, "a, " + "c" * 990])
def test_a_title_of_one_long_word_is_folded_and_reads_back(title: str) -> None:
    """Else the issue would be frozen, and no copy of it could be made."""
    for field in (list_id(title, "members.example.org"), mailbox("From", title, "news@example.org")):
        assert all(len(line) <= 78 for line in field.decode("ascii").split("\r\n"))
    # Not by the newer policy: it keeps the white space between two encoded words, against RFC 2047 6.2.
    words = field.decode("ascii").removeprefix("From: ").rpartition(" <")[0]
    assert str(make_header(decode_header(words))) == title
