"""A database that does not answer is told in words and in time, so that nobody waits for it for ever."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from subscribers.db import PATIENCE, Database
from subscribers.errors import DatabaseUnavailable


def test_a_server_that_takes_connections_and_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a firewall, or on a machine that hangs."""
    monkeypatch.setitem(PATIENCE, "connect_timeout", 2)  # the least that the driver knows
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        database = Database(f"postgresql+psycopg://x@127.0.0.1:{silent.getsockname()[1]}/x")
        begun = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="does not answer"), database.read() as session:
            session.execute(text("SELECT 1"))
        assert time.monotonic() - begun < 10
    database.close()


def test_a_connection_that_fell_silent_is_given_up_within_half_a_minute(postgresql_url: str) -> None:
    with_own = f"{postgresql_url}?tcp_user_timeout=7000"
    for url, expected in ((postgresql_url, "30000"), (with_own, "7000")):
        database = Database(url)
        with database.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            told = raw.info.get_parameters()
        database.close()
        assert told["tcp_user_timeout"] == expected
        assert (told["keepalives_idle"], told["connect_timeout"]) == ("15", "10")


def test_a_program_that_uses_all_its_connections_says_so(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/x.sqlite3")
    database.engine = create_engine(database.url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with ExitStack() as held:
        held.enter_context(database.engine.connect())
        with pytest.raises(DatabaseUnavailable, match="are in use"), database.read():
            pass
    database.close()
