"""The mark of a delivery: found however it is written, and never made by anybody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.bounces.provider_marks import handed_back
from subscribers.bounces.verp import LEAVE_LOCAL_PART, has_form_of_mark, marked_local_part, read_mark
from subscribers.tokens import Key, Keyring

OLD, NEW = Key(1, b"o" * 32), Key(2, b"n" * 32)
RING = Keyring((NEW, OLD))
deliveries = st.integers(1, 10**18 - 1)


# Letters that are one of a-z when case is ignored, and digits that are no ASCII.
ALIKE = "\u017f\u212a\u0131\u0130\u0661"


@given(deliveries, st.integers(0, 15), st.sampled_from(ALIKE))
def test_letters_that_only_look_alike_are_no_mark(delivery: int, place: int, letter: str) -> None:
    before, mac = marked_local_part(NEW, delivery).split(".")
    spoilt = mac[:place] + letter + mac[place + 1 :]
    assert read_mark(RING, f"{before}.{spoilt}") is None
    assert not has_form_of_mark(f"{before}.{spoilt}")
    assert handed_back(f"{before.replace('+', '-')}-{spoilt}") == ""


@given(st.text(max_size=60) | st.from_regex(r"b\+[0-9]{1,3}\.[a-z2-7\u017f\u212a]{16}", fullmatch=True))
def test_any_text_gives_an_answer(text: str) -> None:
    read_mark(RING, text)
    has_form_of_mark(text)
    handed_back(text)


@given(deliveries)
def test_a_mark_is_short_and_plain_and_names_its_delivery(delivery: int) -> None:
    mark = marked_local_part(NEW, delivery)
    assert len(mark) <= 64
    assert mark == mark.lower()
    assert mark.isascii()
    assert read_mark(RING, mark) == delivery


@given(
    deliveries,
    st.sampled_from(
        [
            "{mark}",
            "{mark}@example.org",
            "<{mark}@example.org>",
            '"{mark}"@example.org',
            " {mark}@example.org ",
            "prvs=0123456789={mark}@example.org",
            "SRS0=ab12=XY=example.org={mark}@forwarder.example",
            "list-bounces+{equals}=example.org@forwarder.example",
        ]
    ),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.sampled_from("+=-"),
)
def test_a_mark_survives_rewriting(delivery: int, form: str, case: object, separator: str) -> None:
    mark = marked_local_part(NEW, delivery).replace("+", separator)
    assert read_mark(RING, case(form.format(mark=mark, equals=mark))) == delivery  # type: ignore[operator]


@given(deliveries, st.integers(0, 15), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_changed_mark_is_none(delivery: int, place: int, letter: str) -> None:
    mark = marked_local_part(NEW, delivery)
    start = mark.index(".") + 1 + place
    changed = mark[:start] + letter + mark[start + 1 :]
    assert (read_mark(RING, changed) == delivery) is (changed == mark)


@given(deliveries, deliveries)
def test_a_mark_is_of_one_delivery(delivery: int, other: int) -> None:
    mac = marked_local_part(NEW, delivery).partition(".")[2]
    assert (read_mark(RING, f"b+{other}.{mac}") == other) is (other == delivery)


@pytest.mark.parametrize(
    "text",
    ["", "b", "b+", LEAVE_LOCAL_PART, "b+1.", "b+0.aaaaaaaaaaaaaaaa", "news", "b+" + "9" * 40 + ".aaaaaaaaaaaaaaaa"],
)
def test_what_is_no_mark_is_none(text: str) -> None:
    assert read_mark(RING, text) is None


def test_a_mark_of_an_older_key_is_still_read_and_one_of_a_foreign_key_never() -> None:
    assert read_mark(RING, marked_local_part(OLD, 7)) == 7
    assert read_mark(RING, marked_local_part(Key(1, b"x" * 32), 7)) is None
    assert read_mark(Keyring((NEW,)), marked_local_part(OLD, 7)) is None
