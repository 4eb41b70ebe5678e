"""The door for providers, on a real socket: who gets in, what is kept of it, and what is answered."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr
from sqlalchemy import func, select

from newsletter.app import App
from newsletter.compose.fetching import Fetched, Fetcher
from newsletter.compose.fetching import Limits as FetchLimits
from newsletter.config.returning import Webhook
from newsletter.config.settings import Config
from newsletter.tables import Delivery, DeliveryState, Issue, IssueState, Variant
from newsletter.web.server import listen, make_server
from newsletter.web.sns_certificates import Certificates
from newsletter.web.webhooks import MOST_BODY_BYTES
from newsletter.webhook_secrets import missing_keys, secrets_of
from subscribers import people
from subscribers.bounces import listing, reading
from subscribers.bounces.event import Once, ProviderEvent, Said
from subscribers.bounces.intake import Disposition, Taken
from subscribers.bounces.provider_marks import written_mark
from subscribers.bounces.providers import PROVIDERS
from subscribers.bounces.providers.notice import Notice
from subscribers.bounces.records import held_about, use_token
from subscribers.bounces.verp import marked_local_part
from subscribers.errors import DatabaseUnavailable
from subscribers.leaving import erase
from subscribers.tables import BounceEvent, BounceReport, Subscription, Suppression
from tests.conftest import smallest_config
from tests.subscribers.bounces import signing
from tests.subscribers.bounces.signing import BOUNCES, Made

PATH_SECRET = "p" * 24
ADDRESS = signing.ADDRESS


def hooked(*names: str) -> list[dict[str, Any]]:
    """Return the configuration of these providers' webhooks, with what the test's posts are signed by."""
    found = []
    for name in names:
        secrets = BOUNCES[name]().secrets
        found.append(
            {
                "provider": name,
                "path_secret": PATH_SECRET,
                "secret": secrets.secret,
                "public_key": secrets.public_key,
                "username": secrets.username,
                "password": secrets.password,
                "topic_arns": secrets.topics,
            }
        )
    return found


@pytest.fixture
def config() -> Config:
    return smallest_config(bounces={"webhooks": hooked(*BOUNCES)})


class OneCertificate(Certificates):
    """Has the test's certificate at every address, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.confirmed: list[str] = []

    async def get(self, url: str, now: datetime) -> bytes:
        self.asked.append(url)
        return signing.usual_certificate()

    async def confirm(self, url: str) -> None:
        self.confirmed.append(url)


@contextmanager
def serving(app: App, certificates: Certificates) -> Iterator[httpx.Client]:
    sock = listen("127.0.0.1", 0)
    server = make_server(app, certificates=certificates)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with httpx.Client(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}", timeout=30, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join(10)
    sock.close()


@pytest.fixture
def certificates() -> OneCertificate:
    return OneCertificate()


@pytest.fixture
def door(app: App, certificates: OneCertificate) -> Iterator[httpx.Client]:
    with serving(app, certificates) as client:
        yield client


def post(client: httpx.Client, name: str, made: Made | None = None, **changed: Any) -> httpx.Response:
    made = made or BOUNCES[name]()
    headers = {"content-type": "application/json", **made.posted.headers}
    values = {"content": made.posted.body, "headers": headers, **changed}
    return client.post(f"/webhooks/{name}/{PATH_SECRET}", **values)


@pytest.fixture
def delivery(app: App, member: Any) -> int:
    """A copy that was sent to the address of the test's posts."""
    with app.database.write() as session:
        from subscribers.tables import Subscriber

        person = session.get_one(Subscriber, member.id)
        person.address, person.key, person.domain = ADDRESS, ADDRESS, "example.com"
        from subscribers.tokens import address_hash

        person.address_hash = address_hash(app.keys.pepper, ADDRESS)
        issue = Issue(
            slug="2026-11", created_at=app.now(), edited_at=app.now(), edited_by="tester", state=IssueState.SENT
        )
        session.add(issue)
        session.flush()
        variant = Variant(issue_id=issue.id, number=1, subject="s", html="h", text="t", content_hash="x")
        session.add(variant)
        session.flush()
        row = Delivery(
            issue_id=issue.id,
            subscriber_id=person.id,
            variant_id=variant.id,
            list_id=member.list_id,
            address=ADDRESS,
            address_hash=person.address_hash,
            domain="example.com",
            token_id=person.token_id,
            date=app.now(),
            message_id="copy-1@example.org",
            state=DeliveryState.SENT,
            state_at=app.now(),
            remote_id="0102018f00000000-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee-000000",
        )
        session.add(row)
        session.flush()
        return row.id


def events(app: App) -> list[BounceEvent]:
    with app.database.read() as session:
        return list(session.scalars(select(BounceEvent).order_by(BounceEvent.id)))


# -- who gets in


@pytest.mark.parametrize("name", sorted(BOUNCES))
def test_a_genuine_post_is_kept_and_answered_with_success(app: App, door: httpx.Client, name: str) -> None:
    answer = post(door, name)
    assert (answer.status_code, answer.content) == (200, b"")
    (event,) = events(app)
    assert event.address == ADDRESS
    with app.database.read() as session:
        report = session.scalars(select(BounceReport).where(BounceReport.way != "token")).one()
    assert report.way == f"webhook:{name}"
    assert report.raw is not None
    assert ADDRESS.encode() in report.raw
    assert report.size == len(report.raw)


@pytest.mark.parametrize("name", sorted(BOUNCES))
def test_a_repeated_post_changes_nothing(app: App, door: httpx.Client, name: str) -> None:
    for _ in range(3):
        assert post(door, name).status_code == 200
    assert len(events(app)) == 1


@pytest.mark.parametrize("name", sorted(BOUNCES))
def test_a_forged_post_is_refused_without_a_word(app: App, door: httpx.Client, name: str) -> None:
    made = BOUNCES[name]()
    if name in (*signing.SIGNS_BODY, "mailgun"):
        body = (
            made.posted.body.replace(b"ann", b"bob")
            if name != "mailgun"
            else made.posted.body.replace(b"tttt", b"tttu")
        )
        answer = post(door, name, content=body)
        assert answer.status_code == 403
    else:
        answer = post(door, name, headers=signing.basic("newsletter", "guessed"))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
    assert answer.content == b""
    assert events(app) == []


@pytest.mark.parametrize("name", signing.SIGNS_TIME)
def test_a_post_of_eleven_minutes_ago_is_refused(app: App, door: httpx.Client, name: str) -> None:
    for minutes in (11,) if name in ("ses", "mailgun") else (-11, 11):
        answer = post(door, name, BOUNCES[name](at=signing.NOW + timedelta(minutes=minutes)))
        assert (answer.status_code, answer.content) == (403, b"")
    assert events(app) == []


@pytest.mark.parametrize("name", ["mailersend", "mailtrap", "postal", "resend", "sendgrid", "unisender_go"])
def test_a_body_written_anew_is_refused(app: App, door: httpx.Client, name: str) -> None:
    assert post(door, name, signing.rewritten(BOUNCES[name]())).status_code == 403
    assert events(app) == []


def test_a_token_of_mailgun_is_good_for_one_body(app: App, door: httpx.Client) -> None:
    assert post(door, "mailgun").status_code == 200
    body = BOUNCES["mailgun"]().posted.body
    assert post(door, "mailgun", content=body).status_code == 200  # Mailgun missed our answer
    assert post(door, "mailgun", content=body.replace(b"ann@", b"bob@")).status_code == 403
    assert [event.address for event in events(app)] == [ADDRESS]


def test_a_token_of_mailgun_is_remembered_by_every_process_and_for_what_was_thrown_away(
    app: App, certificates: OneCertificate
) -> None:
    body = BOUNCES["mailgun"]().posted.body
    opened = body.replace(b'"failed"', b'"opened"')
    assert opened != body
    with serving(app, certificates) as before:
        assert post(before, "mailgun", content=opened).status_code == 200
    with serving(app, certificates) as restarted:
        assert post(restarted, "mailgun", content=body).status_code == 403
        assert post(restarted, "mailgun", content=opened).status_code == 200
    assert events(app) == []


def test_a_token_of_mailgun_is_forgotten_once_it_is_too_old_to_pass(app: App, door: httpx.Client) -> None:
    assert post(door, "mailgun").status_code == 200
    once = Once(b"t" * 32, b"b" * 32)
    with app.database.write() as session:
        assert use_token(session, once, now=app.now() + timedelta(hours=18))
    with app.database.write() as session:
        assert session.query(BounceReport).filter_by(way="token").count() == 2
        assert not use_token(session, Once(once.token, b"c" * 32), now=app.now() + timedelta(hours=25))
        assert session.query(BounceReport).filter_by(way="token").count() == 1


def test_without_its_path_no_provider_gets_in(app: App, door: httpx.Client) -> None:
    made = BOUNCES["postmark"]()
    unknown = door.get("/nothing")
    for path in (
        f"/webhooks/postmark/{'q' * 24}",
        f"/webhooks/postmark/{PATH_SECRET[:-1]}",
        f"/webhooks/postmark/{PATH_SECRET}x",
        f"/webhooks/nobody/{PATH_SECRET}",
        f"/webhooks/POSTMARK/{PATH_SECRET}",
        "/webhooks/postmark/",
        "/webhooks/postmark",
        f"/webhooks/{PATH_SECRET}",
    ):
        answer = door.post(path, content=made.posted.body, headers=made.posted.headers)
        assert (answer.status_code, answer.text) == (404, unknown.text)
    assert events(app) == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_a_post_does_anything(app: App, door: httpx.Client, method: str) -> None:
    made = BOUNCES["postmark"]()
    answer = door.request(method, f"/webhooks/postmark/{PATH_SECRET}", headers=made.posted.headers)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    assert events(app) == []


def test_who_asks_whether_somebody_is_there_is_answered(app: App, door: httpx.Client) -> None:
    """Mandrill and Unisender Go take an address only after that, and before there is a secret."""
    assert door.head(f"/webhooks/mandrill/{PATH_SECRET}").status_code == 200
    assert door.get(f"/webhooks/unisender_go/{PATH_SECRET}").status_code == 200
    assert door.get(f"/webhooks/mandrill/{PATH_SECRET}").status_code == 405
    assert door.head(f"/webhooks/mandrill/{'q' * 24}").status_code == 404
    assert events(app) == []


class TestNothingIsSet:
    """Webhooks of which only the path is configured."""

    @pytest.fixture
    def config(self) -> Config:
        return smallest_config(bounces={"webhooks": [{"provider": n, "path_secret": PATH_SECRET} for n in BOUNCES]})

    @pytest.mark.parametrize("name", sorted(BOUNCES))
    def test_nothing_is_believed(self, app: App, door: httpx.Client, name: str) -> None:
        assert post(door, name).status_code in (401, 403)
        assert events(app) == []


class TestNoPathIsSet:
    """A webhook without a path is reached by nobody."""

    @pytest.fixture
    def config(self) -> Config:
        return smallest_config(bounces={"webhooks": [{**hook, "path_secret": ""} for hook in hooked("postmark")]})

    def test_nothing_is_there(self, app: App, door: httpx.Client) -> None:
        made = BOUNCES["postmark"]()
        for path in ("/webhooks/postmark/", "/webhooks/postmark//", "/webhooks/postmark/x"):
            assert door.post(path, content=made.posted.body, headers=made.posted.headers).status_code == 404
        assert events(app) == []


# -- what is posted


def test_too_large_a_body_is_refused_before_it_is_read(app: App, door: httpx.Client) -> None:
    answer = post(door, "postmark", content=b" " * (MOST_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert post(door, "postmark", content=b"[" + b" " * (MOST_BODY_BYTES - 2) + b"]").status_code == 200


def test_a_body_that_says_it_is_too_large_is_not_waited_for(door: httpx.Client) -> None:
    with socket.create_connection((door.base_url.host, door.base_url.port or 0), timeout=10) as raw:
        head = f"POST /webhooks/postmark/{PATH_SECRET} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999"
        raw.sendall(f"{head}\r\n\r\n".encode())
        assert raw.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_body_without_a_length_is_cut_off_at_the_cap(door: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 16_384

    assert post(door, "postmark", content=endless()).status_code == 413


@pytest.mark.parametrize(
    "body", [b"", b"{", b"no json", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b'"text"', b"7", b"null"]
)
def test_junk_that_is_let_in_is_a_bad_request(app: App, door: httpx.Client, body: bytes) -> None:
    answer = post(door, "postmark", content=body)
    assert (answer.status_code, answer.content) == (400, b"")
    assert events(app) == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "x"])
def test_the_content_type_decides_nothing(app: App, door: httpx.Client, kind: str) -> None:
    """Amazon sends JSON as text/plain."""
    made = BOUNCES["ses"]()
    assert post(door, "ses", headers={**made.posted.headers, "content-type": kind}).status_code == 200
    assert len(events(app)) == 1


def test_one_bad_entry_costs_the_others_nothing(app: App, door: httpx.Client) -> None:
    made = BOUNCES["sparkpost"]()
    good = json.loads(made.posted.body)
    bad = [None, 7, {"msys": 3}, {"msys": {"message_event": {"type": ["x"], "rcpt_to": {}}}}]
    answer = post(door, "sparkpost", content=json.dumps([*bad, *good, *bad]).encode())
    assert answer.status_code == 200
    assert [(event.address, event.kind.value) for event in events(app)] == [(None, "other"), (ADDRESS, "bounce")]


def test_who_opened_what_is_not_kept(app: App, door: httpx.Client) -> None:
    kinds = ("open", "click", "injection", "newly_opened", "amp_view")
    batch = [{"msys": {"track_event": {"type": kind, "rcpt_to": ADDRESS}}} for kind in kinds]
    assert post(door, "sparkpost", content=json.dumps([*batch, {"msys": {}}]).encode()).status_code == 200
    assert events(app) == []
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(BounceReport)) == 0


def test_a_kind_that_nobody_knows_is_filed_and_found(app: App, door: httpx.Client, delivery: int) -> None:
    mark = {"mark": written_mark(marked_local_part(app.keys.marks.current, delivery))}
    batch = [
        {"RecordType": "Bounce", "Type": "HardBounce", "ID": 1, "Email": ADDRESS, "Metadata": mark},
        {"RecordType": "Novelty", "ID": 2, "Recipient": ADDRESS, "Metadata": mark},
    ]
    for _ in range(2):
        assert post(door, "postmark", content=json.dumps(batch).encode()).status_code == 200
    with app.database.write() as session:
        (line,) = listing.lines(session, listing.Wanted(unmatched=True))
        assert (line["kind"], line["rule"], line["address"]) == ("other", "not understood", ADDRESS)
        assert json.loads(listing.one(session, line["id"])[1] or b"") == batch[1]
        erase(session, people.find(session, ADDRESS), evidence="letter", at=app.now())
        assert listing.one(session, line["id"])[1] is None


def test_an_entry_that_cannot_be_read_is_filed_under_whom_it_names(
    app: App, door: httpx.Client, delivery: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trips(entry: dict[str, Any]) -> Iterator[Notice]:
        if entry["ID"] == 2:
            raise KeyError("something")
        return usual(entry)  # type: ignore[return-value]

    usual = PROVIDERS["postmark"].tell
    monkeypatch.setitem(PROVIDERS, "postmark", replace(PROVIDERS["postmark"], tell=trips))
    batch = [{"RecordType": "SpamComplaint", "ID": n, "Email": ADDRESS, "From": "news@example.org"} for n in (1, 2)]
    with serving(app, OneCertificate()) as client:
        assert post(client, "postmark", content=json.dumps(batch).encode()).status_code == 200
    told = [(event.kind.value, event.address, event.rule.value) for event in events(app)]
    assert told == [
        ("complaint", ADDRESS, "no mark"),
        ("other", ADDRESS, "not understood"),
        ("other", "news@example.org", "not understood"),
    ]


def test_an_event_that_trips_the_program_is_filed_as_it_came(
    app: App, door: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trips(event: ProviderEvent, **times: datetime) -> Said:
        if event.address == "bad@x.org":
            raise RuntimeError("tripped")
        return usual(event, **times)

    usual = reading.of_event
    monkeypatch.setattr(reading, "of_event", trips)
    assert post(door, "postmark", content=complaints("a@x.org", "bad@x.org")).status_code == 200
    assert [(event.address, event.rule.value) for event in events(app)] == [
        ("a@x.org", "no mark"),
        ("bad@x.org", "not understood"),
    ]


def test_nothing_of_a_post_is_logged(door: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for name in BOUNCES:
            post(door, name)
            post(door, name, content=b'{"canary": "ann@example.com"}')
        door.post(f"/webhooks/postmark/{'c' * 24}", content=b"canary")
    said = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))
    assert "webhook postmark" in said
    for secret in ("canary", ADDRESS, PATH_SECRET, "c" * 24, "a password", "api-key", "mailgun-key"):
        assert secret not in said


# -- what comes of it


@pytest.mark.parametrize("way", ["remote id", "mark", "message id"])
def test_a_post_that_names_a_copy_counts_against_its_reader(
    app: App, door: httpx.Client, delivery: int, way: str
) -> None:
    mark = written_mark(marked_local_part(app.keys.marks.current, delivery))
    mail: dict[str, Any] = {
        "remote id": {"messageId": signing.SES_BOUNCE["mail"]["messageId"]},
        "mark": {"messageId": "x", "tags": {"mark": [mark]}},
        "message id": {"messageId": "x", "headers": [{"name": "Message-ID", "value": "<copy-1@example.org>"}]},
    }[way]
    envelope = signing.sns_envelope(json.dumps({**signing.SES_BOUNCE, "mail": mail}))
    assert post(door, "ses", content=json.dumps(envelope).encode()).status_code == 200
    (event,) = events(app)
    assert (event.delivery_id, event.rule.value, event.klass.value) == (delivery, "counted", "hard")
    with app.database.read() as session:
        assert session.get_one(Delivery, delivery).state is DeliveryState.BOUNCED
        assert session.scalars(select(Suppression)).all() == []  # one report alone suppresses nobody


def test_a_complaint_suppresses_whom_its_mark_names(app: App, door: httpx.Client, delivery: int) -> None:
    mark = written_mark(marked_local_part(app.keys.marks.current, delivery))
    complaint = {"RecordType": "SpamComplaint", "ID": 1, "Email": ADDRESS, "Metadata": {"mark": mark}}
    assert post(door, "postmark", content=json.dumps(complaint).encode()).status_code == 200
    with app.database.read() as session:
        assert session.scalars(select(Suppression.address)).all() == [ADDRESS]


def test_without_a_mark_a_genuine_post_suppresses_nobody(app: App, door: httpx.Client, delivery: int) -> None:
    complaint = {"RecordType": "SpamComplaint", "ID": 1, "Email": ADDRESS, "MessageID": "unknown"}
    assert post(door, "postmark", content=json.dumps(complaint).encode()).status_code == 200
    assert len(events(app)) == 1
    with app.database.read() as session:
        assert session.scalars(select(Suppression)).all() == []
        assert {s.state.value for s in session.scalars(select(Subscription))} == {"subscribed"}


def test_nobodys_part_of_a_batch_is_kept_with_anothers(app: App, door: httpx.Client, delivery: int) -> None:
    mark = {"mark": written_mark(marked_local_part(app.keys.marks.current, delivery))}
    batch = [
        {"RecordType": "Bounce", "Type": "HardBounce", "ID": 1, "Email": ADDRESS, "Metadata": mark},
        {"RecordType": "Delivery", "ID": 2, "Recipient": "second@example.net", "Metadata": {}},
        {"RecordType": "Open", "ID": 3, "Recipient": "third@example.net"},
        {"RecordType": "Bounce", "Type": "HardBounce", "ID": 4, "Email": "fourth@example.net"},
    ]
    assert post(door, "postmark", content=json.dumps(batch).encode()).status_code == 200
    with app.database.write() as session:
        person = people.find(session, ADDRESS)
        (line,) = held_about(session, person.address_hash)
        assert json.loads(line["mail"]) == batch[0]
        _, raw = listing.one(session, events(app)[1].id)
        assert raw is not None
        assert json.loads(raw) == batch[3]
        erase(session, person, evidence="letter", at=app.now())
    with app.database.read() as session:
        left = b"".join(report.raw or b"" for report in session.scalars(select(BounceReport)))
    assert json.loads(left) == batch[3]


def test_several_people_of_one_entry_are_kept_apart(app: App, door: httpx.Client) -> None:
    recipients = [{"emailAddress": address} for address in (ADDRESS, "other@example.net")]
    event = {"eventType": "Bounce", "bounce": {"bounceType": "Permanent", "bouncedRecipients": recipients}, "mail": {}}
    body = json.dumps(signing.sns_envelope(json.dumps(event))).encode()
    assert post(door, "ses", content=body).status_code == 200
    with app.database.read() as session:
        first, second = (report.raw or b"" for report in session.scalars(select(BounceReport).order_by("id")))
    assert (b"other@" in first, b"ann@" in first) == (False, True)
    assert (b"other@" in second, b"ann@" in second) == (True, False)


# -- when it cannot be kept


@dataclass
class Shaky:
    """A door that trips over some addresses, or is away altogether."""

    trips_over: tuple[str, ...] = ()
    error: Exception = field(default_factory=lambda: RuntimeError("tripped"))
    kept: list[str] = field(default_factory=list)

    def take_events(self, events: Sequence[ProviderEvent], *, way: str, once: Once | None) -> list[Taken]:
        if any(event.address in self.trips_over for event in events):
            raise self.error
        self.kept += [event.address for event in events]
        return [Taken(1, Disposition.PROCESSED, "")] * len(events)


def complaints(*addresses: str) -> bytes:
    return json.dumps([{"RecordType": "SpamComplaint", "Email": address} for address in addresses]).encode()


@pytest.mark.parametrize(
    ("addresses", "error", "status", "kept"),
    [
        (("a@x.org", "bad@x.org", "c@x.org"), RuntimeError("tripped"), 200, ["a@x.org", "c@x.org", ""]),
        (("a@x.org", "bad@x.org", "c@x.org"), DatabaseUnavailable("refused"), 200, ["a@x.org", "c@x.org", ""]),
        (("bad@x.org",), RuntimeError("tripped"), 500, []),
        (("bad@x.org", "bad@x.org"), RuntimeError("tripped"), 500, []),
        (("bad@x.org",), DatabaseUnavailable("away"), 503, []),
        (("bad@x.org",) * 9, DatabaseUnavailable("away"), 503, []),
        (("a@x.org", *("bad@x.org",) * 9), DatabaseUnavailable("away"), 503, ["a@x.org"]),
    ],
)
def test_a_provider_comes_again_only_when_nothing_was_kept_or_the_database_is_away(
    app: App,
    certificates: OneCertificate,
    addresses: tuple[str, ...],
    error: Exception,
    status: int,
    kept: list[str],
) -> None:
    shaky = Shaky(("bad@x.org",), error)
    app.__dict__["intake"] = shaky
    with serving(app, certificates) as client:
        answer = post(client, "postmark", content=complaints(*addresses))
    assert (answer.status_code, answer.content) == (status, b"")
    assert (answer.headers.get("retry-after") == "60") is (status == 503)
    assert shaky.kept == kept


def test_a_database_that_is_away_is_no_loss(app: App, door: httpx.Client) -> None:
    with app.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE bounce_reports RENAME TO away")
    assert post(door, "sendgrid").status_code == 503
    with app.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE away RENAME TO bounce_reports")
    assert post(door, "sendgrid").status_code == 200
    assert len(events(app)) == 1


# -- Amazon's certificates and confirmations


def test_an_offered_subscription_is_confirmed_once_it_is_verified(
    app: App, door: httpx.Client, certificates: OneCertificate
) -> None:
    url = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={signing.TOPIC}&Token=abc"
    offer = {"Type": "SubscriptionConfirmation", "SubscribeURL": url, "Token": "abc"}
    envelope = signing.sns_envelope("You have chosen", **offer)
    assert post(door, "ses", content=json.dumps({**envelope, "Token": "abd"}).encode()).status_code == 403
    assert certificates.confirmed == []
    assert post(door, "ses", content=json.dumps(envelope).encode()).status_code == 200
    assert certificates.confirmed == [url]
    elsewhere = signing.sns_envelope("You have chosen", **{**offer, "SubscribeURL": url.replace("amazonaws", "evil")})
    assert post(door, "ses", content=json.dumps(elsewhere).encode()).status_code == 403
    assert certificates.confirmed == [url]
    assert events(app) == []


def test_another_topic_makes_us_fetch_nothing(door: httpx.Client, certificates: OneCertificate) -> None:
    for fields in ({"TopicArn": f"{signing.TOPIC}x"}, {"SigningCertURL": "https://evil.example/x.pem"}):
        body = json.dumps(signing.sns_envelope("{}", **fields)).encode()
        assert post(door, "ses", content=body).status_code == 403
    assert certificates.asked == []


class AmazonOnLoopback(Fetcher):
    """A fetcher for which Amazon's host is a server of the test's, on another port, with TLS and its own authority."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        async def to_loopback(_host: str, _port: int) -> list[str]:
            return ["127.0.0.1"]

        super().__init__(resolver=to_loopback, allowed=lambda address: address.is_loopback, trust=trust)
        self.port, self.asked = port, 0

    async def fetch(self, url: str, **options: Any) -> Fetched:
        self.asked += 1
        options["limits"] = FetchLimits(
            seconds=3, max_bytes=options["limits"].max_bytes, redirects=0, ports=(self.port,)
        )
        return await super().fetch(url.replace(".amazonaws.com/", f".amazonaws.com:{self.port}/"), **options)


@pytest.fixture
async def amazon(tmp_path: Path) -> Any:
    """Return a function that starts a host with an answer, and gives the certificates that are fetched from it."""
    pem, key = tmp_path / "host.pem", tmp_path / "host.key"
    pem.write_bytes(signing.certificate(name="sns.eu-west-1.amazonaws.com", ends=datetime(2099, 1, 1, tzinfo=UTC)))
    key.write_bytes(
        signing.rsa_key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    trust = ssl.create_default_context(cadata=pem.read_text())
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    servers = []

    async def start(answer: bytes) -> tuple[Certificates, AmazonOnLoopback]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
        servers.append(server)
        fetcher = AmazonOnLoopback(server.sockets[0].getsockname()[1], trust)
        return Certificates(fetcher), fetcher

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


def answered(body: bytes, status: str = "200 OK", *lines: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def test_a_certificate_is_fetched_once_and_kept_for_a_day(amazon: Callable[..., Any]) -> None:
    certificates, fetcher = await amazon(answered(signing.usual_certificate()))
    for _ in range(3):
        assert await certificates.get(signing.CERTIFICATE_URL, signing.NOW) == signing.usual_certificate()
    assert fetcher.asked == 1
    await certificates.get(signing.CERTIFICATE_URL, signing.NOW + timedelta(days=1))
    assert fetcher.asked == 2


async def test_no_redirect_is_followed_and_nothing_but_a_certificate_is_kept(amazon: Callable[..., Any]) -> None:
    from newsletter.errors import SourceError
    from subscribers.bounces.providers.verifying import WebhookRefused

    for answer, error in (
        (answered(b"", "302 Found", f"Location: {signing.CERTIFICATE_URL}"), SourceError),
        (answered(b"", "404 Not Found"), SourceError),
        (answered(b"x" * 100_000), SourceError),
        (answered(b"no certificate"), WebhookRefused),
        (answered(signing.certificate(self_signed=True)), WebhookRefused),
        (answered(signing.certificate(ends=signing.NOW - timedelta(days=1))), WebhookRefused),
    ):
        certificates, fetcher = await amazon(answer)
        for _ in range(2):
            with pytest.raises(error):
                await certificates.get(signing.CERTIFICATE_URL, signing.NOW)
        assert fetcher.asked == 2


async def test_a_confirmation_that_is_refused_is_told(amazon: Callable[..., Any]) -> None:
    from newsletter.errors import SourceError

    certificates, _ = await amazon(answered(b"<ConfirmSubscriptionResponse/>"))
    await certificates.confirm("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription")
    certificates, _ = await amazon(answered(b"", "403 Forbidden"))
    with pytest.raises(SourceError):
        await certificates.confirm("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription")


def test_when_amazon_cannot_be_reached_it_is_asked_to_come_again(app: App) -> None:
    class Away(Certificates):
        async def get(self, url: str, now: datetime) -> bytes:
            from newsletter.errors import SourceError

            raise SourceError(f"{url} did not answer.")

    with serving(app, Away()) as client:
        assert post(client, "ses").status_code == 503
    assert events(app) == []


# -- what is configured


def test_what_is_missing_is_named_by_its_key() -> None:
    def lacking(**values: Any) -> tuple[str, ...]:
        return missing_keys(Webhook.model_validate(values))

    path = {"path_secret": PATH_SECRET}
    assert lacking(provider="ses") == ("path_secret", "topic_arns")
    assert lacking(provider="ses", **path, topic_arns=["x"]) == ()
    assert lacking(provider="sendgrid", **path) == ("public_key",)
    assert lacking(provider="postmark", **path, username="x") == ("password",)
    assert lacking(provider="brevo", **path, secret="x") == ()
    assert lacking(provider="brevo", **path, username="x", password="y") == ()
    assert lacking(provider="brevo", **path, username="x") == ("password",)


def test_mandrill_signs_the_address_as_it_was_told_it() -> None:
    hook = Webhook(provider="mandrill", path_secret=SecretStr(PATH_SECRET), secret=SecretStr("s"))
    assert secrets_of(hook, "https://news.example.org/").url == signing.HOOK_URL
    named = hook.model_copy(update={"username": "me", "password": SecretStr("a/b")})
    assert secrets_of(named, "https://news.example.org").url == signing.HOOK_URL.replace("://", "://me:a%2Fb@")


@pytest.mark.parametrize("secret", ["short", "p" * 23, "p" * 23 + "/", "p" * 129, "p" * 24 + " "])
def test_a_path_that_can_be_guessed_or_not_typed_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="openssl") as error:
        smallest_config(bounces={"webhooks": [{"provider": "ses", "path_secret": secret}]})
    assert "ppppp" not in str(error.value.errors()[0]["msg"])  # type: ignore[attr-defined]


def test_two_webhooks_do_not_share_a_path() -> None:
    with pytest.raises(ValueError, match="same path_secret"):
        smallest_config(bounces={"webhooks": [{"provider": "ses", "path_secret": PATH_SECRET}] * 2})
