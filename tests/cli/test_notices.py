"""What commands do with the outbox: `issue send` tells operators, `erase` empties it of a person, `doctor` looks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from newsletter.app import App
from newsletter.cli.main import cli
from newsletter.config.settings import Config
from newsletter.demo.catcher import Catcher
from newsletter.keys import create_keys
from newsletter.migrations import open_and_upgrade
from newsletter.paths import Workspace
from newsletter.render.notice import NoticeText
from newsletter.send.notices import post
from newsletter.tables import Block, BlockKind, DeliveryState, Issue, Notice, NoticeKind
from subscribers import consent, lists, people
from subscribers.suppression import HARD_BOUNCE, suppress
from subscribers.tables import Basis
from tests.peers.fixtures import free_port
from tests.send.returned_mail import reply

NOW = datetime.now(UTC)
CONFIG = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
[smtp]
host = "127.0.0.1"
port = {port}
tls = "none"
[web]
url = "https://news.example.org"
[alerts]
to = ["chair@charity.example"]
"""


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[Catcher]:
    with Catcher(tmp_path / "caught") as running:
        yield running


@pytest.fixture
def app(tmp_path: Path, catcher: Catcher) -> Iterator[App]:
    import tomllib

    workspace = Workspace(tmp_path / "ws")
    for folder in (workspace.root, workspace.media, workspace.locks):
        folder.mkdir(parents=True, mode=0o700)
    workspace.config.write_text(CONFIG.format(port=catcher.port))
    workspace.config.chmod(0o600)
    create_keys(workspace.secrets)
    open_and_upgrade(f"sqlite:///{workspace.database}")
    config = Config.model_validate(tomllib.loads(workspace.config.read_text()))
    made = App(workspace=workspace, config=config, actor="tester")
    yield made
    made.close()


def run(app: App, *words: str, code: int = 0, **environment: str):
    done = CliRunner().invoke(cli, ["--workspace", str(app.workspace.root), *words], env=environment)
    assert done.exit_code == code, done.output
    return done


def put(app: App, to: str, kind: NoticeKind, *, days_ago: float = 0) -> int:
    with app.database.write() as session:
        notice = post(app, session, NoticeText("Your link", "Here it is.\n"), kind=kind, to=to)
        assert notice is not None
        notice.created_at -= timedelta(days=days_ago)
        return notice.id


def outbox(app: App) -> list[Notice]:
    with app.database.read() as session:
        return list(session.scalars(select(Notice).order_by(Notice.id)))


def store_issue(app: App, *addresses: str) -> None:
    with app.database.write() as session:
        members = lists.create(session, "members", title="Members", at=NOW)
        for address in addresses:
            person = people.add(session, pepper=app.keys.pepper, address=address, name="Ann", at=NOW)
            session.flush()
            consent.grant(
                session, person, members,
                basis=Basis.CONSENT, source="test", actor="tester", evidence="form", at=NOW,
            )  # fmt: skip
        issue = Issue(
            slug="2026-11", subject="Our November news", preheader="What is on and where to find us this month",
            audience={"lists": ["members"], "segments": [], "exclude_lists": [], "exclude_segments": []},
            letter="Dear {{first_name|friend}},\n\nwelcome to our news.", letter_name="Ann Lee",
            created_at=NOW, edited_at=NOW, edited_by="chair",
        )  # fmt: skip
        quote = {"text": "Well said.", "by": "a member"}
        issue.blocks.append(Block(section="news", position=1, kind=BlockKind.QUOTE, payload=quote))
        session.add(issue)


def test_issue_send_tells_operators_what_did_not_arrive(app: App, catcher: Catcher) -> None:
    store_issue(app, "ann@example.org", "pers\u00f6n@example.org")
    run(app, "issue", "send", "2026-11", "--yes", code=4)
    assert [mail.recipient for mail in catcher.caught] == ["ann@example.org", "chair@charity.example"]
    run(app, "work", "--once")
    assert len(catcher.caught) == 2


def test_issue_send_with_the_relay_away_ends_as_ever_and_the_alert_does_not_come_for_a_minute_of_it(app: App) -> None:
    store_issue(app, "ann@example.org")
    done = run(app, "issue", "send", "2026-11", "--yes", code=1, NEWSLETTER__SMTP__PORT=str(free_port()))
    assert "paused" in done.output
    assert outbox(app) == []


def test_work_once_counts_what_left(app: App, catcher: Catcher) -> None:
    put(app, "ann@example.org", NoticeKind.LINK)
    done = run(app, "work", "--once", "--json")
    assert json.loads(done.stdout) == {"started": [], "sending": [], "troubles": [], "notices": 1}
    assert "1 link notice sent." in done.stderr
    assert [mail.recipient for mail in catcher.caught] == ["ann@example.org"]


def test_an_erased_person_is_not_in_the_outbox_any_more(app: App) -> None:
    store_issue(app, "ann@example.org")
    put(app, "ann@example.org", NoticeKind.LINK)
    kept = put(app, "ben@example.org", NoticeKind.LINK)
    run(app, "subscribers", "erase", "ann@example.org", "--evidence", "letter", "--yes")
    first, second = outbox(app)
    assert (first.state, first.address, first.message) == (DeliveryState.CANCELLED, None, None)
    assert (second.id, second.state) == (kept, DeliveryState.PENDING)


def test_what_an_erased_person_wrote_is_not_passed_on_any_more(app: App) -> None:
    store_issue(app, "ann@example.org", "ben@example.org")
    for sender in ("ann@example.org", "ben@example.org"):
        app.intake.take_mail(reply("news@example.org", sender=sender, subject=f"From {sender}"), way="pipe")
    run(app, "subscribers", "erase", "ann@example.org", "--evidence", "letter", "--yes")
    first, second = outbox(app)
    assert (first.kind, first.state, first.message, first.subject) == (
        NoticeKind.REPLY,
        DeliveryState.CANCELLED,
        None,
        "",
    )
    assert (second.state, second.subject) == (DeliveryState.PENDING, "Reply: From ben@example.org")


def findings(app: App, **environment: str) -> dict[str, tuple[str, str]]:
    done = run(app, "doctor", "--json", **environment)
    return {each["check"]: (each["level"], each["message"]) for each in json.loads(done.stdout)}


def test_doctor_says_whether_anybody_would_hear_of_trouble(app: App) -> None:
    assert findings(app)["alerts"] == ("ok", "Trouble is mailed to chair@charity.example.")
    assert findings(app, NEWSLETTER__ALERTS__TO="[]")["alerts"][0] == "warn"
    with app.database.write() as session:
        suppress(
            session, pepper=app.keys.pepper, address="chair@charity.example", reason=HARD_BOUNCE, evidence="x", at=NOW
        )
    level, words = findings(app)["alerts"]
    assert (level, "chair@charity.example bounced" in words) == ("warn", True)


def test_doctor_says_that_an_alert_did_not_arrive(app: App) -> None:
    number = put(app, "chair@charity.example", NoticeKind.ALERT)
    with app.database.write() as session:
        row = session.get_one(Notice, number)
        row.state, row.state_at = DeliveryState.BOUNCED, NOW
    assert findings(app)["alerts"] == ("warn", "An alert of the last week did not arrive.")


def test_doctor_says_what_waits_and_for_whom_is_its_secret(app: App) -> None:
    assert findings(app)["outbox"] == ("ok", "No notice waits for long.")
    put(app, "ann@example.org", NoticeKind.CONFIRMATION, days_ago=0.5)
    put(app, "ben@example.org", NoticeKind.TEST, days_ago=0.5)
    level, words = findings(app)["outbox"]
    assert (level, words.endswith("UTC: 1 confirmation.")) == ("warn", True)
