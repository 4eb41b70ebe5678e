"""
Mail to people who chose discreet delivery: nothing that an inbox shows tells who writes or about what.

Shown by one canary member, on the bytes that a real server took over.
"""

from __future__ import annotations

import email.policy
import re
from datetime import date

import pytest
from sqlalchemy import select

from newsletter.render.notice import NoticeText
from newsletter.send.dispatch import send_issue
from newsletter.send.notices import post
from newsletter.tables import Notice, NoticeKind, Variant
from subscribers import lists
from tests.send.chosen import Network, text_of

NAME, LIST, SUBJECT = "Zephyrine Refuge", "Survivors Quorum", "Kestrel gathering for {{first_name|friend}}"
TELLING = ("zephyrine", "refuge", "survivors", "quorum", "kestrel", "gathering", "canary story")
ORGANISATION = {
    "name": NAME,
    "from_name": "The Zephyrine",
    "reply_to": "chair@zephyrine.example",
    "website": "https://www.zephyrine.example",
    "privacy_url": "https://www.zephyrine.example/privacy",
    "helpline": "In danger? Call the Refuge helpline, day and night: 0800 1111.",
    "helpline_phone": "0800 1111",
}


def brand(network: Network, **discreet: str) -> Network:
    """Give the network a name that must not be seen, and a list of that kind."""
    config = network.app.config
    network.app.config = config.model_copy(
        update={
            "organisation": config.organisation.model_copy(update=ORGANISATION),
            "discreet": config.discreet.model_copy(update=discreet),
        }
    )
    with network.app.database.write() as session:
        lists.create(session, "survivors", title=LIST, at=network.time)
    return network


def send(network: Network, slug: str = "kestrel-1", **options: object) -> int:
    given = {"items": [network.item("Canary story")], "subject": SUBJECT, "audience": {"lists": ["survivors"]}}
    return network.send(slug, **{**given, **options})  # type: ignore[arg-type]


def seen(raw: bytes) -> str:
    """Return what of a mail can be seen without opening it: its header, as it is and decoded, and the first lines."""
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    header, _, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    decoded = "\n".join(f"{name}: {value}" for name, value in mail.items())
    return "\n".join((header.decode(), decoded, body[:200].decode(), text_of(mail)[:200])).lower()


def of(network: Network, name: str) -> bytes:
    (raw,) = [raw for raw in network.raw() if f"To: {name}@reader.example".encode() in raw]
    return raw


def test_one_canary_member(network: Network) -> None:
    """No word of the organisation's name, the list's or the issue's in the header or in the first 200 characters."""
    brand(network)
    network.person("amina", on=("survivors",))
    network.person("canary", on=("survivors",), discreet=True)
    assert send(network) == 2
    open_mail, quiet = of(network, "amina"), of(network, "canary")
    assert all(word in seen(open_mail) + text_of(network.mails("amina")[0]).lower() for word in TELLING)
    assert [word for word in TELLING if word in seen(quiet)] == []
    (mail,) = network.mails("canary")
    assert mail["From"] == "Updates <news@example.org>"
    assert mail["Subject"] == "Your update"
    assert mail["List-Id"] == "<updates.example.org>"
    assert mail["Reply-To"] is None
    assert mail["Feedback-ID"] is None
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_it_is_text_alone_with_all_that_the_issue_holds(network: Network) -> None:
    brand(network)
    network.person("canary", on=("survivors",), discreet=True)
    send(network)
    (mail,) = network.mails("canary")
    assert mail.get_content_type() == "text/plain"
    assert not mail.is_multipart()
    raw = of(network, "canary").lower()
    assert b"<html" not in raw
    assert b"<img" not in raw
    text = text_of(mail)
    for words in ("Canary story", "https://example.org/canary-story", "1 High Street", "0800 1111", "Dear Canary"):
        assert words in text
    assert re.search(r"Unsubscribe:\s+https://news\.example\.org/unsubscribe/v1\.", text)
    assert "/view/" not in text


def test_it_is_a_variant_of_the_same_freeze_for_each_set_of_items(small_network: Network) -> None:
    network = brand(small_network)
    for name, chosen in (("amina", False), ("ben", False), ("canary", True), ("dan", True)):
        network.person(name, on=("survivors",), discreet=chosen, tag="north" if name in ("ben", "dan") else "")
    story, north = network.item("Canary story"), network.item("Only north")
    assert send(network, items=[story, north], only={north: "tag 'north'"}) == 4
    with network.app.database.read() as session:
        variants = session.scalars(select(Variant).order_by(Variant.number)).all()
    assert [(variant.discreet, bool(variant.html)) for variant in variants] == [
        (False, True), (False, True), (True, False), (True, False)
    ]  # fmt: skip
    assert {name: "Only north" in text_of(network.mails(name)[0]) for name in ("canary", "dan")} == {
        "canary": False, "dan": True
    }  # fmt: skip
    assert [word for word in TELLING if word in seen(of(network, "dan"))] == []


def test_a_digest_is_discreet_as_well(small_network: Network) -> None:
    network = brand(small_network)
    network.person("canary", on=("survivors",), discreet=True, frequency="monthly")
    send(network)
    network.time = network.time.replace(month=12, day=1)
    network.work()
    raw = of(network, "canary")
    assert [word for word in TELLING if word in seen(raw)] == []
    assert "Canary story" in text_of(network.mails("canary")[0])


def test_each_attempt_has_the_same_bytes_and_signatures_hold(small_network: Network) -> None:
    """A signed one, made from the frozen variant twice."""
    from newsletter.send.claims import Claimed
    from newsletter.send.copies import FrozenVariant
    from newsletter.tables import Delivery

    network = brand(small_network)
    network.app.config = network.app.config.model_copy(
        update={"dkim": network.app.config.dkim.model_copy(update={"enabled": True})}
    )
    network.app.keys.dkim.create("a")
    network.person("canary", on=("survivors",), discreet=True)
    send(network)
    with network.app.database.read() as session:
        variant, row = session.scalars(select(Variant)).one(), session.scalars(select(Delivery)).one()
    claimed = Claimed(**{name: getattr(row, name) for name in Claimed._fields})
    made = [FrozenVariant.load(variant, network.app.config, network.app.keys).compose(claimed) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0].replace(b"\r\n", b"\n") == of(network, "canary").replace(b"\r\n", b"\n")
    assert made[0].count(b"DKIM-Signature:") == 2


def test_the_configured_words_are_used_and_the_domain_stays(small_network: Network) -> None:
    network = brand(
        small_network, from_name="Post", from_address="post@example.org", subject="A note", list_name="notes",
        reply_to="answers@example.org",
    )  # fmt: skip
    network.person("canary", on=("survivors",), discreet=True)
    send(network)
    (mail,) = network.mails("canary")
    assert (mail["From"], mail["Subject"]) == ("Post <post@example.org>", "A note")
    assert mail["Reply-To"] == "answers@example.org"
    assert mail["List-Id"] == "<notes.example.org>"


def test_neutral_words_that_tell_who_writes_block_sending(small_network: Network) -> None:
    from newsletter.errors import PreflightRefused

    network = brand(small_network, from_name="Refuge post")
    network.person("canary", on=("survivors",), discreet=True)
    with pytest.raises(PreflightRefused, match="refuge"):
        send(network)
    network.choose("canary", discreet=False)  # nobody gets that form now
    assert send(network, slug="kestrel-2") == 1


def test_somebody_discreet_who_has_paused_is_left_alone_too(small_network: Network) -> None:
    network = brand(small_network)
    network.person("canary", on=("survivors",), discreet=True, paused_until=date(2026, 11, 20))
    network.person("dan", on=("survivors",), discreet=True)
    assert send(network) == 1
    assert network.outcomes("kestrel-1") == {"dan": ("sent", None)}


NOTICE = NoticeText(f"Your link for {NAME}", f"You asked {NAME} for a link to your choices:\n\nhttps://example.org/x\n")


@pytest.mark.parametrize("kind", [NoticeKind.CONFIRMATION, NoticeKind.LINK])
def test_a_notice_to_such_a_person_is_discreet_too(small_network: Network, kind: NoticeKind) -> None:
    network = brand(small_network)
    network.person("canary", on=("survivors",), discreet=True)
    with network.app.database.write() as session:
        to, reply_to = "Canary@reader.example", "chair@refuge.example"
        notice = post(network.app, session, NOTICE, kind=kind, to=to, reply_to=reply_to)
        assert notice is not None
        assert (notice.subject, notice.message is None) == ("Your update", False)
        raw = notice.message or b""
    assert [word for word in TELLING if word in seen(raw)] == []
    assert NAME in text_of(email.message_from_bytes(raw, policy=email.policy.default))  # type: ignore[arg-type]


def test_a_notice_to_anybody_else_is_as_it_was(small_network: Network) -> None:
    network = brand(small_network)
    network.person("amina", on=("survivors",))
    with network.app.database.write() as session:
        post(network.app, session, NOTICE, kind=NoticeKind.LINK, to="amina@reader.example")
        post(network.app, session, NOTICE, kind=NoticeKind.LINK, to="unknown@reader.example")
        for notice in session.scalars(select(Notice)):
            assert notice.subject == NOTICE.subject
            assert b"Zephyrine" in (notice.message or b"").partition(b"\r\n\r\n")[0]


def test_the_first_lines_are_neutral_in_every_language_that_ships(small_network: Network) -> None:
    """More characters than a preview shows, so that none reaches what is below the line."""
    from newsletter.render.discreet import PREVIEW_CHARACTERS
    from newsletter.render.environment import make_environment

    environment = make_environment(small_network.app.template_folders)
    for language in ("en", "cy", "pl", "ar"):
        words = environment.words(language)
        assert min(len(words[name]) for name in ("discreet_opening", "discreet_notice")) > PREVIEW_CHARACTERS


def test_who_turns_discreet_between_two_attempts_is_not_tried_again(small_network: Network) -> None:
    network = brand(small_network)
    network.person("canary", on=("survivors",))
    issue_id = network.issue("one", audience={"lists": ["survivors"]})
    from newsletter.publishing import start_issue

    start_issue(network.app, issue_id)
    network.choose("canary", discreet=True)
    assert send_issue(network.app, issue_id).counts["suppressed"] == 1
    assert network.raw() == []
