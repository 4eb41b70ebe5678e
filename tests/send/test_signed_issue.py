"""Issues that we sign, sent whole: every copy verifies, each attempt has the same bytes, nothing leaves unsigned."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections import Counter

import pytest
from sqlalchemy import select, update

from newsletter.dkim_keys import DkimKeyUnusable
from newsletter.render.notice import NoticeText
from newsletter.send import ahead, control
from newsletter.send.ahead import CopiesAhead
from newsletter.send.claims import Claimed
from newsletter.send.copies import CopyMaker
from newsletter.send.dispatch import send_issue
from newsletter.send.gate import check_message
from newsletter.send.notices import post
from newsletter.send.trial import send_test_copy
from newsletter.tables import Delivery, DeliveryState, Issue, IssueState, NoticeKind
from tests.peers.verifiers import selectors_in
from tests.send import test_dispatch
from tests.send.conftest import HEADERS, RENDERED

# What must hold of every sending holds of signed copies, which are made ahead by threads.
from tests.send.test_dispatch import (  # noqa: F401  (tests, with the fixture of this file)
    test_a_421_before_the_body_charges_nobody,
    test_a_connection_cut_after_the_dot_makes_one_uncertain,
    test_a_copy_that_cannot_be_composed_is_held_and_others_go_on,
    test_a_rate_limit_spreads_messages,
    test_a_refused_sender_pauses_and_charges_nobody,
    test_a_relay_that_is_away_pauses_and_later_delivers_all_once,
    test_a_stop_drains_and_the_next_run_finishes,
    test_an_unsubscribe_while_sending_stops_that_copy,
    test_cancel_stops_what_was_not_begun,
    test_one_provider_that_refuses_does_not_stop_the_others,
    test_pause_is_effective_within_a_second_and_resume_goes_on,
    test_too_many_held_copies_pause_the_issue,
)
from tests.send.test_owner import CRASHING, settings_of

SELECTORS = ("first-rsa", "first-ed25519")
ADDS_UP = test_dispatch.adds_up


@pytest.fixture
def sending_app(sending_app):
    """As everywhere, and the copies are signed."""

    def point(port, **given):
        app = sending_app(port, dkim={"enabled": True, "selector": "first"}, **given)
        if "first" not in app.keys.dkim.names:
            app.keys.dkim.create("first")
        return app

    return point


@pytest.fixture
def kept(tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


def dns_of(app):
    keys = app.keys.dkim
    records = [record for name in keys.names for record in keys.records(name, "example.org")]
    return {(record.name, "TXT"): [record.value] for record in records}


def planned_bytes(app, issue) -> dict[str, str]:
    """Return the hash of each person's copy, as it must be in every attempt."""
    with app.database.read() as session:
        maker = CopyMaker.load(session, issue, app.config, app.keys)
        rows = session.scalars(select(Delivery).where(Delivery.issue_id == issue)).all()
        claimed = [Claimed(**{name: getattr(row, name) for name in Claimed._fields}) for row in rows]
    return {row.address: hashlib.sha256(maker.make(row).body).hexdigest() for row in claimed}


def arrived_bytes(sink) -> dict[str, set[str]]:
    arrived: dict[str, set[str]] = {}
    for event in sink.events("accepted"):
        arrived.setdefault(event["to"], set()).add(event["sha256"])
    return arrived


def rotate(app) -> None:
    """Make new keys and have them sign new mail; as a new process sees it."""
    app.keys.dkim.create("second")
    dkim = app.config.dkim.model_copy(update={"selector": "second"})
    app.config = app.config.model_copy(update={"dkim": dkim})


def test_every_copy_of_an_issue_verifies(start_sink, sending_app, plan_issue, kept, dkimpy):
    sink = start_sink("--keep", str(kept))
    app = sending_app(sink.port, connections=5)
    report = send_issue(app, plan_issue(app, 120))
    assert (report.state, report.counts["sent"]) == (IssueState.SENT, 120)
    assert sink.accepted() == Counter({f"person{n}@example.com": 1 for n in range(1, 121)})
    copies = [path.read_bytes() for path in kept.iterdir()]
    assert len(set(copies)) == 120
    for copy in copies:
        assert dkimpy.verdicts(copy, dns_of(app)) == dict.fromkeys(SELECTORS, True)


def test_one_copy_is_good_to_everybody(start_sink, sending_app, plan_issue, kept, opendkim, rspamd):
    sink = start_sink("--keep", str(kept))
    app = sending_app(sink.port)
    send_issue(app, plan_issue(app, 1))
    (path,) = kept.iterdir()
    for verifier in (opendkim, rspamd):
        assert verifier.verdicts(path.read_bytes(), dns_of(app)) == dict.fromkeys(SELECTORS, True)


def test_a_later_attempt_has_the_same_bytes_though_new_keys_sign_new_mail(start_sink, sending_app, plan_issue):
    rule = {"stage": "dot", "reply": "451 4.3.0 later", "accept": True, "times": 6}
    sink = start_sink(rules=[rule])
    app = sending_app(sink.port)
    issue = plan_issue(app, 6)
    assert send_issue(app, issue).counts["deferred"] == 6
    first = planned_bytes(app, issue)
    rotate(app)
    assert planned_bytes(app, issue) == first
    with app.database.write() as session:
        session.execute(update(Delivery).values(retry_at=app.now()))
    assert send_issue(app, issue).state is IssueState.SENT
    assert sink.accepted().total() == 12
    assert arrived_bytes(sink) == {address: {digest} for address, digest in first.items()}


def test_a_crash_and_new_keys_between_change_no_byte(start_sink, sending_app, plan_issue):
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 150)
    planned = planned_bytes(app, issue)
    words = [sys.executable, "-c", CRASHING.replace("person7@", "person70@"), str(app.workspace.root), str(issue)]
    assert subprocess.run(words, input=settings_of(app), text=True, check=False).returncode == -9
    rotate(app)
    report = send_issue(app, issue)
    assert ADDS_UP(report.counts)
    assert report.counts["sent"] + report.counts["uncertain"] == 150
    assert set(sink.accepted().values()) == {1}
    arrived = arrived_bytes(sink)
    assert arrived == {address: {planned[address]} for address in arrived}
    assert len(arrived) >= report.counts["sent"]


def test_the_next_issue_is_signed_by_the_new_keys(start_sink, sending_app, plan_issue, kept, dkimpy):
    sink = start_sink("--keep", str(kept))
    app = sending_app(sink.port)
    rotate(app)
    send_issue(app, plan_issue(app, 1))
    (path,) = kept.iterdir()
    assert dkimpy.verdicts(path.read_bytes(), dns_of(app)) == {"second-rsa": True, "second-ed25519": True}


@pytest.mark.parametrize("harm", ["missing", "readable", "damaged"])
def test_a_key_that_cannot_be_used_pauses_and_nothing_leaves_unsigned(
    start_sink, sending_app, plan_issue, kept, dkimpy, harm
):
    sink = start_sink("--keep", str(kept))
    app = sending_app(sink.port)
    issue = plan_issue(app, 3)
    path = app.workspace.secrets / "dkim-first-rsa.pem"
    original = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "readable":
        path.chmod(0o644)
    else:
        path.write_bytes(b"no key")
    del app.keys  # as a new process reads them
    report = send_issue(app, issue)
    assert (report.state, report.counts["pending"], report.exit_code) == (IssueState.PAUSED, 3, 1)
    assert str(path) in report.reason
    assert not sink.events("connect")
    path.write_bytes(original)
    path.chmod(0o600)
    with app.database.write() as session:
        assert control.pause_kind(session, issue) is control.PauseKind.REFUSALS
        control.resume(session, session.get(Issue, issue))
    assert send_issue(app, issue).state is IssueState.SENT
    for copy in kept.iterdir():
        assert dkimpy.verdicts(copy.read_bytes(), dns_of(app)) == dict.fromkeys(SELECTORS, True)


@pytest.mark.parametrize("signed_when_planned", [True, False])
def test_turning_signing_on_or_off_changes_no_issue_on_its_way(
    start_sink, sending_app, plan_issue, kept, signed_when_planned
):
    sink = start_sink("--keep", str(kept))
    app = sending_app(sink.port)
    on, off = app.config, app.config.model_copy(update={"dkim": app.config.dkim.model_copy(update={"enabled": False})})
    app.config = on if signed_when_planned else off
    issue = plan_issue(app, 2)
    app.config = off if signed_when_planned else on
    assert send_issue(app, issue).counts["sent"] == 2
    assert {tuple(selectors_in(path.read_bytes())) for path in kept.iterdir()} == {
        SELECTORS if signed_when_planned else ()
    }


def test_an_unsigned_issue_starts_no_threads(start_sink, sending_app, plan_issue, monkeypatch):
    sink = start_sink()
    app = sending_app(sink.port)
    app.config = app.config.model_copy(update={"dkim": app.config.dkim.model_copy(update={"enabled": False})})
    monkeypatch.setattr("newsletter.send.dispatch.CopiesAhead", None)  # calling it would fail
    assert send_issue(app, plan_issue(app, 3)).counts["sent"] == 3


def test_a_crash_is_charged_to_the_copy_that_was_being_made(start_sink, sending_app, plan_issue, deliveries):
    """Several are made at once; from the first crash on only one is, so that only the guilty is ever held."""
    sink = start_sink()
    app = sending_app(sink.port)
    issue = plan_issue(app, 20)
    for _ in range(3):
        words = [sys.executable, "-c", CRASHING, str(app.workspace.root), str(issue)]
        assert subprocess.run(words, input=settings_of(app), text=True, check=False).returncode == -9
    report = send_issue(app, issue)
    row = deliveries(app)["person7@example.com"]
    assert (row.state, row.reason) == (DeliveryState.HELD, "its sender crashed on it three times")
    assert (report.counts["sent"] + report.counts["uncertain"], report.counts["held"]) == (19, 1)


# -- making ahead, by itself


@pytest.fixture
def rows(sending_app, plan_issue):
    app = sending_app(1)
    issue = plan_issue(app, 30)
    with app.database.read() as session:
        maker = CopyMaker.load(session, issue, app.config, app.keys)
        found = session.scalars(select(Delivery).order_by(Delivery.id)).all()
        return maker, [Claimed(**{name: getattr(row, name) for name in Claimed._fields}) for row in found]


def counting(maker) -> list[tuple[int, str]]:
    """Note which rows are made, and by which thread."""
    made, make = [], maker.make
    maker.make = lambda row, *rest: made.append((row.id, threading.current_thread().name)) or make(row, *rest)
    return made


async def delivered(copies, rows, slots):
    import asyncio

    came, done = [], asyncio.Event()

    def deliver(some, times):
        came.extend(zip(some, times, strict=True))
        if len(came) == len(rows):
            done.set()

    copies.hand_in(rows, slots, deliver)
    async with asyncio.timeout(20):
        await done.wait()
    return came


async def test_every_row_comes_back_with_its_slot_and_its_copy_is_there(rows):
    maker, claimed = rows
    made = counting(maker)
    composing = []
    copies = CopiesAhead(maker, lambda row, thread: composing.append((row, thread)), threads=2, most=100)
    came = await delivered(copies, claimed, [float(row.id) for row in claimed])
    assert {(row.id, slot) for row, slot in came} == {(row.id, float(row.id)) for row in claimed}
    for row in claimed:
        copy = copies.make(row, 7.0)
        assert (copy.row, copy.not_before) == (row, 7.0)
        copies.keep(copy)
        assert copies.make(row) is copy
    assert sorted(number for number, _ in made) == [row.id for row in claimed]
    assert {name for _, name in made} <= {"copies-1", "copies-2"}
    assert {row for row, _ in composing} == {0, *(row.id for row in claimed)}
    await copies.close()


async def test_no_more_than_so_many_are_kept_and_what_is_gone_is_made_again(rows):
    maker, claimed = rows
    copies = CopiesAhead(maker, lambda row, thread: None, threads=1, most=ahead.CHUNK_ROWS)
    await delivered(copies, claimed, [0.0] * len(claimed))
    assert len(copies._made) == ahead.CHUNK_ROWS
    assert [copies.make(row).row for row in claimed] == claimed
    await copies.close()


async def test_a_row_that_was_claimed_again_gets_no_copy_of_its_earlier_claim(rows):
    maker, claimed = rows
    copies = CopiesAhead(maker, lambda row, thread: None, threads=1, most=100)
    await delivered(copies, claimed[:1], [0.0])
    again = claimed[0]._replace(attempt=claimed[0].attempt + 1)
    assert copies.make(again).row is again
    await copies.close()


async def test_a_fault_is_raised_where_the_copy_is_wanted(rows):
    maker, claimed = rows
    bad = claimed[0]._replace(address="pers\u00f6n@example.com")
    copies = CopiesAhead(maker, lambda row, thread: None, threads=1, most=100)
    await delivered(copies, [bad, claimed[1]], [0.0, 0.0])
    with pytest.raises(Exception, match="ASCII"):
        copies.make(bad)
    assert copies.make(claimed[1]).row is claimed[1]
    await copies.close()


async def test_at_the_end_rows_come_back_that_no_thread_came_to(rows):
    maker, claimed = rows
    go, make = threading.Event(), maker.make
    maker.make = lambda row, *rest: go.wait(10) and make(row, *rest)
    copies = CopiesAhead(maker, lambda row, thread: None, threads=1, most=100)
    came = []
    copies.hand_in(claimed, [], lambda some, slots: came.extend(some))
    threading.Timer(0.1, go.set).start()
    await copies.close()
    assert sorted(row.id for row in came) == [row.id for row in claimed]
    assert len(copies._made) < len(claimed)


# -- mail that is no issue


def test_a_test_copy_is_signed_and_without_a_key_it_does_not_leave(start_sink, sending_app, kept, dkimpy):
    sink = start_sink("--keep", str(kept))
    app = sending_app(sink.port)
    send_test_copy(app, RENDERED, HEADERS, to="chair@example.net")
    (path,) = kept.iterdir()
    assert dkimpy.verdicts(path.read_bytes(), dns_of(app)) == dict.fromkeys(SELECTORS, True)
    (app.workspace.secrets / "dkim-first-rsa.pem").unlink()
    del app.keys
    with pytest.raises(DkimKeyUnusable):
        send_test_copy(app, RENDERED, HEADERS, to="chair@example.net")
    assert sink.accepted().total() == 1


@pytest.mark.parametrize("kind", NoticeKind)
def test_notices_are_signed_and_only_an_alert_leaves_without_a_key(sending_app, dkimpy, kind):
    app = sending_app(1)
    text = NoticeText("Grüße", "Follow this link:\n\n    https://news.example.org/c/abc\n")
    with app.database.write() as session:
        notice = post(app, session, text, kind=kind, to="ann@example.com")
        assert dkimpy.verdicts(notice.message, dns_of(app)) == dict.fromkeys(SELECTORS, True)
        check_message(notice.message, recipient="ann@example.com", newsletter=False, signatures=2)
    (app.workspace.secrets / "dkim-first-rsa.pem").unlink()
    del app.keys
    with app.database.write() as session:
        if kind is NoticeKind.ALERT:  # it may be the one that tells of the key
            assert selectors_in(post(app, session, text, kind=kind, to="bea@example.com").message) == []
        else:
            with pytest.raises(DkimKeyUnusable):
                post(app, session, text, kind=kind, to="bea@example.com")
