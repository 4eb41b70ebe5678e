"""Whole commands in processes of their own, as people run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def newsletter(tmp_path: Path):
    """Run the command in a folder of its own and return its JSON, or its text."""

    def newsletter(*words: str, code: int = 0, **environ: str) -> Any:
        command = [sys.executable, "-m", "newsletter", *words]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NEWSLETTER")} | environ
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if "--json" in words else done.stdout + done.stderr

    return newsletter
