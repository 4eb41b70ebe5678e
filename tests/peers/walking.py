"""Walks through pages of the site as people do: each step of a list, and what every page looked at was like."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.peers.browser import Browser, Tab

WIDTHS = (320, 360, 1280)
PICTURES = os.environ.get("NEWSLETTER_PICTURES", "")  # a folder: then pictures of every page looked at are kept there
Step = Sequence[str]


@dataclass(frozen=True)
class Walk:
    """
    One way through the site.

    Attributes:
        steps: `goto PATH`, `click NAME` (a button or link), `fill SELECTOR TEXT`, `check SELECTOR`, `see TEXT`,
            `look NAME`.
    """

    name: str
    script: bool
    steps: Sequence[Step]


@dataclass(frozen=True)
class Look:
    """A page that was looked at: the rules of axe that it breaks, and the widths that it does not fit."""

    walk: str
    name: str
    broken: list[str]
    overflow: list[int]
    title: str
    text: str


@dataclass
class Report:
    """What was seen on all walks; `foreign` are the addresses of other sites that were asked for."""

    looks: list[Look] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    cookies: int = 0

    @property
    def faults(self) -> list[tuple[str, str, list[str], list[int]]]:
        return [
            (look.walk, look.name, look.broken, look.overflow) for look in self.looks if look.broken or look.overflow
        ]


Walking = Callable[[str, Sequence[Walk]], Report]


@pytest.fixture
def walk(browser: Browser, axe: str) -> Walking:
    """Return a function that walks through the site at an address; what a page does wrong fails the test."""
    return partial(_walk, browser, axe)


def _walk(browser: Browser, axe: str, base: str, walks: Sequence[Walk]) -> Report:
    report = Report()
    for one in walks:
        tab = browser.tab(script=one.script)
        for step in one.steps:
            try:
                _take(tab, axe, base, one, step, report)
            except (LookupError, RuntimeError, TimeoutError) as error:
                raise AssertionError(f"{one.name}: {' '.join(step)}: {error} On: {tab.text()[:300]}") from error
            report.foreign += [url for url in tab.requested() if not url.startswith(base)]
            complaints = [words for words in tab.said() if "status of" not in words]
            assert not complaints, (one.name, step, complaints)
        report.cookies += tab.cookies()
    return report


def _take(tab: Tab, axe: str, base: str, walk: Walk, step: Step, report: Report) -> None:
    verb, *words = step
    if verb == "goto":
        tab.open(base + words[0])
    elif verb == "click":
        tab.follow(words[0])
    elif verb == "fill":
        tab.fill(*words)
    elif verb == "check":
        tab.check(words[0])
    elif verb == "see":
        if words[0] not in tab.text():
            raise LookupError("It is not there.")
    elif verb == "look":
        report.looks.append(_look(tab, axe, walk, words[0]))
    else:
        raise ValueError(f"no such verb: {verb}")


def _look(tab: Tab, axe: str, walk: Walk, name: str) -> Look:
    title, text, broken, overflow = str(tab.evaluate("document.title")), tab.text(), [], []
    for dark in (False, True):
        broken += tab.judge(axe, dark=dark)
        for width in WIDTHS:
            if not tab.resize(width):
                overflow.append(width)
            if PICTURES and width != min(WIDTHS):
                tab.screenshot(Path(PICTURES) / f"{walk.name}-{name}-{'dark' if dark else 'light'}-{width}.png")
    tab.paint(dark=False)
    tab.run_scripts(walk.script)
    return Look(walk.name, name, broken, overflow, title, text)
