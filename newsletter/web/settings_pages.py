"""
The settings of one person, reached by a link that was just mailed to them.

Opening the link spends nothing: scanners do that. The button's POST spends it and answers with the page, whose forms
carry a session of their own for half an hour. No cookie is set, so no other site can make a browser act for somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from newsletter.asked.settings_link import LINK
from newsletter.personal_data.erasing import erase_address
from newsletter.web.languages import WANTED, Wanted, marked
from newsletter.web.leaving import ACTOR
from newsletter.web.settings_saving import EVIDENCE, Saved, leave_all, save
from newsletter.web.settings_view import Settings, settings_of
from newsletter.web.site import Site
from subscribers import one_time
from subscribers.errors import NotFound, TokenInvalid
from subscribers.tables import Subscriber

SESSION = "settings"
SESSION_FOR = timedelta(minutes=30)
MOST_FIELDS = 300  # a box for each list, and a dozen others
FILES = {"json": "application/json", "html": "text/html; charset=utf-8"}
WORDING = marked("I would like to get “%(title)s” from %(organisation)s by email. I can stop at any time.")


class Do(StrEnum):
    """What a form of the page asks for."""

    SAVE = "save"
    LEAVE_ALL = "leave all"
    DOWNLOAD = "download"
    ASK_ERASE = "ask to erase"
    ERASE = "erase"
    BACK = "back"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the page is made of, once the transaction is over; `language` is the person's."""

    settings: Settings
    saved: Saved
    session: str
    language: str


@dataclass
class SettingsPages:
    """The handlers."""

    site: Site

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/settings/{token}", self.settings, methods=["GET", "POST"])]

    async def settings(self, request: Request) -> Response:
        try:
            if request.method != "POST":
                return await self._door(request.path_params["token"])
            if request.headers.get("sec-fetch-site") == "cross-site":  # a page of ours sends no other
                raise HTTPException(400)
            async with self.site.form(request, most_fields=MOST_FIELDS) as form:
                if "session" not in form:
                    return await self._open(request.path_params["token"])
                return await self._do(str(form["session"]), form)
        except TokenInvalid:
            return self.site.page("settings_over", 404, erasing=False)

    async def _door(self, token: str) -> Response:
        app = self.site.app

        def look() -> None:
            with app.database.read() as session:
                one_time.look(session, LINK, token, now=app.now())

        await self.site.read(look)
        return self.site.page("settings_open")

    async def _open(self, token: str) -> Response:
        def work(session: Session, now: datetime) -> _Shown:
            spent = one_time.spend(session, LINK, token, now=now, again_within=one_time.PRESSED_AGAIN)
            opened = one_time.mint(session, SESSION, now=now, lifetime=SESSION_FOR, subscriber_id=spent.subscriber_id)
            return self._shown(session, _person(session, spent.subscriber_id), opened, Saved(), now)

        return self._page(await self.site.change(work))

    async def _do(self, held: str, form: FormData) -> Response:
        asked = str(form.get("do", ""))
        if asked not in set(Do):
            raise HTTPException(400)
        do = Do(asked)
        if do is Do.DOWNLOAD:
            return await self._download(held, str(form.get("as", "")))
        if do is Do.ERASE:
            return await self._erase(held)
        if do is Do.CLOSE:
            await self.site.change(lambda session, now: _close(session, held, now))
            return self.site.page("settings_closed")
        wanted = WANTED.get()  # of this request: the work below is done elsewhere

        def work(session: Session, now: datetime) -> _Shown:
            person = _person(session, one_time.look(session, SESSION, held, now=now).subscriber_id)
            saved = Saved()
            if do is Do.LEAVE_ALL:
                saved = leave_all(session, person, now=now)
            elif do is Do.SAVE:
                wording = self._wording(person.language or "", wanted)
                saved = save(session, person, form, wording=wording, now=now, today=self._day(now))
            return self._shown(session, person, held, saved, now)

        shown = await self.site.change(work)
        if do is Do.ASK_ERASE:
            return self.site.page("settings_erase", person_language=shown.settings.language, session=held)
        return self._page(shown, just_saved=do is Do.SAVE)

    def _day(self, now: datetime) -> date:
        return now.astimezone(self.site.app.config.organisation.zone).date()

    def _shown(self, session: Session, person: Subscriber, held: str, saved: Saved, now: datetime) -> _Shown:
        offered, tomorrow = self.site.pages.languages.offered, self._day(now) + timedelta(days=1)
        settings = settings_of(session, person, offered=offered, tomorrow=tomorrow, typed=saved.typed)
        return _Shown(settings, saved, held, person.language or "")

    def _page(self, shown: _Shown, *, just_saved: bool = False) -> Response:
        return self.site.page(
            "settings",
            422 if shown.saved.wrong else 200,
            person_language=shown.language,
            settings=shown.settings,
            saved=shown.saved,
            just_saved=just_saved,
            session=shown.session,
            wording=WORDING,
            contact=self.site.contact,
        )

    def _wording(self, language: str, wanted: Wanted) -> Callable[[str], str]:
        """Return what gives the words beside a list's box, in the language in which the page showed them."""
        pages, name = self.site.pages, self.site.pages.organisation.name
        return lambda title: pages.say(WORDING, wanted, person_language=language, title=title, organisation=name)

    async def _erase(self, held: str) -> Response:
        app = self.site.app

        def erase() -> str:
            with app.database.read() as session:
                token = one_time.look(session, SESSION, held, now=app.now())
                person = session.get_one(Subscriber, token.subscriber_id)
            try:
                erase_address(app, person.address, evidence=EVIDENCE, actor=ACTOR)
            except NotFound:  # by a second press of the button
                raise TokenInvalid("This link is not valid.") from None
            return person.language or ""

        try:
            language = await self.site.write(erase)
        except TokenInvalid:  # a second press finds nobody: it must not read as if the first had done nothing
            return self.site.page("settings_over", 404, erasing=True)
        return self.site.page("settings_erased", person_language=language)

    async def _download(self, held: str, kind: str) -> Response:
        # Here and not at the top: the pages that most people need do not wait for it.
        from newsletter.personal_data.subject_access import as_json, held_about
        from newsletter.personal_data.subject_access_page import as_page

        app = self.site.app
        if kind not in FILES:
            raise HTTPException(400)

        def read() -> str:
            with app.database.read() as session:
                token = one_time.look(session, SESSION, held, now=app.now())
                person = session.get_one(Subscriber, token.subscriber_id)
                about = held_about(app, session, person.address)
            if kind == "json":
                return as_json(about)
            return as_page(about, name=app.config.organisation.name, at=app.now())

        headers = {
            "content-disposition": f'attachment; filename="my-data.{kind}"',
            "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        }
        return Response(await self.site.read(read), media_type=FILES[kind], headers=headers)


def _close(session: Session, held: str, now: datetime) -> None:
    """Close the settings; those that are over, or were closed by a first press, are closed as well."""
    with suppress(TokenInvalid):
        one_time.spend(session, SESSION, held, now=now)


def _person(session: Session, subscriber_id: int | None) -> Subscriber:
    """Return the person of a token, so that nobody else changes them until this transaction ends."""
    return session.get_one(Subscriber, subscriber_id, with_for_update={"key_share": True})
