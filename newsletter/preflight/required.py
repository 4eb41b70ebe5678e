"""Rules on what every mail must carry: the way out, who sends, the standing notice, a text part, its language."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from newsletter.compose.language import direction_of, parse_language
from newsletter.errors import InvalidValue
from newsletter.preflight.document import Document, plain
from newsletter.preflight.registry import Found, document_rule
from newsletter.preflight.values import IssueFacts
from newsletter.render.links import ascii_link, requests_url
from newsletter.render.personal import Slot

SCRIPTS = {
    **dict.fromkeys(("ar", "ckb", "fa", "ps", "sd", "ug", "ur"), "ARABIC"),
    **dict.fromkeys(("be", "bg", "kk", "ky", "mk", "mn", "ru", "sr", "tg", "uk"), "CYRILLIC"),
    **dict.fromkeys(("he", "yi"), "HEBREW"),
    **dict.fromkeys(("hi", "mr", "ne"), "DEVANAGARI"),
    **dict.fromkeys(("zh", "ja"), "CJK"),
    "bn": "BENGALI",
    "el": "GREEK",
    "gu": "GUJARATI",
    "pa": "GURMUKHI",
    "ta": "TAMIL",
    "th": "THAI",
    "am": "ETHIOPIC",
    "ti": "ETHIOPIC",
    "ko": "HANGUL",
}
LATIN = "LATIN"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_DIGITS = re.compile(r"\D")


@document_rule("missing-unsubscribe", blocks=True)
def missing_unsubscribe(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    marker = str(Slot("unsubscribe_url"))
    rendered = document.variant.rendered
    fix = "Keep the unsubscribe link in your own version of the templates' footer."
    if f'href="{marker}"' not in rendered.html:
        yield Found("HTML", "There is no unsubscribe link.", fix)
    if marker not in rendered.text:
        yield Found("text", "The text part has no unsubscribe link.", fix)


@document_rule("missing-preferences", blocks=False)
def missing_preferences(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    if str(Slot("preferences_url")) not in document.variant.rendered.html:
        yield Found("HTML", "There is no link to a member's preferences.", "Keep it in the templates' footer.")


@document_rule("missing-complaints", blocks=False)
def missing_complaints(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    """UK law asks for a way to complain that is easy to find (DPA 2018, s. 164A)."""
    address = ascii_link(requests_url(document.content.web_url))
    if all(link.href != address for link in document.links):
        yield Found("footer", "There is no link for complaints.", "Keep it in the templates' footer.")


@document_rule("missing-postal-address", blocks=True)
def missing_postal_address(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    address = plain(document.content.sender.postal_address)
    if not address:
        yield Found("footer", "There is no postal address.", "Set organisation.postal_address in config.toml.")
        return
    for where, text in (("HTML", document.visible_text), ("text", plain(document.text))):
        if address not in text:
            yield Found(where, "The postal address is not in the mail.", "Keep it in the templates' footer.")


@document_rule("missing-view-link", blocks=True)
def missing_view_link(document: Document, facts: IssueFacts) -> Iterator[Found]:
    if facts.is_digest:
        return  # it has no page of its own
    address = ascii_link(document.content.view_url)
    if not address or all(link.href != address for link in document.links):
        yield Found("footer", "There is no link to read the issue in a browser.", "Keep it in the templates' footer.")


@document_rule("standing-notice", blocks=True)
def standing_notice(document: Document, facts: IssueFacts) -> Iterator[Found]:
    notice = plain(facts.standing_notice)
    if not notice:
        return
    for where, text in (("HTML", document.visible_text), ("text", plain(document.text))):
        if notice not in text:
            yield Found(
                where,
                f"The standing notice is missing or altered. It reads: {notice}",
                "Keep the notice in the template and its wording as configured (organisation.helpline).",
            )
    number = _DIGITS.sub("", facts.standing_phone)
    called = {_DIGITS.sub("", link.href) for link in document.links if link.href.startswith("tel:")}
    if number and number not in called:
        yield Found(
            "HTML",
            f"The standing notice does not link the number {facts.standing_phone}.",
            "Keep the tel: link in the template and organisation.helpline_phone as it is.",
        )


@document_rule("empty-issue", blocks=True, of_form="any")
def empty_issue(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    content = document.content
    if not content.letter and not any(section.blocks for section in content.sections):
        yield Found("issue", "There is nothing in this issue.", "Add items, or a letter.")


@document_rule("text-part", blocks=True)
def text_part(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    if not document.text.strip():
        yield Found("text", "There is no plain-text part.", "Mend your own version of issue.txt.j2.")
        return
    known = set(document.text.split())
    for link in document.links:
        if link.href.startswith(("http:", "https:")) and link.href not in known:
            yield Found(
                "text", f"The text part lacks a link of the HTML: {link.href}", "Mend your own version of issue.txt.j2."
            )


@document_rule("control-character", blocks=True, of_form="any")
def control_character(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    for where, text in (("subject", document.subject), ("HTML", document.html), ("text", document.text)):
        if found := _CONTROL.search(text):
            yield Found(
                where,
                f"There is an invisible control character (U+{ord(found[0]):04X}); Gmail cuts the mail there.",
                "Type the passage again.",
            )


@document_rule("language", blocks=True)
def language(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    tag, direction = document.content.language, document.content.direction
    fix = "Set organisation.language to a tag such as en-GB, cy or ar."
    try:
        parse_language(tag)
    except InvalidValue:
        yield Found("language", f"'{tag}' is no language tag.", fix)
        return
    right = direction_of(tag)
    if direction != right:
        yield Found("language", f"'{tag}' is written {right}, but the issue says {direction}.", fix)
    bodies = document.root.findall("body/*")
    for element in (document.root, *bodies):
        if element.get("lang") != tag or element.get("dir") != direction:
            yield Found(
                "HTML",
                f'<{element.tag}> does not carry lang="{tag}" and dir="{direction}".',
                "Keep both in your own version of base.html.j2.",
            )


@document_rule("script-of-text", blocks=True)
def script_of_text(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    """The interface's own words count too, so it takes most of the letters to be of another script."""
    wanted = SCRIPTS.get(_base(document.content.language), LATIN)
    letters = [c for c in document.visible_text if c.isalpha()]
    scripts = Counter(unicodedata.name(c, "?").split()[0] for c in letters)
    if wanted == "CJK":
        scripts["CJK"] += scripts.pop("HIRAGANA", 0) + scripts.pop("KATAKANA", 0)
    if len(letters) > 100 and scripts[wanted] * 2 < len(letters):
        most = scripts.most_common(1)[0][0].capitalize()
        yield Found(
            "language",
            f"The issue says '{document.content.language}', but most of its letters are {most}.",
            "Set the issue's language to the one that it is written in.",
        )


@document_rule("untranslated-words", blocks=False)
def untranslated_words(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    if _base(document.content.language) != "en" and any(link.text == "Unsubscribe" for link in document.links):
        yield Found(
            "footer",
            f"The words of the frame (Unsubscribe, Read more ...) are English in an issue in "
            f"'{document.content.language}'.",
            "Add the language to templates/email/words.json in the workspace.",
        )


def _base(tag: str) -> str:
    return tag.partition("-")[0].lower()
