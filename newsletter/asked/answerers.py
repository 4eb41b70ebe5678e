"""
Who answers what: one function for each kind of request.

An answerer looks up, decides, and enqueues notices, all in the transaction it is handed; the request is marked done in
the same one. It raises only when somebody must mend something first: then the request waits and is tried again. What
was typed is never in the words of an error. Silence is an answer too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sqlalchemy.orm import Session

from newsletter.asked import sign_up
from newsletter.asked.person_request import answer_request
from newsletter.asked.requests import Asked
from newsletter.asked.settings_link import answer_link
from newsletter.send.report import Parts
from newsletter.tables import WebRequestKind

Answerer = Callable[[Parts, Session, Asked], None]

ANSWERERS: Mapping[WebRequestKind, Answerer] = MappingProxyType(
    {
        WebRequestKind.SIGN_UP: sign_up.answer,
        WebRequestKind.LINK: answer_link,
        WebRequestKind.REQUEST: answer_request,
    }
)
