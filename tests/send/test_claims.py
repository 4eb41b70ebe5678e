"""The claim keeps every limit, also of several processes, after a restart and after a pause; the clock is ours."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, func, select, update

from newsletter.config.settings import DomainRate
from newsletter.send import throttles
from newsletter.send.breaker import OPEN_FOR, TRIAL_WAIT
from newsletter.send.claims import Claims, Wanted
from newsletter.send.plan import name_limits
from newsletter.send.receivers import DomainLimits
from newsletter.send.replies import SmtpReply
from newsletter.send.statements import Statements
from newsletter.send.throttle import Limits
from newsletter.tables import Delivery, Setting
from newsletter.tables import DeliveryState as S

START = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
POLICY = SmtpReply(550, "5.7.1 blocked")


class Clock:
    def __init__(self, start: datetime = START) -> None:
        self.moment = start.timestamp()

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.moment, UTC)


class Process:
    """One process that claims, and whose copies leave when they may; nothing else of the engine."""

    def __init__(self, database, clock, wanted: Wanted, owner: int) -> None:
        self.database, self.clock, self.wanted = database, clock, wanted
        sql = Statements(database.engine.dialect)
        self.claims = Claims(sql, owner=owner, lease=timedelta(minutes=15), clock=clock)
        self.left: list[tuple[float, str]] = []

    def in_transaction(self, function):
        with self.database.engine.connect() as connection, connection.begin():
            return function(connection)

    def claim(self):
        return self.in_transaction(lambda connection: self.claims.claim(connection, self.wanted))

    def go(self):
        """Claim, and send what was claimed; return the claim."""
        claim = self.claim()
        slots = claim.not_before or [0.0] * len(claim.rows)
        for row, slot in zip(claim.rows, slots, strict=True):
            self.left.append((max(slot, self.clock.moment), row.domain))
        self.set_state(claim.rows, S.SENT)
        return claim

    def set_state(self, rows, state: S, **values) -> None:
        if rows:
            statement = update(Delivery).where(Delivery.id.in_([row.id for row in rows]))
            self.in_transaction(lambda connection: connection.execute(statement.values(state=state, **values)))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def process(sending_app, plan_issue, clock):
    """Return a function that makes a process for an issue to *count* people at *domains*, with *rules*."""
    made: list[Process] = []

    def make(count: int = 10, *, domains=("example.com",), rules: list[dict] | None = None, **wanted) -> Process:
        if made:
            wanted_now = Wanted(**{**_fields(made[0].wanted), **wanted})
            process = Process(made[0].database, clock, wanted_now, owner=len(made) + 1)
        else:
            app = sending_app(25, send={"domains": rules or []})
            app.now = clock
            event.listen(app.database.engine, "connect", _forget_durability)
            app.database.close()
            issue = plan_issue(app, count, address=lambda n: f"p{n}@{domains[n % len(domains)]}")
            limits = DomainLimits([DomainRate(**rule) for rule in rules or []])
            with app.database.write() as session:
                named = name_limits(session, issue, limits)
            process = Process(app.database, clock, Wanted(issue, **{"most": 50, "domains": named, **wanted}), owner=1)
        made.append(process)
        return process

    return make


def _forget_durability(connection, _record) -> None:
    """Thousands of commits in a test need no disk."""
    connection.execute("PRAGMA synchronous=OFF")


def _fields(wanted: Wanted) -> dict:
    return {name: getattr(wanted, name) for name in wanted.__slots__}


def most_in_a_window(times: list[float], window: float) -> int:
    ordered, most, first = sorted(times), 0, 0
    for last, time in enumerate(ordered):
        while ordered[first] <= time - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def run_for(processes: list[Process], clock: Clock, seconds: float, step: float = 1.0) -> None:
    """Let processes claim in turns, in an order that changes, as their feeders do."""
    shuffled = random.Random(7)
    end = clock.moment + seconds
    while clock.moment < end:
        for each in shuffled.sample(processes, len(processes)):
            each.go()
        clock.moment += step


def test_thirty_a_minute_of_an_account_is_never_more_and_hardly_less(process, clock):
    one = process(700, account="main", limits=Limits(per_minute=30))
    run_for([one], clock, 900)
    times = [time for time, _ in one.left]
    assert most_in_a_window(times, 60) <= 30
    assert len(times) / 15 >= 29


def test_thirty_a_minute_of_a_domain_is_never_more_and_hardly_less(process, clock):
    one = process(700, rules=[{"domain": "example.com", "per_minute": 30}])
    run_for([one], clock, 900)
    times = [time for time, _ in one.left]
    assert most_in_a_window(times, 60) <= 30
    assert len(times) / 15 >= 29


@pytest.mark.parametrize("rules", [[], [{"domain": "example.com", "per_minute": 30}]])
def test_several_processes_share_a_rate(process, clock, rules):
    limits = {} if rules else {"account": "main", "limits": Limits(per_minute=30)}
    some = [process(500, rules=rules, **limits), process(), process()]
    run_for(some, clock, 600)
    times = [time for each in some for time, _ in each.left]
    assert most_in_a_window(times, 60) <= 30
    assert len(times) / 10 >= 29
    assert all(each.left for each in some)


def test_an_account_and_a_domain_keep_their_limits_together(process, clock):
    rules = [{"domain": "slow.example", "per_minute": 12}]
    one = process(
        700, domains=("slow.example", "other.example"), rules=rules, account="main", limits=Limits(per_minute=40)
    )
    run_for([one], clock, 600)
    slow = [time for time, domain in one.left if domain == "slow.example"]
    assert most_in_a_window([time for time, _ in one.left], 60) <= 40
    assert most_in_a_window(slow, 60) <= 12
    assert len(one.left) / 10 >= 38.5
    assert len(slow) / 10 >= 11


def test_a_restart_and_a_pause_make_up_for_nothing(process, clock):
    one = process(500, account="main", limits=Limits(per_minute=30))
    run_for([one], clock, 45)
    clock.moment += 3_600
    again = process()
    run_for([again], clock, 120)
    times = [time for each in (one, again) for time, _ in each.left]
    assert most_in_a_window(times, 60) <= 30
    assert len(again.left) >= 58


def test_slots_of_rows_that_were_put_back_are_not_used_twice(process, clock):
    one = process(400, account="main", limits=Limits(per_minute=30))
    one.wanted = replace(one.wanted, lead_seconds=10)
    for _ in range(300):
        claim = one.claim()
        one.set_state(claim.rows[::2], S.PENDING)
        one.set_state(claim.rows[1::2], S.SENT)
        one.left += [(slot, row.domain) for slot, row in zip(claim.not_before, claim.rows, strict=True)][1::2]
        clock.moment += 0.5
    assert one.left
    assert most_in_a_window([time for time, _ in one.left], 60) <= 30


def test_a_copy_that_missed_its_slot_gets_one_that_nobody_else_has(process, clock):
    rules = [{"domain": "example.com", "per_minute": 30}]
    one = process(50, rules=rules, account="main", limits=Limits(per_minute=60))
    claim = one.claim()
    clock.moment += 5
    with one.database.engine.connect() as connection, connection.begin():
        again = [one.claims.slot(connection, one.wanted, "example.com") for _ in range(3)]
    assert again[0] >= clock.moment
    assert all(b - a > 2.04 for a, b in itertools.pairwise([*claim.not_before, *again]))
    assert one.claim().not_before == ()


@pytest.mark.parametrize("per", ["per_hour", "per_day"])
def test_an_hour_s_and_a_day_s_rate_are_shared_too(process, clock, per):
    some = [process(300, account="main", limits=Limits(**{per: 40})), process()]
    window = 3_600 if per == "per_hour" else 86_400
    run_for(some, clock, 2.5 * window, step=window / 200)
    times = [time for each in some for time, _ in each.left]
    assert most_in_a_window(times, window) <= 40
    assert len(times) >= 80


def test_no_more_copies_of_a_domain_are_in_hand_than_it_has_connections(process, clock):
    rules = [{"domain": "example.com", "connections": 3}]
    some = [process(60, domains=("mail.example.com", "other.example"), rules=rules), process()]
    for _ in range(40):
        for each in some:
            claim = each.claim()
            with each.database.read() as session:
                in_hand = session.scalar(
                    select(func.count()).where(Delivery.rate_key == "example.com", Delivery.state == S.CLAIMED)
                )
            assert in_hand <= 3
            each.set_state(claim.rows[:2], S.SENT)
        clock.moment += 0.1
    with some[0].database.read() as session:
        sent = session.scalar(select(func.count()).where(Delivery.state == S.SENT, Delivery.rate_key.is_not(None)))
    assert sent > 3


def test_a_domain_whose_connections_are_taken_says_wait_and_the_others_go(process):
    rules = [{"domain": "example.com", "connections": 2}]
    one = process(40, domains=("example.com", "other.example"), rules=rules)
    first = one.claim()
    assert [row.rate_key for row in first.rows].count("example.com") == 2
    assert len(first.rows) == 22
    second = one.claim()
    assert (list(second.rows), second.account_spent) == ([], False)
    assert second.wait_seconds is not None


def test_a_limit_with_much_to_do_leaves_room_for_the_rows_after_it(process):
    rules = [{"domain": "example.com", "messages_per_connection": 5}]
    one = process(400, domains=("example.com", "other.example"), rules=rules, most=20)
    assert {row.domain for row in one.claim().rows} == {"example.com", "other.example"}


def test_a_spent_account_with_nothing_left_to_do_is_done(process):
    """The issue ends with its last copy, not an hour later."""
    one = process(5, account="main", limits=Limits(per_hour=5))
    assert len(one.go().rows) == 5
    assert one.go().wait_seconds is None


def test_a_spent_account_with_more_to_do_waits(process):
    one = process(6, account="main", limits=Limits(per_hour=5))
    one.go()
    claim = one.go()
    assert claim.account_spent
    assert claim.wait_seconds is not None


def test_other_rules_name_the_rows_anew(process, plan_issue):
    one = process(20, domains=("a.example", "mail.b.example"), rules=[{"domain": "b.example", "per_minute": 60}])

    def keys(*names: str) -> set[str | None]:
        limits = DomainLimits([DomainRate(domain=name, per_minute=60) for name in names])
        with one.database.write() as session:
            named = name_limits(session, one.wanted.issue_id, limits)
            found = set(session.scalars(select(Delivery.rate_key)))
        assert {limit.name for limit in named} == found - {None}
        return found

    assert keys("b.example") == {None, "b.example"}
    assert keys("b.example", "mail.b.example", "a.example") == {"mail.b.example", "a.example"}
    assert keys() == {None}
    with one.database.read() as session:
        assert session.get(Setting, f"limits:{one.wanted.issue_id}") is None


def refuse(process: Process, row, reply: SmtpReply = POLICY, provider: str | None = None) -> throttles.Refusal:
    """What the journal does with a refusal by policy."""
    process.set_state([row], S.DEFERRED, attempt=row.attempt - 1)
    with process.database.engine.connect() as connection, connection.begin():
        process.claims.forget_breakers()
        name, owner = provider or row.domain, process.claims._owner
        at = process.clock()
        return throttles.refuse(connection, name, worker=owner, delivery=row.id, domain=row.domain, reply=reply, now=at)


def test_an_open_breaker_keeps_every_process_away_from_its_provider_only(process, clock):
    one = process(40, domains=("strict.example", "kind.example"), most=10)
    two = process()
    row = next(row for row in one.claim().rows if row.domain == "strict.example")
    refuse(one, row)
    clock.moment += 1
    for each in (one, two):
        claim = each.claim()
        assert {row.domain for row in claim.rows} == {"kind.example"}
        assert claim.refusing[0].provider == "strict.example"
    with one.database.read() as session:
        parked = session.scalars(select(Delivery).where(Delivery.state == S.DEFERRED)).all()
        assert {delivery.attempt for delivery in parked} == {0}
        assert all(delivery.retry_at >= clock() for delivery in parked)


def test_after_its_time_one_trial_goes_and_success_lets_the_others_follow(process, clock):
    one = process(12, domains=("strict.example",), most=4)
    two = process()
    first = one.claim()
    refuse(one, first.rows[0])
    one.set_state(first.rows[1:], S.PENDING)
    two.claim()
    clock.moment += OPEN_FOR[0].total_seconds() + 1
    trial = one.claim()
    assert len(trial.rows) == 1
    assert trial.rows[0].id != first.rows[0].id
    assert two.claim().rows == []
    one.set_state(trial.rows, S.SENT)
    with one.database.engine.connect() as connection, connection.begin():
        throttles.close_breaker(connection, "strict.example", clock())
    clock.moment += TRIAL_WAIT.total_seconds() + 1
    assert len(two.claim().rows) == 4


def test_a_trial_that_came_to_nothing_is_followed_by_another(process, clock):
    one = process(6, domains=("strict.example",), most=2)
    first = one.claim()
    refuse(one, first.rows[0])
    one.set_state(first.rows[1:], S.PENDING)
    clock.moment += OPEN_FOR[0].total_seconds() + 1
    trial = one.claim()
    one.set_state(trial.rows, S.BOUNCED)
    clock.moment += TRIAL_WAIT.total_seconds() + 1
    assert len(one.claim().rows) == 1


def test_a_breaker_is_there_after_a_restart(process, clock):
    one = process(6, domains=("strict.example",))
    rows = one.claim().rows
    refuse(one, rows[0])
    one.set_state(rows[1:], S.PENDING)
    assert process().claim().rows == []


def test_a_domain_that_a_reply_shows_to_be_google_s_waits_with_google(process, clock):
    one = process(9, domains=("gmail.com", "charity.example", "kind.example"), most=9)
    rows = one.claim().rows
    refuse(one, next(row for row in rows if row.domain == "charity.example"), provider="google")
    one.set_state([row for row in rows if row.domain != "charity.example"], S.PENDING)
    assert {row.domain for row in one.claim().rows} == {"kind.example"}


def test_a_copy_that_only_it_is_refused_is_held_at_the_third_time(process, clock):
    one = process(2, domains=("strict.example",), most=1)
    row = one.claim().rows[0]
    held = []
    for _ in range(3):
        held.append(refuse(one, row).held)
        with one.database.engine.connect() as connection, connection.begin():
            clock.moment += 7_200
            throttles.close_breaker(connection, "strict.example", clock())
    assert held == [False, False, True]
    with one.database.read() as session:
        assert session.get(Delivery, row.id).state is S.HELD
