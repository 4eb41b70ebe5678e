"""Rules on discreet mail: it has all that a mail must have, and what an inbox shows of it tells nobody who writes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.preflight.document import Document, plain
from newsletter.preflight.registry import Found, document_rule
from newsletter.preflight.values import IssueFacts
from newsletter.render.discreet import PREVIEW_CHARACTERS
from newsletter.render.personal import Slot

# Words that stand in many names, and those that ship as neutral: they tell nobody apart.
_COMMON = frozenset(
    ["your", "with", "from", "that", "this", "news", "newsletter", "mail", "email", "update", "updates"],
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_TEMPLATE = "Keep it in your own version of discreet.txt.j2 or issue.txt.j2."


@document_rule("discreet-unsubscribe", blocks=True, of_form="discreet")
def discreet_unsubscribe(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    if str(Slot("unsubscribe_url")) not in document.variant.rendered.text:
        yield Found("discreet mail", "It has no unsubscribe link.", _TEMPLATE)


@document_rule("discreet-required", blocks=True, of_form="discreet")
def discreet_required(document: Document, facts: IssueFacts) -> Iterator[Found]:
    text = plain(document.text)
    for what, wanted in (
        ("the postal address", document.content.sender.postal_address),
        ("the standing notice", facts.standing_notice),
    ):
        if plain(wanted) not in text:
            yield Found("discreet mail", f"It lacks {what}: {plain(wanted)}", _TEMPLATE)


@document_rule("discreet-shows", blocks=True, of_form="discreet")
def discreet_shows(document: Document, facts: IssueFacts) -> Iterator[Found]:
    """No word that tells who writes may stand in what an inbox shows of a discreet mail."""
    telling = _telling_words(facts)
    seen = {f"discreet.{name}": _words(value) for name, value in facts.discreet.items() if name != "reply_to"}
    # The words that ship are the same for everybody, so they tell nothing, whatever a list is called.
    seen["the first lines"] = _words(document.text[:PREVIEW_CHARACTERS]) - _words(facts.shipped_opening)
    for where, words in seen.items():
        for word in sorted(telling & words):
            yield Found(
                where,
                f"It holds '{word}', which tells who writes.",
                "Write something neutral into [discreet] of config.toml, or mend your own version of the template.",
            )


@document_rule("discreet-address", blocks=False, of_form="discreet")
def discreet_address(_document: Document, facts: IssueFacts) -> Iterator[Found]:
    address = facts.discreet_address
    squeezed = re.sub(r"[^a-z]", "", address.partition("@")[0].lower())
    for word in sorted(_telling_words(facts)):
        if word in squeezed:
            yield Found(
                address,
                f"Discreet mail is from this address, which holds '{word}'.",
                "Set discreet.from_address to a neutral one of the same domain.",
            )


@document_rule("discreet-replies", blocks=False, of_form="discreet")
def discreet_replies(document: Document, facts: IssueFacts) -> Iterator[Found]:
    if document.content.sender.reply_to and not facts.discreet.get("reply_to"):
        yield Found(
            "Reply-To",
            f"Answers to discreet mail go to {facts.discreet_address}, not to {document.content.sender.reply_to}.",
            "Set discreet.reply_to to a neutral address that a person reads, unless somebody reads that one.",
        )


def _telling_words(facts: IssueFacts) -> frozenset[str]:
    return frozenset(word for name in facts.own_names for word in _words(name)) - _COMMON


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}
