"""Signatures: what others make of them, what breaks them, what must not, and the same bytes each time."""

from __future__ import annotations

import re
import runpy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dkim as dkimpy_library
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.dkim_keys import DkimKeys
from newsletter.errors import InvalidValue
from newsletter.paths import shipped_templates
from newsletter.render.environment import make_environment
from newsletter.render.issue import render_issue
from newsletter.render.message import compile_message, quoted_printable
from newsletter.render.personal import PersonalValues
from newsletter.send.copies import is_relaxed
from newsletter.send.dkim import COVERED, Signer, SigningKey, relaxed_body, relaxed_header
from newsletter.send.gate import check_message
from newsletter.send.signing import Signing
from tests.peers.verifiers import selectors_in
from tests.send.conftest import HEADERS

AT = 1_793_611_800
SELECTORS = ("nl202611-rsa", "nl202611-ed25519")
SAMPLE = Path(__file__).resolve().parents[2] / "benchmarks" / "sample_issue.py"


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> DkimKeys:
    made = DkimKeys(tmp_path_factory.mktemp("secrets"))
    made.create("nl202611")
    return made


@pytest.fixture(scope="session")
def signer(keys) -> Signer:
    return Signing("example.org", SELECTORS, AT).signer(keys)


@pytest.fixture(scope="session")
def dns(keys):
    return {(record.name, "TXT"): [record.value] for record in keys.records("nl202611", "example.org")}


@pytest.fixture(scope="session")
def compiled():
    """A whole issue with a letter, posts and events, in words that need encoding."""
    content = runpy.run_path(str(SAMPLE))["sample_issue"]()
    content = replace(content, subject="Grüße und Neues: {{first_name|Friend}}, żółw  im Herbst")
    headers = replace(HEADERS, from_name="Żółw & Grüße", reply_to="office@example.org", feedback_id="1:a:b:example.org")
    return compile_message(render_issue(content, make_environment([shipped_templates()])), headers)


@pytest.fixture(scope="session")
def unsigned(compiled) -> bytes:
    values = PersonalValues(
        address="zofia@example.com",
        first_name="Zofia  Łucja",
        name="Zofia Żółw",
        unsubscribe_url="https://news.example.org/unsubscribe/v1.AbC",
        preferences_url="https://news.example.org/preferences/v1.AbC",
        date=datetime(2026, 11, 2, 9, 30, tzinfo=UTC),
        message_id="abcdefghij@news.example.org",
    )
    return compiled.compose(values)


@pytest.fixture(scope="session")
def signed(signer, unsigned) -> bytes:
    return signer.sign(unsigned, AT)


@pytest.fixture(params=["dkimpy", "opendkim", "rspamd"])
def verdicts(request, dns):
    """Return what one of the three programs says of a message."""
    verifier = request.getfixturevalue(request.param)
    return lambda message: verifier.verdicts(message, dns)


def in_header(old: bytes, new: bytes):
    return lambda message: message.replace(b"\r\n" + old, b"\r\n" + new, 1)


def on_top(field: bytes):
    return lambda message: field + b"\r\n" + message


def at_the_end(field: bytes):
    return lambda message: message.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n", 1)


TAMPERED = {
    "a word of the body": lambda message: message.replace(b"Thank you", b"Curse you", 1),
    "something after the body": lambda message: message + b"PS\r\n",
    "another From": in_header(b"From:", b"From: Eve <eve@example.net>,"),
    "a second From above": on_top(b"From: Eve <eve@example.net>"),
    "a second From below": at_the_end(b"From: Eve <eve@example.net>"),
    "another Subject": in_header(b"Subject:", b"Subject: Urgent:"),
    "a second Subject": on_top(b"Subject: Urgent"),
    "a second To": on_top(b"To: all@example.com"),
    "another way to leave": in_header(b"List-Unsubscribe:", b"List-Unsubscribe: <https://evil.example/>,"),
    "a second way to leave": on_top(b"List-Unsubscribe: <https://evil.example/>"),
    "no one-click": in_header(b"List-Unsubscribe-Post:", b"X-Post:"),
    "another Feedback-ID": in_header(b"Feedback-ID:", b"Feedback-ID: x"),
    "another Reply-To": in_header(b"Reply-To:", b"Reply-To: eve@example.net,"),
    "a Sender": on_top(b"Sender: eve@example.net"),
    "a Cc": on_top(b"Cc: eve@example.net"),
    "another type": in_header(b"Content-Type: multipart/alternative", b"Content-Type: multipart/mixed"),
    "an encoding": at_the_end(b"Content-Transfer-Encoding: base64"),
    "another date": in_header(b"Date: Mon, 02", b"Date: Tue, 03"),
}


def test_everybody_finds_both_signatures_good(verdicts, signed):
    assert verdicts(signed) == dict.fromkeys(SELECTORS, True)


@pytest.mark.parametrize("what", TAMPERED)
def test_whatever_is_changed_or_added_breaks_both(verdicts, signed, what):
    changed = TAMPERED[what](signed)
    assert changed != signed
    assert verdicts(changed) == dict.fromkeys(SELECTORS, False)


def test_what_relays_do_on_the_way_breaks_nothing(verdicts, signed):
    """A trace field, a field folded elsewhere, white space at the ends of lines, empty lines at the end."""
    handled = b"Received: from a by b;\r\n Mon, 2 Nov 2026 09:30:00 +0000\r\n" + signed
    handled = handled.replace(b"\r\nTo: ", b"\r\nTo:\r\n\t", 1).replace(
        b"\r\nMIME-Version: 1.0", b"\r\nMime-Version:  1.0 ", 1
    )
    handled = re.sub(rb"</p>\r\n", b"</p> \t\r\n", handled) + b"\r\n\r\n"
    assert verdicts(handled) == dict.fromkeys(SELECTORS, True)


def test_the_fields_are_as_the_reference_wants_them(signed):
    header = signed.partition(b"\r\n\r\n")[0].decode()
    fields = re.findall(r"^DKIM-Signature: ([^\r]*(?:\r\n [^\r]*)*)", header, re.MULTILINE)
    assert len(fields) == 2
    assert max(map(len, header.split("\r\n"))) <= 100  # List-Unsubscribe holds a word that cannot be folded
    for field, algorithm in zip(fields, ("rsa-sha256", "ed25519-sha256"), strict=True):
        assert max(map(len, field.split("\r\n"))) <= 78
        tags = dict(tag.strip().split("=", 1) for tag in field.replace("\r\n ", " ").split(";"))
        assert set(tags) == {"v", "a", "c", "d", "s", "t", "h", "bh", "b"}  # no l=, no x=
        assert (tags["v"], tags["a"], tags["c"], tags["d"]) == ("1", algorithm, "relaxed/relaxed", "example.org")
        assert tags["t"] == str(AT)
        named = [name.strip() for name in tags["h"].split(":")]
        present = [line.partition(":")[0].lower() for line in header.split("\r\n") if line[:1] not in " \t"]
        assert {name: named.count(name) for name in named} == {
            name.decode(): present.count(name.decode()) + 1 for name in COVERED
        }


def test_the_same_input_gives_the_same_bytes(keys, signer, unsigned, signed):
    assert signer.sign(unsigned, AT) == signed
    again = Signing.from_json(Signing("example.org", SELECTORS, AT).to_json())
    assert again.signer(DkimKeys(keys._folder)).sign(unsigned, AT, body_is_relaxed=True) == signed
    assert signer.sign(unsigned, AT + 1) != signed


def test_the_gate_lets_signed_copies_pass_and_counts_signatures(signer, unsigned, signed):
    from newsletter.send.gate import GateRefused

    check_message(signed, recipient="zofia@example.com")
    check_message(signed, recipient="zofia@example.com", signatures=2)
    check_message(unsigned, recipient="zofia@example.com", signatures=0)
    for message, signatures in ((unsigned, 2), (signed, 0), (signed, 1), (signer.sign(signed, AT), None)):
        with pytest.raises(GateRefused, match="dkim-signature"):
            check_message(message, recipient="zofia@example.com", signatures=signatures)


@pytest.mark.parametrize("bad", [b"", b"\r\n\r\nbody", b"no header at all", b"From: a@b\r\nno field\r\n\r\nx"])
def test_what_is_no_message_is_refused(signer, bad):
    with pytest.raises(InvalidValue):
        signer.sign(bad, AT)


# -- relaxed forms, against plain ones


def plain_relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4, word by word."""
    lines = body.split(b"\r\n")
    if lines[-1] == b"":
        lines.pop()
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and lines[-1] == b"":
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


PIECES = st.sampled_from([b" ", b"  ", b"\t", b"\r\n", b"\r\n", b"a", b"=20", b".", b":", b"long word"])
BODIES = st.lists(PIECES, max_size=40).map(b"".join)


@given(BODIES)
def test_a_relaxed_body_is_what_the_standard_says(body):
    assert relaxed_body(body) == plain_relaxed_body(body)


@given(BODIES)
def test_a_relaxed_body_is_what_dkimpy_makes_of_it(body):
    if not body.endswith(b"\r\n"):
        body += b"\r\n"  # a mail's body ends with a line end
    assert relaxed_body(body) == dkimpy_library.canonicalization.Relaxed.canonicalize_body(body)


NAMES = st.sampled_from([b"Subject", b"SUBJECT", b"X-a", b"To"])
FIELDS = st.lists(
    st.tuples(NAMES, st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n ", b"\r\n\t", b"b:c"]), max_size=12))
)


@given(FIELDS)
def test_a_relaxed_field_is_what_dkimpy_makes_of_it(fields):
    header = [(name, b"".join(pieces) + b"x\r\n") for name, pieces in fields]
    names, ours = relaxed_header(b"".join(name + b":" + value for name, value in header))
    theirs = dkimpy_library.canonicalization.Relaxed.canonicalize_headers(header)
    assert ours == [name + b":" + value for name, value in theirs]
    assert names == tuple(name.lower() for name, _ in header)


@given(st.text(alphabet=st.sampled_from(" \t\nab.=ż\u00a0")))
def test_what_we_encode_is_its_own_relaxed_form(text):
    """So that copies need not be looked through for white space, one by one."""
    body = quoted_printable(text + "x") + b"\r\n"
    assert plain_relaxed_body(body) == body


def test_a_whole_copy_is_its_own_relaxed_form(compiled, unsigned):
    body = unsigned.partition(b"\r\n\r\n")[2]
    assert plain_relaxed_body(body) == body
    assert is_relaxed(compiled)
    assert not is_relaxed(replace(compiled, segments=(*compiled.segments, b"a  b\r\n")))


HEADER_FIELDS = st.lists(
    st.tuples(
        st.sampled_from([*(name.decode() for name in COVERED), "x-other", "received"]),
        st.text(alphabet=st.sampled_from("abc <>@:;="), max_size=30),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(HEADER_FIELDS, BODIES)
def test_dkimpy_verifies_whatever_is_signed(dkimpy, dns, signer, fields, body):
    header = "".join(f"{name}: x{value}\r\n" for name, value in [("From", "a@example.org"), *fields])
    signed = signer.sign(header.encode() + b"\r\n" + body + b"\r\n", AT)
    assert dkimpy.verdicts(signed, dns) == dict.fromkeys(SELECTORS, True)


def test_one_key_alone_signs_once(keys, unsigned, dkimpy, dns):
    alone = Signer("example.org", (SigningKey(SELECTORS[0], keys.key(SELECTORS[0])),))
    signed = alone.sign(unsigned, AT)
    assert selectors_in(signed) == [SELECTORS[0]]
    assert dkimpy.verdicts(signed, dns) == {SELECTORS[0]: True}
