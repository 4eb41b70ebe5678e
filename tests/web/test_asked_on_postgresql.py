"""What is asked for on the site, on PostgreSQL: one answer and one run of statements, whoever it is about."""

from __future__ import annotations

import httpx
import pytest
from lxml import html

from newsletter.app import App
from subscribers import lists, people, suppression
from subscribers.tables import Subscriber
from subscribers.tokens import unsubscribe_token
from tests.web.test_sign_up import shown, statements

pytestmark = pytest.mark.journey
TYPED = (
    "new@example.org",
    "known@example.org",
    "left@example.org",
    "erased@example.org",
    "postmaster@example.org",
    "no address",
)


@pytest.fixture
def token(app_on_postgresql: App) -> str:
    """The token of somebody who is known, beside addresses that are not to be mailed."""
    app = app_on_postgresql
    with app.database.write() as session:
        made = lists.create(session, "members", title="Members", open_to_all=True, at=app.now())
        known = people.add(session, pepper=app.keys.pepper, address="known@example.org", at=app.now())
        for name, reason in (("left", suppression.UNSUBSCRIBED), ("erased", suppression.ERASED)):
            suppression.suppress(
                session,
                address=f"{name}@example.org",
                pepper=app.keys.pepper,
                reason=reason,
                evidence="x",
                at=app.now(),
            )
        session.flush()
        return unsubscribe_token(app.keys.links.current, known.token_id, made.id)


def test_everybody_gets_the_same_bytes_by_the_same_statements(app_on_postgresql: App, serve, token: str) -> None:
    app = app_on_postgresql
    with serve(app) as base, httpx.Client(base_url=base, timeout=30, trust_env=False) as site:
        form = html.fromstring(site.get("/sign-up").content).xpath("//input[@name='form']/@value")[0]
        asked = [
            ("/sign-up", [{"email": each, "list": "members", "form": form} for each in TYPED]),
            ("/preferences", [{"address": each} for each in TYPED]),
        ]
        for path, bodies in asked:
            site.post(path, data=bodies[0])  # the first of a network begins its limit
            seen = [_of(app, site, path, body) for body in bodies]
            assert seen == [seen[0]] * len(seen)
        known = _of(app, site, f"/preferences/{token}", {})
        with app.database.write() as session:
            session.delete(session.query(Subscriber).one())
        assert _of(app, site, f"/preferences/{token}", {}) == known
    assert not [text for text in known[1] if "subscribers" in text]


def _of(app: App, site: httpx.Client, path: str, body: dict[str, str]) -> tuple[object, list[str]]:
    with statements(app) as ran:
        answered = shown(site.post(path, data=body))
    assert answered[0] == 200
    return answered, ran
