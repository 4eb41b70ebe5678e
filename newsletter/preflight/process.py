"""Rules on the way to sending: an audience, approval where it is asked for, a tested copy, nothing changed unseen."""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.preflight.document import Document
from newsletter.preflight.registry import Found, document_rule, issue_rule
from newsletter.preflight.values import IssueFacts

# An age, a date of birth, a National Insurance number, a telephone number or a private address beside a story may
# point at one person; in this work that can put somebody at risk.
_PERSONAL = (
    ("an age", re.compile(r"\baged? \d{1,2}\b|\b\d{1,2}[- ]years?[- ]old\b", re.IGNORECASE)),
    ("a date of birth", re.compile(r"\b(d\.?o\.?b\.?|born on)\b", re.IGNORECASE)),
    ("a National Insurance number", re.compile(r"\b[A-CEGHJ-PR-TW-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D]\b")),
    ("a mobile number", re.compile(r"\b07\d{3} ?\d{3} ?\d{3}\b")),
    ("a private address", re.compile(r"\S+@(gmail|hotmail|outlook|yahoo|icloud|btinternet)\.\S+", re.IGNORECASE)),
)


@issue_rule("no-audience", blocks=True)
def no_audience(facts: IssueFacts) -> Iterator[Found]:
    if facts.recipients is None:
        yield Found(
            "audience",
            "No audience is set; nobody is mailed by default.",
            "Set one: newsletter audience set ISSUE --list NAME.",
        )
    elif facts.recipients == 0 and not facts.audience_counts.get("monthly"):
        yield Found(
            "audience",
            "Nobody is in the audience.",
            "See why: newsletter audience show ISSUE.",
        )


@issue_rule("unfinished-settings", blocks=True)
def unfinished_settings(facts: IssueFacts) -> Iterator[Found]:
    for key in facts.unfinished_settings:
        if key != "organisation.postal_address":  # missing-postal-address says it where it is seen
            yield Found("config.toml", f"{key} is still to be filled in.", "Write it into config.toml.")


@issue_rule("no-signing-key", blocks=True)
def no_signing_key(facts: IssueFacts) -> Iterator[Found]:
    if facts.signing_trouble is not None:
        message, fix = facts.signing_trouble
        yield Found("dkim", message, fix)


@issue_rule("lost-replies", blocks=True)
def lost_replies(facts: IssueFacts) -> Iterator[Found]:
    if facts.lost_replies is not None:
        message, fix = facts.lost_replies
        yield Found("organisation.reply_to", message, fix)


@issue_rule("not-approved", blocks=True)
def not_approved(facts: IssueFacts) -> Iterator[Found]:
    if facts.approval != "four-eyes" or not facts.for_sending:
        return
    if not facts.approved:
        yield Found(
            "approval",
            "The present content is not approved.",
            "Let a second person run: newsletter issue approve ISSUE.",
        )
    elif facts.approved_by == facts.last_editor:
        yield Found(
            "approval",
            f"{facts.approved_by} approved what {facts.last_editor} wrote last.",
            "Let a second person approve it.",
        )


@issue_rule("not-tested", blocks=False)
def not_tested(facts: IssueFacts) -> Iterator[Found]:
    if not facts.tested:
        yield Found(
            "test",
            "No test copy went out since the last change.",
            "Look at one: newsletter issue test ISSUE --to ADDRESS.",
        )


@issue_rule("changed-at-source", blocks=False)
def changed_at_source(facts: IssueFacts) -> Iterator[Found]:
    for words in facts.changed_items:
        yield Found(
            "items", f"Changed at its source since it was drafted: {words}", "Accept the change, or keep yours."
        )


@document_rule("used-in-last-issue", blocks=False, of_form="any")
def used_in_last_issue(document: Document, facts: IssueFacts) -> Iterator[Found]:
    known = {title.casefold() for title in facts.previous_titles}
    for post in document.posts:
        if post.title.casefold() in known:
            yield Found(post.title, "The last issue had it as well.", "Take it out, or say why it is here again.")


@document_rule("personal-detail", blocks=False)
def personal_detail(document: Document, _facts: IssueFacts) -> Iterator[Found]:
    own = document.content.sender
    for element, text in document.runs:
        for what, pattern in _PERSONAL:
            found = pattern.search(text)
            if found and found[0] not in (own.from_address, own.reply_to) and element.tag != "title":
                yield Found(
                    f"'{found[0]}'",
                    f"This looks like {what}. Could somebody be recognised by it?",
                    "Take it out, or make sure that the person agreed.",
                )
