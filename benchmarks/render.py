"""
Rendering an issue of six posts and five events: the time outside premailer is at most half of the time inside it.

Run: python benchmarks/render.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from sample_issue import sample_issue

from newsletter.paths import shipped_templates
from newsletter.render import html
from newsletter.render.archive import Surroundings, render_web_version
from newsletter.render.environment import make_environment
from newsletter.render.issue import render_issue

ROUNDS = 40
MOST_OUTSIDE = 0.5
MOST_REFRESH_MS = 300


def main() -> int:
    """Measure both in the same rounds, print the ratio, fail above the bound."""
    inside: list[float] = []
    html.inline_css = _timed(html.inline_css, inside)
    issue = sample_issue()
    environment = make_environment([shipped_templates()])
    render_issue(issue, environment)  # compiles the templates and reads the style sheet: a process does this once
    whole: list[float] = []
    inside.clear()
    for _ in range(ROUNDS):
        _timed(render_issue, whole)(issue, environment)
    premailer_ms = statistics.median(inside) * 1000
    outside_ms = statistics.median(w - i for w, i in zip(whole, inside, strict=True)) * 1000
    refresh_ms = statistics.median(_refresh_ms() for _ in range(9))
    ratio = outside_ms / premailer_ms
    print(f"premailer {premailer_ms:.1f} ms, everything else {outside_ms:.1f} ms: {ratio:.2f} of it (at most 0.5)")
    print(f"preview refresh, settings read anew, a mail and its web version: {refresh_ms:.0f} ms (under 300)")
    return 0 if ratio <= MOST_OUTSIDE and refresh_ms < MOST_REFRESH_MS else 1


def _refresh_ms() -> float:
    """Time what a preview does when somebody reloads it."""
    start = time.perf_counter()
    environment = make_environment([shipped_templates()])
    render_issue(sample_issue(), environment)
    render_web_version(sample_issue(), environment, Surroundings("https://example.org/"))
    return (time.perf_counter() - start) * 1000


def _timed(function: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            times.append(time.perf_counter() - start)

    return run


if __name__ == "__main__":
    sys.exit(main())
