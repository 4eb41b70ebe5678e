"""Replies are read whole and in order however the network cuts them, and a server that talks nonsense is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.send.replies import SmtpReply
from newsletter.send.session import ConnectionLost, Conversation, Features

FEATURES = Features(pipelining=True, remote_host="127.0.0.1:25", tls_version=None)


class Wire(asyncio.Transport):
    """A transport that keeps what is written; the test itself hands over what arrives, cut as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def write(self, data: Any) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    abort = close


def converse(use: Callable[[Conversation], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        return await use(Conversation(Wire(), FEATURES))

    return asyncio.run(run())


def read(segments: Iterable[bytes], count: int) -> list[SmtpReply]:
    async def use(talk: Conversation) -> list[SmtpReply]:
        for segment in segments:
            talk.data_received(segment)
        return [await talk.reply(1) for _ in range(count)]

    found: list[SmtpReply] = converse(use)
    return found


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)
REPLIES = st.lists(st.tuples(st.integers(200, 599), st.lists(TEXT, min_size=1, max_size=4)), min_size=1, max_size=6)


def on_the_wire(code: int, lines: list[str], end: bytes) -> bytes:
    marks = ["-"] * (len(lines) - 1) + [" "]
    return b"".join(f"{code}{mark}{line}".encode() + end for mark, line in zip(marks, lines, strict=True))


@settings(max_examples=200, deadline=None)
@given(REPLIES, st.sampled_from([b"\r\n", b"\n"]), st.data())
def test_replies_are_the_same_however_they_are_cut(
    replies: list[tuple[int, list[str]]], end: bytes, data: st.DataObject
) -> None:
    raw = b"".join(on_the_wire(code, lines, end) for code, lines in replies)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=12)))
    segments = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    whole = read([raw], len(replies))
    assert [reply.code for reply in whole] == [code for code, _ in replies]
    assert read(segments, len(replies)) == whole
    assert read((raw[n : n + 1] for n in range(len(raw))), len(replies)) == whole


def test_a_line_of_100_kb_is_a_reply_and_reading_it_byte_by_byte_takes_no_age() -> None:
    raw = b"250 2.0.0 " + b"x" * 100_000 + b"\r\n"
    started = time.perf_counter()
    [found] = read((raw[n : n + 1] for n in range(len(raw))), 1)
    assert (found.code, len(found.text)) == (250, 512)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("piece", [b"x" * 4_096, b"250-" + b"x" * 4_000 + b"\r\n"])
def test_a_reply_without_end_ends_the_connection(piece: bytes) -> None:
    async def use(talk: Conversation) -> None:
        for _ in range(100):
            talk.data_received(piece)
        await talk.reply(1)

    with pytest.raises(ConnectionLost, match=r"without end|no SMTP reply"):
        converse(use)


@pytest.mark.parametrize(
    "nonsense", [b"hello\r\n", b"\r\n", b"25\r\n", b"250x\r\n", b"25a ok\r\n", b"\xff\xfe\x00\r\n"]
)
def test_nothing_that_follows_nonsense_is_taken_for_a_reply(nonsense: bytes) -> None:
    """Whoever is out of step could answer one message with what was meant for another."""

    async def use(talk: Conversation) -> SmtpReply:
        talk.data_received(b"250 first\r\n" + nonsense + b"250 second\r\n")
        talk.data_received(b"250 third\r\n")
        assert (await talk.reply(1)).text == "first"
        return await talk.reply(1)

    with pytest.raises(ConnectionLost, match="no SMTP reply"):
        converse(use)


def test_an_end_in_the_middle_of_a_reply_is_no_reply() -> None:
    async def use(talk: Conversation) -> SmtpReply:
        talk.data_received(b"250-2.0.0 Ok\r\n250 2.0")
        talk.eof_received()
        return await talk.reply(1)

    with pytest.raises(ConnectionLost, match="closed"):
        converse(use)


def test_silence_ends_when_the_watch_says_so() -> None:
    async def use(talk: Conversation) -> SmtpReply:
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, talk.data_received, b"250-still talk")
        loop.call_later(0.05, lambda: talk.overdue(loop.time() + 10))
        return await talk.reply(9)

    with pytest.raises(ConnectionLost, match="in time"):
        converse(use)


def test_what_a_server_says_is_shown_without_its_control_characters() -> None:
    [found] = read([b"550-5.1.1 \x1b[31mno\x00such\xc2\x85user\r\n550 5.1.1\tgone\r\n"], 1)
    assert (found.text, found.status) == ("5.1.1 [31mno such user 5.1.1 gone", "5.1.1")
