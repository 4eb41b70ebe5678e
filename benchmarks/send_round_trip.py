"""
Sending over a long way: messages a round trip a connection, where every round trip takes 50 ms.

    python benchmarks/send_round_trip.py [--copies 3000] [--connections 10] [--milliseconds 50]

Goal: at least 0.9 of one message a round trip a connection, which is what a protocol can give that asks before each
message whether it may come. A proxy on this machine delays each direction by half the round trip, and how long one
takes is measured through it in the same run. Needs the Debian package postfix.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sending import free_port, prepare, send_frozen, sink, wait_for

GOAL = 0.9
PROBES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=3_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--milliseconds", type=float, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sink(options.connections) as server:
        prepare(Path(folder), options.copies)
        with delaying_proxy(server.port, options.milliseconds / 2000) as port:
            round_trip = measured_round_trip(port)
            ours = send_frozen(Path(folder), port, options.connections)
        assert server.count() == options.copies, server.count()
    ratio = ours.rate * round_trip / options.connections
    print(f"a round trip takes {round_trip * 1000:.1f} ms; ours {ours}")
    print(f"send_round_trip: ratio {ratio:.2f} messages a round trip a connection (goal {GOAL})")
    sys.exit(0 if ratio >= GOAL else 1)


def measured_round_trip(port: int) -> float:
    """Return the median time of a NOOP through the proxy, in seconds."""
    with socket.create_connection(("127.0.0.1", port)) as talk, talk.makefile("rb") as replies:
        replies.readline()
        times = []
        for _ in range(PROBES):
            started = time.perf_counter()
            talk.sendall(b"NOOP\r\n")
            replies.readline()
            times.append(time.perf_counter() - started)
    return statistics.median(times)


@contextmanager
def delaying_proxy(target: int, seconds: float) -> Iterator[int]:
    """Run a proxy in a process of its own that hands on every byte *seconds* after it came."""
    port = free_port()
    process = multiprocessing.Process(target=_run_proxy, args=(port, target, seconds), daemon=True)
    process.start()
    try:
        wait_for(port)
        yield port
    finally:
        process.kill()
        process.join()


def _run_proxy(port: int, target: int, seconds: float) -> None:
    import uvloop

    async def serve() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(_pump(reader, far_writer, seconds), _pump(far_reader, writer, seconds))

        server = await asyncio.start_server(connected, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(serve())


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Hand on what comes, each piece at its time, in order."""
    loop = asyncio.get_running_loop()
    while data := await reader.read(65_536):
        loop.call_later(seconds, writer.write, data)
    loop.call_later(seconds, writer.close)


if __name__ == "__main__":
    main()
