"""
The sign-up form, on the site and for other sites: what a page shows is what its ticket holds, word for word.

A form that is embedded is plain HTML without script, style or picture; whoever visits that site tells us nothing by it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from newsletter.asked.form_ticket import VERSION, FormTicket, seal
from newsletter.render.links import sign_up_url
from newsletter.web.languages import PARAMETER, Wanted
from newsletter.web.pages import Pages
from subscribers.tables import MailingList
from subscribers.tokens import Keyring

TRAP = "subject"  # no browser fills it in by itself, as it does with names and addresses


@dataclass(frozen=True, slots=True)
class Offer:
    """A list as a form shows it."""

    name: str
    title: str
    description: str

    @classmethod
    def of(cls, mailing_list: MailingList) -> Offer:
        return cls(mailing_list.name, mailing_list.title, mailing_list.description)


def sealer(
    ring: Keyring, offers: Sequence[Offer], *, page: str, now: datetime, embedded: bool = False
) -> Callable[[str, str], str]:
    """Return what a template makes the form's ticket with, from the words that it shows and their language."""

    def make(statement: str, language: str) -> str:
        return seal(
            ring,
            FormTicket(
                made_at=now,
                embedded=embedded,
                page=page,
                version=VERSION,
                language=language,
                statement=Markup(statement).striptags(),  # noqa: S704  # to text, from our own page
                offered={one.name: one.title for one in offers},
                number="" if embedded else secrets.token_urlsafe(12),
            ),
        )

    return make


def embedded_form(
    pages: Pages, ring: Keyring, offer: Offer, *, web_url: str, page: str, language: str, now: datetime
) -> str:
    """
    Return the HTML of a form for another site.

    Args:
        page: Where it will stand, as the ledger is to name it.
        language: A language of the site; empty for the organisation's.
    """
    action = sign_up_url(web_url) + (f"?{PARAMETER}={language}" if language else "")
    form, _ = pages.render(
        "sign-up-embedded",
        Wanted(asked=language),
        offer=offer,
        action=action,
        seal=sealer(ring, [offer], page=page, now=now, embedded=True),
        trap=TRAP,
    )
    return form.strip() + "\n"
