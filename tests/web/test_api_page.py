"""What docs/api.md tells people works as typed, and names every scope and every kind of refusal."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx

from newsletter.api_tokens import LEAST, Scope
from newsletter.app import App
from newsletter.web.api.limits import REQUESTS_PER_MINUTE
from newsletter.web.api.problems import KINDS
from tests.peers.fixtures import missing
from tests.web.api_client import caller, make_lists, put

PAGE = (Path(__file__).parent.parent.parent / "docs" / "api.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]


def test_every_scope_is_told_and_no_other() -> None:
    told = [name for row in ROWS if len(row) == 2 for name in re.findall(r"`([a-z]+:[a-z]+)`", row[0])]
    assert sorted(told) == sorted(Scope)
    [least] = [row[0] for row in ROWS if "The default" in row[1]]
    assert least == f"`{LEAST[0]}`"


def test_every_kind_of_refusal_is_told_with_its_status() -> None:
    told = {row[0].strip("`"): int(row[1]) for row in ROWS if len(row) == 3}
    assert told == {kind: status for kind, (status, _) in KINDS.items()}
    assert f"{REQUESTS_PER_MINUTE} requests a" in PAGE


def test_the_examples_work_as_typed(app: App, site: httpx.Client) -> None:
    """By curl, on the shell that people have; only the address, the id and the version are put in."""
    if shutil.which("curl") is None:
        missing("curl")
    make_lists(app, "members")
    ann = put(app, "ann@example.org", "members", name="Ann Jones")
    everything = caller(app, site, *Scope)
    [blocks] = [re.findall(r"^```sh\n(.*?)^```", PAGE.split("## Three examples")[1].split("## Pages")[0], re.M | re.S)]
    script = "\n".join(blocks).replace("https://news.example.org", str(site.base_url))
    script = script.replace("/subscribers/17", f"/subscribers/{ann}").replace('"x3f..."', "*").replace("town", "name")
    script = script.replace('{"attributes": {"name": "Dudley"}, ', '{"name": "Ann", ').replace("curl ", "curl -sS ")
    script = script.replace("$(uuidgen)", "one")
    environment = {**os.environ, "TOKEN": everything.token, "no_proxy": "*"}
    ended = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=60, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert '{"state":"asked"}' in ended.stdout
    assert ended.stdout.count('"address":"ann@example.org"') == 3  # looked up, shown, changed; no longer in the segment
    assert '"tags":["press"]' in ended.stdout
    assert "etag: " in ended.stdout
    assert json.loads(ended.stdout.splitlines()[-1]) == []
