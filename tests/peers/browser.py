"""
Chromium, driven over its own pipe: pages as people use them, with keys, history, and with or without script.

The pipe carries the DevTools protocol as JSON, each message ended by a NUL, so no library and no port is needed.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SECONDS = 30
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
JUDGE = """
axe.run(document, {runOnly: %s, resultTypes: ["violations"]}).then(function (found) {
  return found.violations.map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 200)).join(" | "));
})
"""
NAMED = """
(function (name) {
  return [...document.querySelectorAll("button, a[href]")].find(e => e.offsetHeight && e.innerText.includes(name));
})(%s)
"""
SHIFT = {"key": "Shift", "code": "ShiftLeft", "windowsVirtualKeyCode": 16}


@dataclass
class Browser:
    """The browser's end of the pipe."""

    reading: int
    writing: int
    _number: int = 0
    _buffer: bytes = b""
    _answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while self._number not in self._answers:
            self.listen(deadline)
        answer = self._answers.pop(self._number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def listen(self, deadline: float) -> None:
        """Take in what the browser says next."""
        if not select.select([self.reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError("the browser does not answer")
        data = os.read(self.reading, 1 << 20)
        if not data:
            raise EOFError("the browser has ended")
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self.events.append(message)

    def tab(self, *, width: int = 1280, height: int = 900, script: bool = True, dark: bool = False) -> Tab:
        """Open a tab of its own profile."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        tab.run_scripts(script)
        tab.paint(dark=dark)
        return tab


@dataclass
class Tab:
    """One tab."""

    browser: Browser
    session: str
    target: str

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)

    def run_scripts(self, wanted: bool) -> None:
        """Let pages run scripts or not; what a page has left out stays left out."""
        self.call("Emulation.setScriptExecutionDisabled", value=not wanted)

    def paint(self, *, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go to an address and wait until its page is there."""
        self.browser.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")

    def wait_for(self, method: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not any(e["method"] == method and e.get("sessionId") == self.session for e in self.browser.events):
            self.browser.listen(deadline)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Click with the mouse, which works without script as well."""
        self._click(f"document.querySelector({json.dumps(selector)})")

    def follow(self, name: str) -> None:
        """Click the first button or link that shows *name*, and wait for the page that it leads to."""
        self.browser.events.clear()
        self._click(NAMED % json.dumps(name))
        self.wait_for("Page.loadEventFired")

    def _click(self, expression: str) -> None:
        found = self.call("Runtime.evaluate", expression=expression)["result"]
        if "objectId" not in found:
            raise LookupError(f"{expression} is not on the page")
        element = {"objectId": found["objectId"]}
        self.call("DOM.scrollIntoViewIfNeeded", **element)
        x1, y1, _, _, x2, y2, _, _ = self.call("DOM.getBoxModel", **element)["model"]["content"]
        where = {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def press(self, key: dict[str, Any], times: int = 1) -> None:
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, **key)

    def fill(self, selector: str, text: str) -> None:
        field = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{field}.value = {json.dumps(text)}")

    def check(self, selector: str) -> None:
        """Tick a box or choose a button, as people do."""
        is_checked = f"document.querySelector({json.dumps(selector)}).checked"
        if not self.evaluate(is_checked):
            self.click(selector)
        if not self.evaluate(is_checked):
            raise RuntimeError(f"{selector} cannot be chosen")

    def text(self) -> str:
        """Return what the page shows, each run of spaces as one."""
        return " ".join(str(self.evaluate("document.body.innerText")).split())

    def resize(self, width: int) -> bool:
        """Make the tab *width* pixels wide; return whether its page fits."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        return int(self.evaluate("document.documentElement.scrollWidth")) <= width

    def judge(self, axe: str, *, dark: bool) -> list[str]:
        """Return which rules of axe the page breaks; its own scripts, where left out, are left out for good by now."""
        self.run_scripts(True)
        self.paint(dark=dark)
        self.evaluate(axe + "\n;null")
        broken: list[str] = self.evaluate(JUDGE % json.dumps(["color-contrast"] if dark else RULES))
        return [f"dark: {words}" for words in broken] if dark else broken

    def cookies(self) -> int:
        return len(self.call("Network.getAllCookies")["cookies"])

    def history(self) -> list[str]:
        """Return the addresses that Back and Forward lead through."""
        return [entry["url"] for entry in self.call("Page.getNavigationHistory")["entries"]]

    def wait_until_at(self, beginning: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not self._address().startswith(beginning):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the tab is not at {beginning} but at {self._address()}")
            time.sleep(0.02)

    def _address(self) -> str:
        try:
            found = self.call("Page.getNavigationHistory")
        except RuntimeError:  # between two pages it has none
            return ""
        return str(found["entries"][found["currentIndex"]]["url"])

    def said(self) -> list[str]:
        """Return what the browser complained of: refused scripts, styles and requests, and errors."""
        entries = [told["entry"]["text"] for told in self._events("Log.entryAdded")]
        return entries + [str(told["exceptionDetails"]) for told in self._events("Runtime.exceptionThrown")]

    def requested(self) -> list[str]:
        """Return the addresses that were asked for since `open`."""
        urls = [str(told["request"]["url"]) for told in self._events("Network.requestWillBeSent")]
        return [url for url in urls if not url.startswith("data:")]  # the browser's own pictures, as of a field

    def _events(self, method: str) -> list[dict[str, Any]]:
        mine = (e for e in self.browser.events if e.get("sessionId") == self.session)
        return [e["params"] for e in mine if e["method"] == method]

    def screenshot(self, path: Path) -> None:
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with running_browser(chromium) as found:
        yield found


@contextmanager
def running_browser(program: str) -> Iterator[Browser]:
    """Run the browser without a window; it reaches loopback only."""
    to_browser, writing = os.pipe()
    reading, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        command = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run", "--disable-extensions",
            "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank",
        ]  # fmt: skip

        # The browser wants its pipe as 3 and 4. A shell puts it there: after a fork Python should run nothing itself.
        shell = ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash", *command]
        process = subprocess.Popen(
            shell, pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_browser)
        os.close(from_browser)
        browser = Browser(reading, writing)
        try:
            yield browser
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(reading)
            os.close(writing)
