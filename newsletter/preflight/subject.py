"""Rules on what the inbox shows: subject, preheader, sender; and on tags that would reach members unfilled."""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.compose.content import Button, Quote
from newsletter.preflight.document import Document
from newsletter.preflight.registry import Found, document_rule
from newsletter.preflight.values import IssueFacts
from newsletter.render.personal import TAG, split_slots, unresolved_tags, unresolved_tags_in_html

SUBJECT_CHARACTERS = 60
PREHEADER_CHARACTERS = range(40, 111)
_NO_REPLY = re.compile(r"(no|do-?not|dont)[-_.]?reply(@|$|[-_.+])", re.IGNORECASE)
_EMOJI = re.compile("[\U0001f1e6-\U0001faff\u2600-\u27bf]")


@document_rule("empty-subject", blocks=True, of_form="any")
def empty_subject(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    if not document.subject:
        yield Found("subject", "The subject is empty.", "Set one: newsletter issue set ISSUE subject=...")


@document_rule("no-sender", blocks=True, of_form="any")
def no_sender(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    if "@" not in document.content.sender.from_address:
        yield Found("From", "There is no address to send from.", "Set organisation.from_address in config.toml.")


@document_rule("no-reply-address", blocks=True, of_form="any")
def no_reply_address(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    sender = document.content.sender
    address = sender.reply_to or sender.from_address
    if _NO_REPLY.match(address):
        yield Found(
            "Reply-To",
            f"Answers would go to {address}, which says that nobody reads them.",
            "Set organisation.reply_to to an address that a person reads.",
        )


@document_rule("unresolved-tag", blocks=True, of_form="any")
def unresolved_tag(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    """Only in what the chair typed: in a source's own words braces are ordinary characters."""
    for where, tags in _typed_tags(document):
        for tag in tags:
            yield Found(
                where,
                f"'{tag}' would reach members as it stands.",
                "Write {{first_name|friend}} or {{name|friend}}, or take the braces away.",
            )


def _typed_tags(document: Document) -> Iterator[tuple[str, list[str]]]:
    content = document.content
    yield "subject", unresolved_tags(content.subject)
    yield "preheader", unresolved_tags(content.preheader)
    if content.letter:
        yield "letter", unresolved_tags_in_html(content.letter.body_html)
    for section in content.sections:
        for block in section.blocks:
            if isinstance(block, Quote):
                yield f"quotation in {section.title}", _any_tags(block.text + block.by)
            elif isinstance(block, Button):
                yield f"button in {section.title}", _any_tags(block.label + block.url)
    for item in document.items:
        if item.title_is_typed:
            yield item.title, _any_tags(item.title)
        if item.blurb_is_typed:
            yield item.title, unresolved_tags_in_html(item.blurb_html)


def _any_tags(text: str) -> list[str]:
    """Return every tag: in headlines, quotations and buttons not even ours are filled."""
    return [found[0] for found in TAG.finditer(text)] + unresolved_tags(text)


@document_rule("tag-without-fallback", blocks=False, of_form="any")
def tag_without_fallback(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    rendered = document.variant.rendered
    for where, stored in (("subject", rendered.subject), ("text", rendered.text)):
        for piece in split_slots(stored):
            if not isinstance(piece, str) and piece.name in ("name", "first_name") and not piece.fallback:
                yield Found(
                    where,
                    f"Where a member has no name, nothing stands in place of {{{{{piece.name}}}}}.",
                    f"Add a word for them: {{{{{piece.name}|friend}}}}.",
                )


@document_rule("tag-in-source-text", blocks=False, of_form="any")
def tag_in_source_text(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for item in document.items:
        text = ("" if item.title_is_typed else item.title) + ("" if item.blurb_is_typed else item.blurb_html)
        if TAG.search(text):
            yield Found(
                item.title,
                "This holds a personal tag that is not filled: headlines and sources' own words stay as they are.",
                "Write your own blurb, or take the tag away.",
            )


@document_rule("long-subject", blocks=False)
def long_subject(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    if len(document.subject) > SUBJECT_CHARACTERS:
        yield Found(
            "subject",
            f"The subject has {len(document.subject)} characters; phones show about {SUBJECT_CHARACTERS}.",
            "Say the important thing first, or shorten it.",
        )


@document_rule("shouting-subject", blocks=False)
def shouting_subject(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    letters = [c for c in document.subject if c.isalpha()]
    if len(letters) > 3 and all(c.isupper() for c in letters if c.upper() != c.lower()):
        yield Found("subject", "The subject is all capitals, as spam often is.", "Write it in ordinary letters.")
    if re.search(r"!\s*!", document.subject):
        yield Found("subject", "The subject has more than one '!' in a row, as spam often has.", "One is enough.")
    if len(_EMOJI.findall(document.subject)) > 1:
        yield Found("subject", "The subject has more than one emoji.", "Keep one at most.")


@document_rule("repeated-subject", blocks=False)
def repeated_subject(document: Document, facts: IssueFacts) -> Iterator[Found]:
    known = {subject.casefold().strip() for subject in facts.previous_subjects}
    if document.subject and document.subject.casefold() in known:
        yield Found(
            "subject",
            "An earlier issue had the same subject: Gmail files both in one conversation and hides what repeats.",
            "Name this issue's month or its first story.",
        )


@document_rule("preheader", blocks=False)
def preheader(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    text = document.preheader
    fix = "Set one of 40 to 110 characters: newsletter issue set ISSUE preheader=..."
    if not text:
        yield Found("preheader", "There is no preheader: inboxes show the first words of the mail instead.", fix)
    elif text.casefold() == document.subject.casefold():
        yield Found("preheader", "The preheader repeats the subject.", "Say what else is in the issue.")
    elif len(text) not in PREHEADER_CHARACTERS:
        yield Found("preheader", f"The preheader has {len(text)} characters; 40 to 110 show well.", fix)
