"""The benchmark's issue as the sample: a letter with a tag, six posts, five events, resources, a quotation."""

from __future__ import annotations

import runpy
from datetime import UTC, datetime
from pathlib import Path

import pytest

from newsletter.compose.content import IssueContent
from newsletter.paths import shipped_templates
from newsletter.render.environment import Environment, make_environment
from newsletter.render.headers import MessageHeaders
from newsletter.render.issue import RenderedIssue, render_issue
from newsletter.render.personal import PersonalValues

SAMPLE = Path(__file__).resolve().parents[2] / "benchmarks" / "sample_issue.py"
TOKEN = "v1.AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGhIjKlMnOpQrSt-_Ab"


@pytest.fixture(scope="session")
def content() -> IssueContent:
    made: IssueContent = runpy.run_path(str(SAMPLE))["sample_issue"]()
    return made


@pytest.fixture(scope="session")
def environment() -> Environment:
    return make_environment([shipped_templates()])


@pytest.fixture(scope="session")
def rendered(content: IssueContent, environment: Environment) -> RenderedIssue:
    return render_issue(content, environment)


@pytest.fixture
def values() -> PersonalValues:
    return PersonalValues(
        address="zofia@example.com",
        first_name="Zofia",
        name="Zofia Żółw",
        unsubscribe_url=f"https://news.example.org/unsubscribe/{TOKEN}",
        preferences_url=f"https://news.example.org/preferences/{TOKEN}",
        date=datetime(2026, 11, 2, 9, 30, tzinfo=UTC),
        message_id="<abcdefghijklmnop@news.example.org>",
    )


@pytest.fixture
def headers() -> MessageHeaders:
    return MessageHeaders(
        from_name="Example Network",
        from_address="news@example.org",
        reply_to="office@example.org",
        list_id="members.news.example.org",
        list_title="Members",
        unsubscribe_mailto="unsubscribe@news.example.org",
        feedback_id="2026-11:newsletter:example",
        language="en-GB",
    )
