"""Signing up with a real worker and real mail: from the form to the list, and ten thousand sign-ups of a stranger."""

from __future__ import annotations

import email
import email.policy
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
from lxml import html
from sqlalchemy import func, select

from newsletter.app import App
from newsletter.tables import Notice, WebRequest
from newsletter.worker import Worker
from subscribers import people
from subscribers.tables import ConsentEvent, MailingList, Subscriber, Subscription
from tests.asked.conftest import offer, send_form  # noqa: F401  (fixtures)
from tests.conftest import smallest_config
from tests.peers.fixtures import Postfix, wait_until
from tests.send.conftest import sending_app, start_sink  # noqa: F401  (fixtures)
from tests.web.conftest import running

pytestmark = pytest.mark.journey
VICTIMS = 9


@contextmanager
def working(app: App) -> Iterator[None]:
    """A worker beside the site."""
    worker = Worker(app, print)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        worker.stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_from_the_form_to_the_list_by_a_mail_that_a_mail_server_delivered(
    postfix: Postfix,
    sending_app,  # noqa: F811
    offer,  # noqa: F811
) -> None:
    """A scanner opens every link of the mail first; the person presses the button."""
    app: App = sending_app(postfix.port)
    app.config = app.config.model_copy(update={"signup": app.config.signup.model_copy(update={"min_fill_seconds": 0})})
    offer(app, "members")
    with running(app) as address, working(app), httpx.Client(base_url=address, trust_env=False) as person:
        form = html.fromstring(person.get("/sign-up").content).forms[0]
        fields = dict(form.form_values()) | {"email": "joiner@example.org"}
        assert person.post("/sign-up", data=fields).status_code == 200
        wait_until(lambda: bool(postfix.mail_of("joiner")), "the confirmation did not arrive")
        (path,) = postfix.mail_of("joiner")
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        links = re.findall(r"https://news\.example\.org(/\S+)", mail.get_content())
        assert links[1:] == ["/requests"]
        for link in links:
            assert person.get(link).status_code == person.head(link).status_code == 200
        with app.database.read() as session:
            assert session.scalar(select(func.count()).select_from(Subscriber)) == 0
        assert person.post(links[0]).status_code == 200
    with app.database.read() as session:
        joined = people.find(session, "joiner@example.org")
        on = session.execute(
            select(MailingList.name, Subscription.state)
            .join(Subscription, Subscription.list_id == MailingList.id)
            .where(Subscription.subscriber_id == joined.id)
        ).all()
        assert [tuple(row) for row in on] == [("members", "subscribed")]
        assert session.scalars(select(ConsentEvent.action)).all() == ["requested", "confirmed"]


def test_ten_thousand_sign_ups_for_nine_addresses_send_nine_mails(
    start_sink,  # noqa: F811
    sending_app,  # noqa: F811
    offer,  # noqa: F811
    send_form,  # noqa: F811
) -> None:
    """From a hundred networks, in every spelling, with all limits but that of an address out of the way."""
    sink = start_sink()
    app: App = sending_app(sink.port)
    limits = {"per_hour": 10_000, "per_hour_per_domain": 10_000, "per_hour_per_network": 10_000}
    app.config = app.config.model_copy(update={"signup": smallest_config(signup=limits).signup})
    offer(app, "members")
    begun = app.now()
    app.now = lambda: begun  # writing the requests down takes longer than a form may look new
    for block in range(100):
        spellings = [_spelling(n % VICTIMS, n * 100 + block) for n in range(100)]
        send_form(app, *spellings, network=f"10.{block}.0.0/24")
    Worker(app, print).once()
    sent = Counter(re.sub(r"\+.*", "", to.partition("@")[0].lower().replace(".", "")) for to in sink.accepted())
    assert sent == {f"victim{number}": 1 for number in range(VICTIMS)}
    assert set(sink.accepted().values()) == {1}
    app.now = lambda: begun + timedelta(hours=23)
    send_form(app, *[_spelling(number, 1) for number in range(VICTIMS)])
    Worker(app, print).once()
    assert len(sink.accepted()) == VICTIMS
    with app.database.read() as session:
        assert session.scalar(select(func.count()).where(WebRequest.done_at.is_(None))) == 0
        assert session.scalar(select(func.count()).select_from(Notice)) == VICTIMS


def _spelling(victim: int, number: int) -> str:
    """All of one victim are one mailbox: capitals, dots and what follows a plus mean nothing there."""
    name = f"victim{victim}" if number % 2 else f"V.ICTIM{victim}"
    tag = f"+{number}" if number % 3 else ""
    return f"{name}{tag}@{'googlemail.com' if number % 5 == 0 else 'Gmail.com'}"
