"""A mail that asks to leave says that and no more; anything else is for a person."""

from __future__ import annotations

import pytest

from subscribers.bounces.mail import read_mail
from subscribers.bounces.wishes import PHRASES, asks_to_leave, find_token


def asks(subject: str, text: str = "") -> bool:
    return asks_to_leave(read_mail(f"Subject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n{text}".encode()))


@pytest.mark.parametrize("phrase", [phrase for phrases in PHRASES.values() for phrase in phrases])
def test_each_phrase_is_understood_in_subject_and_text(phrase: str) -> None:
    assert asks(phrase)
    assert asks(f"Re: {phrase}.")
    assert asks(phrase.upper())
    assert asks("Re: November news", f"\n  {phrase}!\n\nOn Monday somebody wrote:\n> news\n")


def test_the_languages_of_the_network_are_there() -> None:
    assert len(PHRASES) >= 10
    assert {"English", "Welsh", "Polish", "Romanian", "Punjabi", "Urdu", "Arabic"} <= set(PHRASES)


@pytest.mark.parametrize(
    "subject", ["Please unsubscribe me", "unsubscribe, thank you", "AW: Bitte abmelden!", "Dezabonati-ma"]
)
def test_manners_and_missing_accents_change_nothing(subject: str) -> None:
    assert asks(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "Re: November news",
        "How do I unsubscribe my late father?",
        "I do not want to unsubscribe",
        "unsubscribe from life: a play at the town hall",
        "Why was I unsubscribed?",
        "Remove me from the rota on Tuesday",
    ],
)
def test_anything_more_is_for_a_person(subject: str) -> None:
    assert not asks(subject, "Hello,\n\nunsubscribe\n")


def test_a_quoted_line_further_down_is_not_the_writers() -> None:
    assert not asks("Re: November news", "Thank you!\n\n> Unsubscribe\n")


def test_a_token_is_found_in_a_folded_subject_and_nothing_else_is() -> None:
    token = "v1." + "A" * 48
    assert find_token(read_mail(f"Subject: unsubscribe\n {token}\n\n".encode())) == token
    assert find_token(read_mail(b"Subject: unsubscribe v1.short\n\n")) is None
    assert find_token(read_mail(f"Subject: unsubscribe\n\n{token}\n".encode())) is None
