"""
Make a workspace: what is there is never overwritten, so a start that failed half-way is simply repeated.

Nothing is invented: what was not told is written empty or under `.invalid`, and `Config.unfinished` names it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from newsletter.errors import WorkspaceError
from newsletter.paths import PLAN, Workspace


@dataclass(frozen=True, slots=True)
class Answers:
    """What a new workspace is told about its organisation and its relay."""

    name: str = ""
    from_address: str = "newsletter@your-domain.invalid"
    postal_address: str = ""
    web_url: str = "https://your-domain.invalid"
    timezone: str = "Europe/London"
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 25


def refuse_foreign_folder(workspace: Workspace) -> None:
    """
    Refuse a folder with other people's files in it; an empty one, or one with our `config.toml`, is fine.

    Raises:
        WorkspaceError: With what is in the way.
    """
    root = workspace.root
    if root.exists() and not root.is_dir():
        raise WorkspaceError(f"{root} is a file, not a folder.", hint="Name another folder.")
    if root.is_dir() and not workspace.config.exists():
        inside = next(root.iterdir(), None)
        if inside is not None:
            raise WorkspaceError(
                f"{root} is not empty: it holds {inside.name}, and no config.toml of ours.",
                hint="Name a new folder, for example: newsletter init newsletter",
            )


def refuse_half_restored(workspace: Workspace) -> None:
    """
    Refuse to work in a workspace whose restore was stopped half-way.

    Raises:
        WorkspaceError: With how to go on.
    """
    if (workspace.restoring / PLAN).exists():
        raise WorkspaceError(
            f"A restore into {workspace.root} was stopped half-way.",
            hint=f"Go on with it: newsletter db restore --continue --into {workspace.root}",
        )


def make_folders(workspace: Workspace) -> Iterator[Path]:
    """Create the folders that are absent, open to their owner only; yield each that was made."""
    folders = (workspace.root, workspace.secrets, workspace.media, workspace.templates, workspace.outbox)
    for folder in (*folders, workspace.locks):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True)
            yield folder


def write_config(path: Path, answers: Answers) -> None:
    """Write a small configuration, mode 0600 since a password may come to stand in it; never over one that exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(config_text(answers))


def config_text(answers: Answers) -> str:
    """Return the file that `init` writes, as TOML."""
    return _CONFIG.format(**{name: _toml(getattr(answers, name)) for name in Answers.__dataclass_fields__})


def _toml(value: str | int) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_CONFIG = """\
# The configuration of this workspace. Every key there is, with its default: newsletter config show
# Check it all with: newsletter doctor

[organisation]
name = {name}
postal_address = {postal_address}   # stands in the foot of every issue; the law asks for it
from_address = {from_address}   # the From of every issue
timezone = {timezone}
# helpline = "..."   a standing notice; when set, every issue must carry it unaltered

[smtp]   # the mail server that takes the issues
host = {smtp_host}
port = {smtp_port}
# tls = "required"   the default off this machine; also implicit, opportunistic, none
# username = "..."
# password = "..."   or in the environment: NEWSLETTER__SMTP__PASSWORD_FILE=/path/to/file

[web]   # where members reach `newsletter serve`: unsubscribe links are built on it
url = {web_url}
"""
