"""Signing up: who is mailed, how often, from how many networks; and that nothing is in the ledger before a link."""

from __future__ import annotations

import email
import email.policy
import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from newsletter.app import App
from newsletter.asked import confirming, limits
from newsletter.asked.answering import Answering
from newsletter.asked.form_ticket import VERSION, FormTicket, seal
from newsletter.config.sign_up import SignUpSettings
from newsletter.fresh_keys import FreshKeys
from newsletter.keys import rotate_key
from newsletter.send import alerts
from newsletter.tables import Notice, Throttle, WebRequest
from subscribers import consent, leaving, lists, people, suppression
from subscribers.errors import TokenInvalid
from subscribers.tables import (
    Basis,
    ConsentEvent,
    MailingList,
    OneTimeToken,
    SignUp,
    Subscriber,
    Subscription,
    Suppression,
)
from tests.asked.conftest import PAGE, STATEMENT
from tests.conftest import smallest_config

ANN = "ann@example.org"
LINK = re.compile(r"https://news\.example\.org/sign-up/(\S+)")


class Clock:
    """A clock that a test moves."""

    def __init__(self, app: App) -> None:
        self.time = app.now()

    def __call__(self):
        return self.time

    def tick(self, **step: float) -> None:
        self.time += timedelta(**step)


@pytest.fixture(params=["app", "app_on_postgresql"])
def anywhere(request: pytest.FixtureRequest) -> App:
    """The application on each database."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def clock(app: App) -> Clock:
    app.now = Clock(app)
    return app.now


def answer(app: App) -> None:
    assert Answering(app, pytest.fail).once() == 0


def notices(app: App) -> list[tuple[str, str]]:
    """Return the recipients and subjects of what was enqueued."""
    with app.database.read() as session:
        return [tuple(row) for row in session.execute(select(Notice.address, Notice.subject).order_by(Notice.id))]


def texts(app: App) -> list[str]:
    with app.database.read() as session:
        messages = session.scalars(select(Notice.message).order_by(Notice.id)).all()
    return [email.message_from_bytes(raw, policy=email.policy.default).get_content() for raw in messages]


def tokens(app: App) -> list[str]:
    return [found[1] for text in texts(app) if (found := LINK.search(text))]


def confirm(app: App, token: str) -> bool:
    with app.database.write() as session:
        return confirming.confirm(app, session, token)


def subscribed(app: App, address: str = ANN) -> dict[str, str]:
    with app.database.read() as session:
        statement = (
            select(MailingList.name, Subscription.state)
            .join(Subscription, Subscription.list_id == MailingList.id)
            .join(Subscriber)
            .where(Subscriber.key == address)
        )
        return {name: state.value for name, state in session.execute(statement)}


def put_on(app: App, *names: str, address: str = ANN) -> None:
    with app.database.write() as session:
        person = people.find_or_none(session, address)
        person = person or people.add(session, pepper=app.keys.pepper, address=address, at=app.now())
        session.flush()
        for name in names:
            values = {
                "basis": Basis.CONSENT,
                "source": "test",
                "actor": "tester",
                "evidence": "a form",
                "at": app.now(),
            }
            consent.grant(session, person, lists.get(session, name), **values)


def stop(app: App, reason: str, **what: object) -> None:
    with app.database.write() as session:
        about = what if "domain" in what else {"address": ANN, **what}
        suppression.suppress(session, pepper=app.keys.pepper, reason=reason, evidence="x", at=app.now(), **about)


def count(app: App, table: type) -> int:
    with app.database.read() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_a_sign_up_mails_a_link_and_writes_nothing_to_the_ledger(anywhere, offer, send_form):
    offer(anywhere, "members")
    send_form(anywhere, " Ann@Example.ORG ")
    answer(anywhere)
    assert notices(anywhere) == [("Ann@example.org", "Please confirm your email address")]
    assert [count(anywhere, table) for table in (Subscriber, ConsentEvent, Subscription)] == [0, 0, 0]
    (text,) = texts(anywhere)
    assert "The members" in text
    assert "until 9 November 2026" in text
    assert len(tokens(anywhere)) == 1


def test_a_confirmation_writes_what_was_asked_and_confirmed_with_its_wording(anywhere, offer, send_form):
    offer(anywhere, "members", "partners")
    send_form(anywhere, ANN, names=("members", "partners"), origin="https://charity.example")
    answer(anywhere)
    (token,) = tokens(anywhere)
    with anywhere.database.write() as session:
        lists.change(session, lists.get(session, "members"), title="Another title", open_to_all=False)
    assert confirm(anywhere, token)
    assert subscribed(anywhere) == {"members": "subscribed", "partners": "subscribed"}
    with anywhere.database.read() as session:
        lines = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id)).all()
    assert [line.action.value for line in lines] == ["requested", "confirmed"] * 2
    first, second = lines[:2]
    assert first.wording == second.wording == f"{STATEMENT}\nThe members"
    assert first.wording_hash == consent.hash_wording(first.wording)
    assert first.source == "sign-up form on https://news.example.org/sign-up"
    assert "form sign-up/1 in en-GB, form shown 2026-11-02 09:29:00 UTC" in first.evidence
    assert "from https://charity.example" in first.evidence
    assert "link that was mailed 2026-11-02 09:30 UTC" in second.evidence
    assert "192.0.2" not in first.evidence + second.evidence
    assert (first.basis, first.actor) == (Basis.CONSENT, "subscriber")


def test_a_link_works_once_and_not_for_ever(app, clock, offer, send_form):
    offer(app, "members")
    send_form(app, ANN)
    answer(app)
    (token,) = tokens(app)
    begun = clock.time
    clock.time = begun + timedelta(days=7)
    with pytest.raises(TokenInvalid):
        confirm(app, token)
    clock.time = begun + timedelta(days=6, hours=23)
    for _ in range(3):
        with app.database.read() as session:
            confirming.look(session, token, now=app.now())
    assert subscribed(app) == {}
    assert confirm(app, token)
    clock.tick(seconds=9)
    lines = count(app, ConsentEvent)
    assert confirm(app, token)  # a double click shows the answer to the second press alone
    assert count(app, ConsentEvent) == lines == 2
    clock.tick(seconds=1)
    with pytest.raises(TokenInvalid):
        confirm(app, token)
    with app.database.read() as session, pytest.raises(TokenInvalid):
        confirming.look(session, token, now=app.now())


@pytest.mark.parametrize("token", ["", "x" * 43, "v1.AAAA"])
def test_a_made_up_link_confirms_nothing(app, token):
    with pytest.raises(TokenInvalid):
        confirm(app, token)


@pytest.mark.parametrize(
    "how",
    [
        {"fields": {"trap": True}},
        {"fields": {"form": ""}},
        {"fields": {"form": "v1.forged"}},
        {"fields": {"form": 7}},
        {"fields": {"lists": "members"}},
        {"fields": {"lists": [["members"]]}},
        {"fields": {"lists": ["secret"]}},
        {"fields": {"email": None}},
        {"shown": timedelta(seconds=1)},
        {"shown": timedelta(hours=49)},
        {"shown": timedelta(minutes=-5)},
        {"names": ("closed",)},
        {"names": ("secret",)},
        {"address": "postmaster@example.org"},
        {"address": "news@example.org"},
        {"address": "NEWS@example.org"},
        {"address": "b+unsubscribe@example.org"},
        {"address": "nobody"},
        {"address": "a@b@c"},
        {"address": "persön@example.org"},
        {"address": f"{ANN}\r\nRCPT TO:<bob@example.org>"},
        {"address": "ann@nowhere-at-all.invalid."},
    ],
)
def test_what_is_refused_is_refused_in_silence(app, offer, send_form, how):
    """A trap that was filled in, a form that is not ours, too soon or too late, a list that is not offered, a role."""
    offer(app, "members", "closed")
    with app.database.write() as session:
        lists.create(session, "secret", at=app.now())
        lists.archive(session, lists.get(session, "closed"), at=app.now())
    fields = how.pop("fields", {})
    send_form(app, how.pop("address", ANN), **how, **fields)
    answer(app)
    assert notices(app) == []
    with app.database.read() as session:
        assert session.scalars(select(WebRequest.fields)).all() == [{}]


def test_a_form_signed_with_a_key_that_is_newer_than_the_worker_is_ours(app, offer, send_form):
    offer(app, "members")
    worker_keys = app.keys
    rotate_key(app.workspace.secrets, "links")
    app.keys = FreshKeys(app.workspace.secrets).current()
    send_form(app, ANN)
    app.keys = worker_keys
    answer(app)
    assert len(notices(app)) == 1


def test_an_embedded_form_has_no_time_but_a_limit_of_its_own(app, offer, send_form):
    app.config = smallest_config(signup={"per_hour_embedded": 2})
    offer(app, "members")
    for number in range(3):
        address = f"person{number}@example.org"
        send_form(app, address, shown=timedelta(days=900), embedded=True, network=f"192.0.{number}.0/24")
    answer(app)
    assert [to for to, _ in notices(app)] == ["person0@example.org", "person1@example.org"]


@pytest.mark.parametrize(
    "reason",
    [suppression.COMPLAINT, suppression.HARD_BOUNCE, suppression.SOFT_BOUNCES, suppression.BY_HAND, "elsewhere"],
)
@pytest.mark.parametrize("one_list", [False, True])
def test_whom_a_person_must_let_in_is_not_mailed(app, offer, send_form, reason, one_list):
    offer(app, "members")
    stop(app, reason, list_id=1 if one_list else None)
    send_form(app, ANN)
    answer(app)
    assert notices(app) == []


def test_a_suppressed_domain_is_not_mailed(app, offer, send_form):
    offer(app, "members")
    stop(app, suppression.UNSUBSCRIBED, domain="example.org")
    send_form(app, "ann@mail.example.org")
    answer(app)
    assert notices(app) == []


def test_an_erased_person_is_not_mailed_and_an_older_link_is_dead(app, clock, offer, send_form):
    offer(app, "members", "partners")
    put_on(app, "partners")
    send_form(app, ANN)
    answer(app)
    (token,) = tokens(app)
    with app.database.write() as session:
        leaving.erase(session, people.find(session, ANN), evidence="letter", at=app.now())
    assert count(app, SignUp) == 0
    with pytest.raises(TokenInvalid):
        confirm(app, token)
    clock.tick(days=2)
    send_form(app, ANN)
    answer(app)
    assert len(notices(app)) == 1


def test_whoever_left_everything_comes_back_by_confirming_and_to_what_was_asked_alone(anywhere, offer, send_form):
    """An entry by hand had left the person written down for another list, which must not begin to mail again."""
    app = anywhere
    offer(app, "members", "partners", "press")
    put_on(app, "members", "partners", "press")
    with app.database.write() as session:
        person = people.find(session, ANN)
        values = {"source": "x", "actor": "subscriber", "evidence": "x", "at": app.now()}
        consent.withdraw(session, person, lists.get(session, "members"), **values)
    stop(app, suppression.UNSUBSCRIBED)
    stop(app, suppression.UNSUBSCRIBED, list_id=1)
    stop(app, suppression.UNSUBSCRIBED, list_id=3)
    send_form(app, ANN)
    answer(app)
    assert confirm(app, tokens(app)[0])
    assert subscribed(app) == {"members": "subscribed", "partners": "unsubscribed", "press": "unsubscribed"}
    with app.database.read() as session:
        left = session.execute(select(Suppression.list_id, Suppression.lifted_by).order_by(Suppression.id)).all()
    assert [tuple(row) for row in left] == [(None, "subscriber"), (1, "subscriber"), (3, None)]


@pytest.mark.parametrize("reason", [suppression.COMPLAINT, suppression.ERASED, suppression.BY_HAND])
def test_a_confirmation_never_lifts_what_came_meanwhile(app, offer, send_form, reason):
    offer(app, "members")
    stop(app, suppression.UNSUBSCRIBED)
    send_form(app, ANN)
    answer(app)
    stop(app, reason)
    assert confirm(app, tokens(app)[0]) is False
    assert subscribed(app) == {}
    with app.database.read() as session:
        assert session.scalars(select(Suppression.lifted_at)).all() == [None, None]


def test_whoever_is_on_the_list_is_told_by_mail_alone_and_seldom(app, clock, offer, send_form):
    offer(app, "members", "partners")
    put_on(app, "members")
    for _ in range(40):
        send_form(app, ANN)
        answer(app)
        clock.tick(hours=25)
    subjects = [subject for _, subject in notices(app)]
    assert subjects == ["You need do nothing"] * 2
    assert "members" not in texts(app)[0]
    send_form(app, ANN, names=("members", "partners"))
    answer(app)
    assert notices(app)[2:] == [(ANN, "Please confirm your email address")]
    assert "The partners" in texts(app)[2]
    assert "The members" not in texts(app)[2]


def test_an_address_is_asked_once_a_day_and_three_times_ever(app, clock, offer, send_form):
    offer(app, "members")
    for spelling in (ANN, "ANN@example.org", "ann+1@example.org", "ann+2@example.org", "ann@EXAMPLE.org") * 3:
        send_form(app, spelling)
        answer(app)
        clock.tick(hours=12)
    assert len(notices(app)) == 3
    clock.tick(days=400)
    send_form(app, ANN)
    answer(app)
    assert len(notices(app)) == 3


def test_whoever_confirms_may_sign_up_again_at_once(app, clock, offer, send_form):
    offer(app, "members", "partners")
    for _ in range(3):
        send_form(app, ANN)
        answer(app)
        clock.tick(days=2)
    first, second, third = tokens(app)
    assert confirm(app, third)
    send_form(app, ANN, names=("partners",))
    answer(app)
    assert confirm(app, tokens(app)[3])
    assert subscribed(app) == {"members": "subscribed", "partners": "subscribed"}
    assert confirm(app, second)  # an older link of the same form still says what it said
    assert first != second


def test_each_link_stands_for_what_its_own_mail_said(app, clock, offer, send_form):
    """A stranger who ticks more the next day adds nothing to the link of the day before."""
    offer(app, "members", "press")
    send_form(app, ANN)
    answer(app)
    clock.tick(hours=25)
    send_form(app, ANN, names=("press",))
    answer(app)
    assert confirm(app, tokens(app)[0])
    assert subscribed(app) == {"members": "subscribed"}


def test_one_form_is_sent_a_few_times_and_no_more_as_long_as_it_is_good(anywhere, offer, send_form):
    """Somebody who mistyped sends it again; a machine that has it for two days gets nothing more out of it."""
    offer(anywhere, "members")
    start = anywhere.now()
    made = (start - timedelta(minutes=1)).replace(microsecond=0)
    one, other = (
        seal(
            anywhere.keys.links,
            FormTicket(made, False, PAGE, VERSION, "en-GB", STATEMENT, {"members": "The members"}, number),
        )
        for number in "ab"
    )
    for hours in (0, 3, 47):
        anywhere.now = lambda hours=hours: start + timedelta(hours=hours)
        send_form(anywhere, *[f"p{hours}x{n}@example{n}.org" for n in range(3)], form=one)
        answer(anywhere)
    assert len(notices(anywhere)) == limits.MOST_SENDS_OF_A_FORM == 5
    send_form(anywhere, "somebody@example.org", form=other)
    answer(anywhere)
    assert len(notices(anywhere)) == 6
    anywhere.now = lambda: start + timedelta(hours=50)
    with anywhere.database.write() as session:
        limits.forget_full(session, anywhere.now())
        assert not [name for name in session.scalars(select(Throttle.name)) if name.startswith(limits.FORM)]


def test_a_flood_from_one_network_mails_as_many_as_its_limit(app, offer, send_form):
    app.config = smallest_config(signup={"per_hour_per_network": 5})
    offer(app, "members")
    send_form(app, *[f"person{n}@mail{n}.example" for n in range(50)])
    send_form(app, "other@example.org", network="198.51.100.0/24")
    answer(app)
    assert len(notices(app)) == 6


def test_a_flood_to_one_domain_mails_as_many_as_its_limit(app, offer, send_form):
    app.config = smallest_config(signup={"per_hour_per_domain": 4})
    offer(app, "members")
    for number in range(30):
        send_form(app, f"person{number}@example.com", network=f"10.0.{number}.0/24")
    send_form(app, ANN)
    answer(app)
    assert [to.partition("@")[2] for to, _ in notices(app)] == ["example.com"] * 4 + ["example.org"]


def test_a_flood_from_everywhere_opens_the_breaker_and_tells_the_chair_once_a_day(app, clock, offer, send_form):
    app.config = smallest_config(signup={"per_hour": 3}, alerts={"to": ["chair@charity.example"]})
    offer(app, "members")

    def flood(begin: int) -> None:
        for number in range(begin, begin + 10):
            send_form(app, f"person{number}@mail{number}.example", network=f"10.0.{number}.0/24")
        answer(app)
        alerts.look(app)

    flood(0)
    subjects = [subject for _, subject in notices(app)]
    assert subjects == ["Please confirm your email address"] * 3 + [
        "Many people sign up at once: no confirmation is mailed for now"
    ]
    assert "For 60 minutes nobody" in " ".join(texts(app)[3].split())
    clock.tick(minutes=59)
    flood(100)
    assert len(notices(app)) == 4
    clock.tick(minutes=2)
    flood(200)
    assert len(notices(app)) == 7  # three more, and no second alert
    clock.tick(hours=25)
    alerts.look(app)
    flood(300)
    assert len(notices(app)) == 11


def test_what_is_over_is_forgotten(app, clock, offer, send_form):
    """The address goes after a week, where from after two hours; the count stays, under a keyed hash."""
    offer(app, "members")
    send_form(app, ANN)
    answer(app)
    clock.tick(days=8)
    answer(app)
    with app.database.read() as session:
        assert session.execute(select(SignUp.address, SignUp.mails)).all() == [(None, 1)]
        names = session.scalars(select(Throttle.name)).all()
    assert not [name for name in names if "192.0.2" in name or "example.org" in name]
    assert count(app, WebRequest) == 0


def test_a_row_that_no_limit_needs_is_deleted(app, clock, offer, send_form):
    offer(app, "members")
    send_form(app, ANN)
    answer(app)
    assert confirm(app, tokens(app)[0])
    clock.tick(days=8)
    answer(app)
    assert count(app, SignUp) == 0


def test_the_payload_of_a_link_holds_no_address(app, offer, send_form):
    offer(app, "members")
    send_form(app, ANN)
    answer(app)
    with app.database.read() as session:
        (row,) = session.scalars(select(OneTimeToken)).all()
    assert "ann" not in str(row.payload)
    assert row.subscriber_id is None


def test_the_mail_is_short_plain_and_without_logo(app, offer, send_form):
    offer(app, "members")
    send_form(app, ANN)
    answer(app)
    with app.database.read() as session:
        (raw,) = session.scalars(select(Notice.message)).all()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message.get_content_type() == "text/plain"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"] is None
    assert len(message.get_content().splitlines()) < 25
    assert ANN not in message.get_content()


def test_a_mail_to_somebody_discreet_shows_neither_who_writes_nor_about_what(app, offer, send_form):
    offer(app, "members", "partners")
    put_on(app, "partners")
    with app.database.write() as session:
        people.find(session, ANN).discreet = True
    app.config = smallest_config(discreet={"from_address": "updates@example.org"})
    send_form(app, ANN)
    answer(app)
    with app.database.read() as session:
        (raw,) = session.scalars(select(Notice.message)).all()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    shown = "".join(f"{name}: {value}" for name, value in message.items()) + message.get_content()
    assert (message["From"], message["Subject"]) == ("Updates <updates@example.org>", "Your update")
    assert not [word for word in ("Example Network", "members", "partners", "newsletter") if word in shown]
    assert confirm(app, tokens(app)[0])


def test_safe_defaults() -> None:
    defaults = SignUpSettings()
    assert defaults.per_hour_per_network <= defaults.per_hour_per_domain <= defaults.per_hour
    assert limits.NETWORK != limits.DOMAIN
