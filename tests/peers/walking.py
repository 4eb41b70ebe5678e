"""Chromium with axe, driven by `walk.mjs`; its packages are those of the measuring tool beside the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WALK = Path(__file__).parent / "walk.mjs"
Walk = dict[str, Any]
PICTURES = os.environ.get("NEWSLETTER_PICTURES", "")  # a folder: then pictures of every page looked at are kept there


@pytest.fixture(scope="session")
def walk(
    shared: Path, chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, list[Walk]], dict[str, Any]]:
    """Return a function that walks through a site and returns what was seen; its errors fail the test."""
    folder = tmp_path_factory.mktemp("walking")
    shutil.copy(shared / "tools" / "mail-audit" / "package.json", folder)
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: axe needs it")
    fetched = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, timeout=200
    )
    if fetched.returncode != 0:
        pytest.skip(f"axe cannot be fetched: {fetched.stderr[-300:]}")

    def run(base: str, walks: list[Walk]) -> dict[str, Any]:
        plan = folder / "walks.json"
        plan.write_text(json.dumps({"base": base, "walks": walks, "pictures": PICTURES}))
        environment = {**os.environ, "CHROMIUM": chromium}
        done = subprocess.run(
            ["node", str(WALK), str(plan)], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        assert not report["errors"], "\n".join(report["errors"])
        return report

    return run
