"""
The folder of the demonstration: built anew each time, and never at the cost of somebody's files.

Only a folder that carries our mark is emptied; any other that is not empty is refused.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from newsletter.demo.drawing import draw_allotment, draw_portrait
from newsletter.demo.network import copy_network
from newsletter.errors import WorkspaceError

MARK = ".newsletter-demo"
MARK_TEXT = "This folder was made by `newsletter demo`, which empties it when it runs again.\n"
WEB_URL = "https://news.wrenfieldvale.example"


@dataclass(frozen=True, slots=True)
class Place:
    """Where things of the demonstration lie."""

    root: Path

    @property
    def network(self) -> Path:
        return self.root / "network"

    @property
    def caught(self) -> Path:
        return self.root / "caught"

    @property
    def portrait(self) -> Path:
        return self.network / "portrait.png"

    @property
    def handbook(self) -> Path:
        return self.network / "handbook"

    @property
    def serve_log(self) -> Path:
        return self.root / "serve.log"


@contextmanager
def prepared(folder: Path, today: date) -> Iterator[Place]:
    """
    Yield the folder, empty but for the sample network as of *today*; it is ours alone until the end of the block.

    Raises:
        WorkspaceError: When something is there that this program did not make, or another run is using it.
    """
    root = folder.resolve()
    mark = root / MARK
    if root.exists() and (not root.is_dir() or (any(root.iterdir()) and not mark.is_file())):
        raise WorkspaceError(
            f"{folder} is not empty, and no earlier demonstration made it.",
            hint="Name another folder, for example: newsletter demo demo-2",
        )
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with mark.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkspaceError(
                f"Another demonstration is running in {folder}.", hint="Wait for it, or name another folder."
            ) from None
        _empty(root, keep=mark)
        mark.write_text(MARK_TEXT)
        place = Place(root)
        copy_network(place.network, today)
        draw_allotment(place.handbook / "allotment.png")
        draw_portrait(place.portrait)
        yield place


def _empty(root: Path, *, keep: Path) -> None:
    for inside in root.iterdir():
        if inside == keep:
            continue
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside)
        else:
            inside.unlink()


def write_config(place: Place, *, smtp_port: int, web_port: int) -> None:
    """Write the configuration of the sample network; its mail server is the catcher."""
    descriptor = os.open(place.root / "config.toml", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(web_url=WEB_URL, smtp_port=smtp_port, web_port=web_port))


def add_late_news(place: Place, today: date) -> None:
    """Put one more piece of news into the folder, for the second issue to find."""
    (place.handbook / "thanks.md").write_text(LATE_NEWS.format(today=today.isoformat()), encoding="utf-8")


CONFIG = """\
# The sample network of `newsletter demo`. Its mail server catches everything; nothing leaves this machine.

[organisation]
name = "Wrenfield Vale Network"
postal_address = "The Old Fire Station, 4 Bridge Street, Wrenfield WV1 0AA"
from_address = "news@wrenfieldvale.example"
from_name = "Wrenfield Vale Network"
reply_to = "office@wrenfieldvale.example"
timezone = "Europe/London"
website = "https://www.wrenfieldvale.example"
privacy_url = "https://www.wrenfieldvale.example/privacy"
helpline = "Vale Helpline, day and night, free from any telephone: 0808 157 0192. In danger now? Call 999."
helpline_phone = "08081570192"

[smtp]
host = "127.0.0.1"
port = {smtp_port}
tls = "none"
connections = 4

[web]
url = "{web_url}"
port = {web_port}

[[attributes]]
name = "role"
kind = "choice"
choices = ["charity", "council", "health", "police", "school", "volunteer"]

[[attributes]]
name = "interests"
kind = "several"
"""

LATE_NEWS = """\
---
kind: post
title: "Thank you: the conference is full, and there is a waiting list"
date: {today}
author: Network office
categories: [Community]
url: https://www.wrenfieldvale.example/news/waiting-list
summary: All 180 places are gone. If you hold one that you cannot use, write to the office.
---

All 180 places are gone in four days.
"""
