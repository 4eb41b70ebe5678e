"""The form for other sites, as `newsletter lists form` prints it."""

from __future__ import annotations

from newsletter.app import App
from newsletter.errors import InvalidValue
from newsletter.web.pages import load_pages
from newsletter.web.sign_up_form import Offer, embedded_form
from subscribers.errors import Conflict
from subscribers.tables import MailingList


def form_of(app: App, mailing_list: MailingList, *, page: str, language: str) -> str:
    """
    Return the HTML.

    Raises:
        Conflict: When the list is not offered on the site.
        InvalidValue: When the page is none, or the site does not speak the language.
    """
    if not mailing_list.open:
        raise Conflict(
            f"The list '{mailing_list.name}' is not open: a form for it would answer nobody.",
            hint=f"Open it first: newsletter lists set {mailing_list.name} --open",
        )
    if page and not (page.isprintable() and page.startswith(("https://", "http://"))):
        raise InvalidValue(f"'{page}' is no page.", hint="Write its address, such as https://www.example.org/news")
    pages = load_pages(app.template_folders, app.config.organisation, web=app.config.web)
    offered = pages.languages.offered
    if language and language not in offered:
        raise InvalidValue(
            f"The site does not speak '{language}'.", hint=f"It speaks: {', '.join(offered)}. See docs/translations.md."
        )
    return embedded_form(
        pages,
        app.keys.links,
        Offer.of(mailing_list),
        web_url=app.config.web.url,
        page=page or "another site",
        language=language,
        now=app.now(),
    )
