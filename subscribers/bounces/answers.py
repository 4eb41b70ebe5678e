"""
Who wrote a mail, a person or a program: asked before words in a subject or a text are taken for a machine's.

A person who answers keeps our subject, whatever words it has. A wrong "machine" drops them in silence; a wrong
"person" costs the chair one mail.
"""

from __future__ import annotations

import re
from email.utils import parseaddr

from subscribers.bounces.mail import Mail

# "Re:" as the mail programs of our readers' languages write it, also counted: "Re[2]:". Forwarding is no answer.
_PREFIX = re.compile(
    r"^\W*(?:re|aw|antw?|odp|sv|vs|ynt|ris|rif|res|r|atb|ats|răsp|rasp|відп|ответ|отв|απ|σχετ"
    r"|رد|جواب|ਜਵਾਬ|উত্তর|जवाब|回复|回覆|答复)(?:\[\d{1,3}\]|\(\d{1,3}\)|\^\d{1,3})?\s*[:：]",
    re.IGNORECASE,
)
_ROBOT = re.compile(r"mailer-?daemon|mail delivery (?:sub)?system|^<>$", re.IGNORECASE)
_ROBOT_ADDRESS = re.compile(r"\b(?:no-?reply|do-?not-?reply)\b", re.IGNORECASE)


def has_answer_prefix(mail: Mail) -> bool:
    """Whether the subject begins as that of an answer."""
    return _PREFIX.match(mail.header("subject")[:200]) is not None


def is_robot(mail: Mail) -> bool:
    """Whether the address of From is a program's. Who answers as postmaster is the person behind that address."""
    written = mail.header("from")
    local_part = parseaddr(written[:1000])[1].partition("@")[0]
    if _ROBOT.search(written) or _ROBOT_ADDRESS.search(local_part):
        return True
    return local_part.lower() == "postmaster" and not has_answer_prefix(mail)


def says_automatic(mail: Mail) -> bool:
    """Whether the header says that no person sent it. Source: RFC 3834 5; RFC 3464 2."""
    submitted = mail.header("auto-submitted").lower()
    if submitted and not submitted.startswith("no"):
        return True
    if mail.message.get_content_type() == "multipart/report" or mail.statuses or mail.header("x-failed-recipients"):
        return True
    return mail.header("return-path") == "<>"


def may_be_an_answer(mail: Mail) -> bool:
    """Whether nothing but words tells a mail from a person's."""
    return not (is_robot(mail) or says_automatic(mail))


def is_answer(mail: Mail) -> bool:
    """Whether a person answers a mail, whatever its subject was."""
    return has_answer_prefix(mail) and may_be_an_answer(mail)
