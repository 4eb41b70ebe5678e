"""
The demonstration's hand on the keyboard: each command runs as if it were typed, and is shown as it would be typed.

A command's answer is read from its `--json`; its progress bars stay on the terminal. A failure is never passed over.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from newsletter.cli.main import cli
from newsletter.cli.output import Output
from newsletter.errors import NewsletterError

ACTOR = "demo"
START_SECONDS = 30.0
LOOK_SECONDS = 0.05
PROGRAM = "newsletter.cli.main"
NARROWEST_COLUMNS, WIDEST_COLUMNS = 40, 100


class DemoFailed(NewsletterError):
    """A step of the demonstration did not do what it should."""

    code = "demo"


@dataclass(frozen=True)
class Commands:
    """Runs commands in the workspace *root*, in this process; says what it does on *output*."""

    output: Output
    root: Path

    def run(self, *words: str, codes: tuple[int, ...] = (0,), show: bool = True, bar: bool = False) -> Any:
        """
        Run one command with ``--json`` and return its answer, or None when it has none.

        Args:
            codes: The exit codes that are fine.
            bar: Let it show its progress bar; all others are quiet.

        Raises:
            DemoFailed: When it ends with a code that is not in *codes*. The command's own errors pass through.
        """
        if show:
            self.show(*words)
        heard = io.StringIO()
        quiet = () if bar and not self.output.quiet else ("--quiet",)
        given = ["--workspace", str(self.root), "--as", ACTOR, "--json", "--yes", *quiet, *words]
        with contextlib.redirect_stdout(heard), _environment_of_its_own():
            code = cli.main(args=given, prog_name="newsletter", standalone_mode=False)
        code = code if isinstance(code, int) else 0
        if code not in codes:
            raise DemoFailed(
                f"`newsletter {' '.join(words)}` ended with code {code}.", hint=heard.getvalue().strip()[:2000]
            )
        return json.loads(heard.getvalue()) if heard.getvalue().strip() else None

    def show(self, *words: str) -> None:
        """Print a command as it would be typed in the workspace."""
        typed = " ".join(_as_typed(word.replace(f"{self.root}/", "").replace(str(self.root), ".")) for word in words)
        self.say(f"     $ newsletter {typed}", hang=9, fg="cyan")

    def say(self, text: str = "", *, hang: int | None = None, **style: Any) -> None:
        """
        Tell the story: on standard output, or on standard error where that is for JSON.

        Args:
            hang: Spaces before the second line and those after it, where the terminal is narrower than the text;
                without it as many as before the first.
            style: Of `click.style`.
        """
        if self.output.quiet:
            return
        for line in fitted(text, hang):
            click.echo(click.style(line, **style) if style and self.output.color else line, err=self.output.as_json)

    @contextlib.contextmanager
    def serving(self, port: int, log: Path) -> Iterator[str]:
        """
        Run the real `newsletter serve`, site and worker, as a process; yield its address.

        Raises:
            DemoFailed: When it does not answer.
        """
        self.show("serve", "--port", str(port))
        words = ["--workspace", str(self.root), "--as", ACTOR, "--verbose", "serve", "--port", str(port)]
        with log.open("wb") as file:
            command = [sys.executable, "-m", PROGRAM, *words]
            with _environment_of_its_own():
                process = subprocess.Popen(command, stdout=file, stderr=file)  # noqa: S603  # our own program
            try:
                address = f"http://127.0.0.1:{port}"
                _wait_until_healthy(address, process, log)
                yield address
            finally:
                process.terminate()
                process.wait()


def fitted(text: str, hang: int | None = None) -> list[str]:
    """Return the lines of *text* for this terminal, cut between words; an address or a path is never cut."""
    columns = min(max(shutil.get_terminal_size().columns, NARROWEST_COLUMNS), WIDEST_COLUMNS)
    indent = " " * (len(text) - len(text.lstrip()))
    rest = indent if hang is None else " " * hang
    words = text[len(indent) :]
    if len(text) <= columns:
        return [text]
    return textwrap.wrap(
        words,
        columns,
        initial_indent=indent,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _as_typed(word: str) -> str:
    """Quote a word for a shell as a person would: double quotes around what holds an apostrophe."""
    if "'" in word and not set(word) & set('"$`\\!'):
        return f'"{word}"'
    return shlex.quote(word)


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def _environment_of_its_own() -> Iterator[None]:
    # A configuration of the person who tries this out must not reach into the sample network.
    foreign = {name: value for name, value in os.environ.items() if name.startswith("NEWSLETTER_")}
    for name in foreign:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(foreign)


def _wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import httpx

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/health", timeout=5, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(LOOK_SECONDS)
    raise DemoFailed("`newsletter serve` did not start.", hint=log.read_text(errors="replace")[-2000:])
