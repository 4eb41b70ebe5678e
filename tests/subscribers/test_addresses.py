"""An address is judged as email-validator judges it, also on the short way that imports take."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from subscribers.addresses import parse_address
from subscribers.errors import InvalidValue

LOCALS = st.text("aZ9.!#'+_-\"( )@é\u202e", min_size=0, max_size=12) | st.sampled_from(
    ["a" * 64, "a" * 65, "Info", "POSTMASTER", "www", "ｉnfo", "аnn", "ﬁ", "e\u0301", "a\u200b"]
)
DOMAINS = st.sampled_from(
    [
        *("example.org", "EXAMPLE.org", "bücher.example", "x", "localhost", "-a.org", "a..org", "", "[127.0.0.1]"),
        *("a.org.", "xn--bcher-kva.example", "xn--a.example", "ｅxample.org", "еxample.org", "example。org", "a_b.org"),
        *(
            "b" * 63 + ".org",
            "b" * 64 + ".org",
            "1.2.3.4",
            "ex\u00adample.org",
            "example.org\u202e",
            "test",
            "a.b.test",
        ),
    ]
) | st.just(".".join(["b" * 60] * 4))


@given(local=LOCALS, domain=DOMAINS)
def test_the_short_way_agrees_with_the_long_one(local: str, domain: str) -> None:
    text = f"{local}@{domain}"
    try:
        expected = validate_email(text.strip(), check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError:
        expected = None
    if expected is None or len(text.strip()) > 254:
        with pytest.raises(InvalidValue):
            parse_address(text)
        return
    found = parse_address(text)
    assert found.address == f"{expected.local_part}@{expected.ascii_domain.lower()}"
    assert found.key == found.address.casefold()
    assert found.ascii_local == expected.local_part.isascii()


def test_a_local_part_has_at_most_64_octets() -> None:
    assert parse_address(f"{'a' * 64}@example.org").domain == "example.org"
    for local in ("a" * 65, "é" * 33):
        with pytest.raises(InvalidValue):
            parse_address(f"{local}@example.org")
