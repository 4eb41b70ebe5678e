"""
A scripted SMTP server that injects faults; run as a process of its own, its log is the truth that tests check against.

    python smtp_sink.py --log FILE [--port N] [--rules JSON] [--no-pipelining] [--bytewise] [--multiline] [--mixed]
        [--keep DIR]

It prints its port, then serves until it is ended. Each line of the log is a JSON object: ``accepted`` (a message taken
over, written before the reply leaves), ``cut`` (closed between the dot and the reply), ``refused`` (with its code),
``aborted`` (the client went away in mid-body) and ``connect``. With --mixed some connections answer byte by byte, and
some in several lines.

A rule: {"stage": "connect|ehlo|starttls|auth|mail|rcpt|data|body|dot", "match": REGEX on the recipient, "reply": TEXT
or null to close, "accept": true to take the message over before a bad reply or a close, "times": N, "every": N,
"delay": SECONDS before and "hold": SECONDS after it was taken over}. STARTTLS and AUTH are offered when a rule is
about them.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
from collections.abc import Iterator
from itertools import count
from typing import Any


class Rule:
    def __init__(self, given: dict[str, Any]) -> None:
        self.stage = given["stage"]
        self.match = re.compile(given.get("match", ""))
        self.reply = given.get("reply")
        self.accept = given.get("accept", False)
        self.left = given.get("times", 10**9)
        self.every = given.get("every", 1)
        self.delay, self.hold = given.get("delay", 0), given.get("hold", 0)
        self.seen = 0

    def applies(self, stage: str, recipient: str) -> bool:
        if stage != self.stage or not self.left or not self.match.search(recipient):
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.left -= 1
        return True


class Sink:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rules = [Rule(rule) for rule in json.loads(options.rules)]
        self.log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.connections: Iterator[int] = count(1)
        self.kept: Iterator[int] = count(1)

    def note(self, event: str, **values: Any) -> None:
        os.write(self.log, (json.dumps({"event": event, **values}) + "\n").encode())

    def rule(self, stage: str, recipient: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.applies(stage, recipient)), None)


class Close(Exception):
    """End the connection."""


class Talk:
    def __init__(self, sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sink, self.reader, self.writer = sink, reader, writer
        self.number = next(sink.connections)
        self.sender, self.recipient = "", ""
        options = sink.options
        self.bytewise = options.bytewise or (options.mixed and self.number % 3 == 0)
        self.multiline = options.multiline or (options.mixed and self.number % 5 == 0)

    async def say(self, text: str) -> None:
        raw = (text + "\r\n").encode()
        if self.multiline and text[:1] in "25":
            raw = f"{text[:3]}-first line\r\n{text[:3]}-second line\r\n".encode() + raw
        if not self.bytewise:
            self.writer.write(raw)
            await self.writer.drain()
            return
        for byte in raw:
            self.writer.write(bytes([byte]))
            await self.writer.drain()
            await asyncio.sleep(0)

    async def answer(self, stage: str, good: str) -> bool:
        rule = self.sink.rule(stage, self.recipient)
        if rule is None:
            await self.say(good)
            return True
        if rule.delay:
            await asyncio.sleep(rule.delay)
            if rule.reply is None and not rule.accept:
                await self.say(good)
                return True
        if rule.reply is None:
            raise Close
        self.sink.note("refused", stage=stage, to=self.recipient, connection=self.number, code=int(rule.reply[:3]))
        await self.say(rule.reply)
        if rule.reply.startswith("421"):
            raise Close
        return False

    async def run(self) -> None:
        self.sink.note("connect", connection=self.number)
        try:
            await self.answer("connect", "220 sink.example ESMTP")
            while line := await self.reader.readline():
                await self.command(line.decode("latin-1").rstrip("\r\n"))
        except (Close, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writer.close()

    async def command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb in ("EHLO", "LHLO"):
            rule = self.sink.rule("ehlo", "")
            if rule is not None and rule.reply:
                await self.say(rule.reply)
                return
            extensions = [] if self.sink.options.no_pipelining else ["PIPELINING"]
            stages = {rule.stage for rule in self.sink.rules}
            extensions += ["STARTTLS"] * ("starttls" in stages) + ["AUTH PLAIN LOGIN"] * ("auth" in stages)
            words = ["sink.example", *extensions, "SIZE 10000000", "ENHANCEDSTATUSCODES"]
            text = "".join(f"250-{word}\r\n" for word in words[:-1]) + f"250 {words[-1]}\r\n"
            self.writer.write(text.encode())
            await self.writer.drain()
        elif verb == "HELO":
            await self.say("250 sink.example")
        elif verb == "STAR":
            await self.answer("starttls", "454 4.7.0 not here")
        elif verb == "AUTH":
            await self.answer("auth", "235 2.7.0 fine")
        elif verb == "MAIL":
            self.recipient = ""
            if self.sender:
                await self.say("503 5.5.1 nested MAIL")
            elif await self.answer("mail", "250 2.1.0 Ok"):
                self.sender = line[10:]
        elif verb == "RCPT":
            await self.rcpt(line)
        elif verb == "DATA":
            await self.data()
        elif verb == "RSET":
            self.sender = self.recipient = ""
            await self.say("250 2.0.0 Ok")
        elif verb == "QUIT":
            await self.say("221 2.0.0 Bye")
            raise Close
        else:
            await self.say("500 5.5.2 what?")

    async def rcpt(self, line: str) -> None:
        if not self.sender:
            await self.say("503 5.5.1 need MAIL")
            return
        self.recipient = line[8:].strip("<> ")
        if not await self.answer("rcpt", "250 2.1.5 Ok"):
            self.recipient = ""

    async def data(self) -> None:
        if not self.recipient:
            await self.say("503 5.5.1 need RCPT")
            return
        if not await self.answer("data", "354 go ahead"):
            return
        early = self.sink.rule("body", self.recipient)
        if early is not None:
            await self.reader.readline()
            if early.reply is None:
                raise Close
            await self.say(early.reply)
            await asyncio.sleep(0.05)
            raise Close
        try:
            raw = await self.reader.readuntil(b"\r\n.\r\n")
        except asyncio.IncompleteReadError:
            self.sink.note("aborted", to=self.recipient, connection=self.number)
            raise
        await self.dot(raw[:-3])
        self.sender = self.recipient = ""

    async def dot(self, raw: bytes) -> None:
        rule = self.sink.rule("dot", self.recipient)
        if rule is not None and rule.delay:
            await asyncio.sleep(rule.delay)
        if rule is None or rule.accept or (rule.delay and rule.reply is None):
            self.accept(raw)
        if rule is not None and rule.hold:
            await asyncio.sleep(rule.hold)
        if rule is None or (rule.delay and rule.reply is None and not rule.accept):
            await self.say("250 2.0.0 Ok: queued")
        elif rule.reply is None:
            self.sink.note("cut", to=self.recipient, connection=self.number)
            raise Close
        else:
            code = int(rule.reply[:3])
            if code >= 400:
                self.sink.note("refused", stage="dot", to=self.recipient, connection=self.number, code=code)
            await self.say(rule.reply)
            if rule.reply.startswith("421"):
                raise Close

    def accept(self, raw: bytes) -> None:
        found = re.search(rb"^Message-ID: <([^>]+)>", raw, re.MULTILINE | re.IGNORECASE)
        self.sink.note(
            "accepted",
            to=self.recipient,
            sender=self.sender,
            message_id=found[1].decode() if found else None,
            sha256=hashlib.sha256(raw).hexdigest(),
            connection=self.number,
            at=asyncio.get_running_loop().time(),
        )
        if self.sink.options.keep:
            with open(os.path.join(self.sink.options.keep, f"{next(self.sink.kept)}.eml"), "wb") as file:
                file.write(raw)


async def serve(options: argparse.Namespace) -> None:
    sink = Sink(options)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Talk(sink, reader, writer).run()

    server = await asyncio.start_server(connected, "127.0.0.1", options.port, limit=4_000_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rules", default="[]")
    parser.add_argument("--keep")
    for flag in ("--no-pipelining", "--bytewise", "--multiline", "--mixed"):
        parser.add_argument(flag, action="store_true")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
