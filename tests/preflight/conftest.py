"""An issue that passes every rule but the two that ask for people's care, and ways to spoil it."""

from __future__ import annotations

import runpy
from datetime import UTC, datetime
from pathlib import Path

import pytest

from newsletter.compose.content import IssueContent
from newsletter.paths import shipped_templates
from newsletter.preflight import IssueFacts
from newsletter.render.environment import Environment, make_environment

SAMPLE = Path(__file__).resolve().parents[2] / "benchmarks" / "sample_issue.py"


@pytest.fixture(scope="session")
def content() -> IssueContent:
    made: IssueContent = runpy.run_path(str(SAMPLE))["sample_issue"]()
    return made


@pytest.fixture(scope="session")
def environment() -> Environment:
    return make_environment([shipped_templates()])


@pytest.fixture(scope="session")
def facts(content: IssueContent) -> IssueFacts:
    return IssueFacts(
        slug="2026-11",
        now=datetime(2026, 11, 2, 9, 30, tzinfo=UTC),
        timezone="Europe/London",
        recipients=500,
        own_hosts=("news.example.org",),
        standing_notice=content.sender.helpline,
        standing_phone=content.sender.helpline_phone,
        tested=True,
    )
