"""Fixtures for every test: a workspace of its own with keys, tables and a clock that stands still."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from newsletter import tables as newsletter_tables  # noqa: F401  (registers the tables)
from newsletter.app import App
from newsletter.config.settings import Config
from newsletter.keys import create_keys
from newsletter.paths import Workspace
from subscribers import tables as subscribers_tables  # noqa: F401
from subscribers.db import Base
from tests.peers.browser import browser  # noqa: F401  (a fixture)
from tests.peers.dovecot import dovecot  # noqa: F401  (a fixture)
from tests.peers.fixtures import axe, chromium, postfix, postgresql_server, postgresql_url  # noqa: F401  (fixtures)
from tests.peers.verifiers import dkimpy, opendkim, rspamd  # noqa: F401  (fixtures)
from tests.peers.walking import walk  # noqa: F401  (a fixture)

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
IN_CI = os.environ.get("CI") == "true"


def smallest_config(**groups: dict[str, object]) -> Config:
    """Return the smallest configuration that sends, with *groups* laid over it."""
    values: dict[str, dict[str, object]] = {
        "organisation": {
            "name": "Example Network",
            "postal_address": "1 High Street, Dudley DY1 1AA",
            "from_address": "news@example.org",
        },
        "smtp": {"host": "127.0.0.1", "port": 2525, "tls": "none"},
        "web": {"url": "https://news.example.org"},
    }
    for name, group in groups.items():
        values[name] = {**values.get(name, {}), **group}
    return Config.model_validate(values)


@pytest.fixture
def config() -> Config:
    return smallest_config()


@pytest.fixture
def app(tmp_path: Path, config: Config) -> Iterator[App]:
    """An application on a fresh SQLite workspace; a test that needs other settings overrides `config`."""
    workspace = Workspace(tmp_path / "workspace")
    for folder in (workspace.root, workspace.media, workspace.outbox, workspace.locks):
        folder.mkdir(parents=True, exist_ok=True)
    create_keys(workspace.secrets)
    made = App(workspace=workspace, config=config, actor="tester", now=lambda: NOW)
    with made.database.write() as session:
        Base.metadata.create_all(session.connection())
    yield made
    made.close()


@pytest.fixture
def app_on_postgresql(app: App, postgresql_url: str) -> Iterator[App]:  # noqa: F811 (a fixture)
    """The same application on a PostgreSQL database that sorts as people do, not by code points."""
    url = app.config.database.model_copy(update={"url": SecretStr(postgresql_url)})
    config = app.config.model_copy(update={"database": url})
    made = App(workspace=app.workspace, config=config, actor="tester", now=lambda: NOW)
    with made.database.write() as session:
        Base.metadata.create_all(session.connection())
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The material beside the checkout: real archives, labelled mail, measuring tools."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here: this test reads the material that lies beside the checkout")
    return SHARED
