"""What is asked for on the site is answered once each, by whichever worker is there, and nothing of it stays."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from newsletter.asked import requests
from newsletter.asked.answering import LONGEST_WAIT, Answering
from newsletter.asked.requests import network_of, write_down
from newsletter.errors import TemplateError
from newsletter.render.notice import NoticeText
from newsletter.send.instance import CopiedDatabase, note_place
from newsletter.send.notices import post
from newsletter.tables import Notice, NoticeKind, Setting, WebRequest, WebRequestKind
from newsletter.worker import Worker
from subscribers.errors import DatabaseUnavailable
from tests.peers.fixtures import wait_until

LINK = WebRequestKind.LINK
TEXT = NoticeText("Your link", "Follow it.\n")


@pytest.fixture(params=["app", "app_on_postgresql"])
def anywhere(request):
    """The application on each database."""
    return request.getfixturevalue(request.param)


def ask(app, *addresses, at=None) -> None:
    with app.database.write() as session:
        for address in addresses:
            write_down(session, LINK, fields={"address": address}, network="192.0.2.0/24", now=at or app.now())


def mail(app, session, asked) -> None:
    post(app, session, TEXT, kind=NoticeKind.LINK, to=asked.text("address"))


def rows(app) -> list[tuple]:
    with app.database.read() as session:
        found = session.execute(select(WebRequest.done_at, WebRequest.fields, WebRequest.network))
        return [tuple(row) for row in found]


def mailed(app) -> list[str]:
    with app.database.read() as session:
        return sorted(session.scalars(select(Notice.address)))


def answering(app, answer=mail, said=None) -> Answering:
    return Answering(app, (said if said is not None else []).append, {LINK: answer})


def test_a_request_is_answered_once_and_blanked(anywhere):
    ask(anywhere, "ann@example.org", "bob@example.org")
    service = answering(anywhere)
    assert [service.once(), service.once()] == [0, 0]
    assert mailed(anywhere) == ["ann@example.org", "bob@example.org"]
    assert rows(anywhere) == [(anywhere.now(), {}, "")] * 2


def test_several_workers_at_once_answer_each_request_once(anywhere):
    addresses = [f"person{n}@example.org" for n in range(60)]
    ask(anywhere, *addresses)
    workers = [threading.Thread(target=answering(anywhere).once) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert mailed(anywhere) == sorted(addresses)


def test_an_answer_that_is_cut_short_is_begun_again(anywhere):
    """The notice and the mark that it is done are one commit."""

    def die(app, session, asked) -> None:
        mail(app, session, asked)
        raise KeyboardInterrupt

    ask(anywhere, "ann@example.org")
    with pytest.raises(KeyboardInterrupt):
        answering(anywhere, die).once()
    assert mailed(anywhere) == []
    assert answering(anywhere).once() == 0
    assert mailed(anywhere) == ["ann@example.org"]


@pytest.mark.parametrize("error", [TemplateError("notices/x.j2, line 3: oh"), RuntimeError("bob@example.org")])
def test_one_that_cannot_be_answered_waits_and_keeps_no_other_from_it(anywhere, error):
    def fail_for_bob(app, session, asked) -> None:
        mail(app, session, asked)
        if asked.text("address").startswith("bob"):
            raise error

    said: list[str] = []
    ask(anywhere, "ann@example.org", "bob@example.org", "cat@example.org")
    service = answering(anywhere, fail_for_bob, said)
    assert [service.once(), service.once()] == [1, 1]
    assert mailed(anywhere) == ["ann@example.org", "cat@example.org"]
    assert len(said) == 1
    assert "bob" not in said[0]
    assert answering(anywhere).once() == 0
    assert mailed(anywhere) == ["ann@example.org", "bob@example.org", "cat@example.org"]


def test_a_database_that_goes_away_meanwhile_is_no_fault_of_a_request(app):
    """The worker beside it tells that; nothing is marked done, and all is answered when it is back."""

    def lose_the_database(app, session, asked) -> None:
        session.connection().exec_driver_sql("SELECT * FROM nowhere")

    said: list[str] = []
    ask(app, "ann@example.org", "bob@example.org")
    with pytest.raises(DatabaseUnavailable):
        answering(app, lose_the_database, said).once()
    assert said == []
    answering(app).once()
    assert len(mailed(app)) == 2


def test_what_waited_for_a_day_is_not_answered_and_blanked(app):
    said: list[str] = []
    ask(app, "ann@example.org", at=app.now() - LONGEST_WAIT - timedelta(minutes=1))
    answering(app, said=said).once()
    assert mailed(app) == []
    assert rows(app) == [(app.now(), {}, "")]
    assert said == ["A link request of the site waited for more than a day and is not answered."]


def test_a_row_that_is_done_is_deleted_a_day_later(app):
    ask(app, "ann@example.org")
    answering(app).once()
    begun = app.now()
    app.now = lambda: begun + timedelta(hours=25)
    answering(app).once()
    assert rows(app) == []


def test_a_copied_database_answers_nothing(app):
    with app.database.write() as session:
        note_place(session, app.now())
        row = session.get_one(Setting, "instance")
        row.value = {**row.value, "place": "elsewhere"}
    ask(app, "ann@example.org")
    with pytest.raises(CopiedDatabase):
        answering(app).once()
    assert rows(app)[0][0] is None


def test_a_worker_answers_while_it_runs_and_once(app):
    """A kind that nobody answers is done in silence: nobody can fill the table with it."""
    ask(app, "ann@example.org")
    Worker(app, lambda _: None).once()
    assert [done is not None for done, _, _ in rows(app)] == [True]
    ask(app, "bob@example.org")
    worker = Worker(app, lambda _: None)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_until(lambda: all(done is not None for done, _, _ in rows(app)), "it was not answered")
    finally:
        worker.stop.set()
        thread.join(30)


def test_nobody_fills_the_disk_while_no_worker_runs(app, monkeypatch):
    monkeypatch.setattr(requests, "MOST_WAITING", 3)
    ask(app, "a@example.org", "b@example.org", "c@example.org", "d@example.org")
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(WebRequest)) == 3


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("testclient", ""),
        (None, ""),
    ],
)
def test_a_network_is_as_wide_as_the_limits(host, network):
    assert network_of(host) == network
