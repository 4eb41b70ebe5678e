"""The relay, tried as far as sending would: what it offers, lacks and limits, over TCP, sockets and LMTP."""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, AuthResult

from newsletter.config.settings import SmtpAccount
from newsletter.doctor.findings import Finding, Level
from newsletter.doctor.relay import RelaySaid, judge_relay, relay_tasks
from tests.conftest import smallest_config

NOW = datetime.now(UTC)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Return a function that starts a server in a thread and says where: a port, or the path of a socket."""
    ends: list[Callable[[], None]] = []

    def start(
        protocol: type = SMTP,
        *,
        handler: object = None,
        path: str = "",
        tls: ssl.SSLContext | None = None,
        **options: object,
    ) -> str:
        where: queue.Queue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

        async def run() -> None:
            loop, stop = asyncio.get_running_loop(), asyncio.Event()

            def session() -> asyncio.Protocol:
                return protocol(handler or object(), hostname="localhost", loop=loop, **options)

            if path:
                server = await loop.create_unix_server(session, path)
            else:
                server = await loop.create_server(session, "127.0.0.1", 0, ssl=tls)
            where.put((path or str(server.sockets[0].getsockname()[1]), loop, stop))
            await stop.wait()
            server.close()
            await asyncio.sleep(0.02)  # for those who took leave just now

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        place, loop, stop = where.get(timeout=10)
        ends.append(lambda: (loop.call_soon_threadsafe(stop.set), thread.join(10)))
        return place

    yield start
    for end in ends:
        end()


def examine(where: str, *, largest: int | None = None, **smtp: object) -> list[Finding]:
    values = {"host": "localhost", "tls": "none", **smtp}
    values |= {"host": f"unix:{where}"} if where.startswith("/") else {"port": int(where)}
    [task] = relay_tasks(smallest_config(smtp=values), online=False, now=NOW, largest_copy=largest)
    return task()


def levels(findings: list[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


def test_a_relay_that_answers_says_what_it_takes(serve) -> None:
    findings = examine(serve(data_size_limit=10_000_000), largest=58_000)
    assert levels(findings) == [Level.OK, Level.OK]
    assert findings[1].message == "It takes messages of up to 10,000 kB; our largest is 58 kB."


def test_a_relay_that_takes_only_smaller_messages_is_a_failure(serve) -> None:
    assert levels(examine(serve(data_size_limit=50_000), largest=58_000)) == [Level.OK, Level.FAIL]


def test_a_missing_starttls_is_a_failure_where_it_is_required(serve) -> None:
    [found] = examine(serve(), tls="required")
    assert found.level is Level.FAIL
    assert "STARTTLS" in found.message
    assert levels(examine(serve(), tls="opportunistic"))[0] is Level.OK


@pytest.mark.parametrize(("days", "level"), [(60, Level.OK), (10, Level.WARN), (1, Level.FAIL)])
def test_the_days_of_the_certificate_are_told(serve, certify, days: int, level: Level) -> None:
    where = serve(tls_context=certify(timedelta(days=days, hours=1)))
    found = examine(where, tls="required")[0]
    assert found.level is level
    assert f"{days} days" in found.message


def test_an_expired_certificate_and_a_wrong_name_are_failures(serve, certify) -> None:
    [found] = examine(serve(tls_context=certify(timedelta(hours=-1))), tls="required")
    assert "expired" in found.message
    [found] = examine(serve(tls_context=certify(timedelta(days=9))), tls="required", host="127.0.0.1")
    assert found.level is Level.FAIL
    assert "127.0.0.1" in found.message


def test_implicit_tls_is_spoken(serve, certify) -> None:
    found = examine(serve(tls=certify(timedelta(days=60))), tls="implicit")[0]
    assert found.level is Level.OK
    assert "TLSv1" in found.message


def test_a_password_is_tried_and_one_that_is_not_wanted_is_told(serve) -> None:
    def check(_server, _session, _envelope, _mechanism, data) -> AuthResult:
        return AuthResult(success=data.password == b"right", handled=False)

    where = serve(authenticator=check, auth_require_tls=False)
    assert "accepts the password" in examine(where, username="me", password="right")[0].message
    [found] = examine(where, username="me", password="wrong")
    assert (found.level, "refuses the user or password" in found.message) == (Level.FAIL, True)
    [found] = examine(
        serve(auth_exclude_mechanism=["PLAIN", "LOGIN"], auth_require_tls=True), username="me", password="x"
    )
    assert (found.level, "AUTH" in found.message) == (Level.FAIL, True)


def test_a_relay_that_wants_a_password_or_another_sender_is_told(serve) -> None:
    class Refusing:
        async def handle_MAIL(self, *_words: object) -> str:
            return "530 5.7.0 Authentication required"

    [found] = examine(serve(handler=Refusing()))
    assert found.level is Level.FAIL
    assert "refuses our envelope sender news@example.org: 530" in found.message


@pytest.mark.parametrize(("protocol", "name"), [(SMTP, "smtp"), (LMTP, "lmtp")])
def test_a_socket_file_is_spoken_to(serve, tmp_path: Path, protocol: type, name: str) -> None:
    path = str(tmp_path / "relay")
    assert levels(examine(serve(protocol, path=path), protocol=name))[0] is Level.OK
    [found] = examine(f"{path}.gone", protocol=name)
    assert found.level is Level.WARN
    assert "No such file" in found.message


def test_lmtp_is_spoken_over_a_port(serve) -> None:
    assert levels(examine(serve(LMTP), protocol="lmtp"))[0] is Level.OK
    assert levels(examine(serve(LMTP)))[0] is Level.FAIL  # it is spoken to in SMTP


def test_a_relay_elsewhere_is_not_tried_without_being_told() -> None:
    config = smallest_config(smtp={"host": "mail.example.net", "tls": "required"})
    [task] = relay_tasks(config, online=False, now=NOW, largest_copy=None)
    assert "add --online" in task()[0].message


def test_mail_that_goes_unencrypted_to_elsewhere_is_warned_of() -> None:
    account = SmtpAccount(host="mail.example.net", tls="none")
    said = RelaySaid(tls="", days=None, authenticated=False, most_bytes=None)
    assert levels(list(judge_relay("relay", "mail.example.net:25", account, said, None))) == [Level.OK, Level.WARN]
