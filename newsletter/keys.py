"""The workspace's secrets: one file a purpose in `secrets/`, mode 0600; old keys stay for verifying."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from newsletter.dkim_keys import DkimKeys
from newsletter.errors import WorkspaceError
from subscribers.tokens import Key, Keyring

LINKS, MARKS, MESSAGE_IDS = "links", "marks", "message-ids"
PEPPER, AUDIT = "pepper", "audit"
PURPOSES = (LINKS, MARKS, MESSAGE_IDS, PEPPER, AUDIT)
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Keys:
    """
    Every key of a workspace.

    The pepper, the Message-ID key and that of the audit log never rotate: what they made must stay comparable.
    """

    links: Keyring
    marks: Keyring
    message_ids: Key
    pepper: bytes
    audit: bytes
    dkim: DkimKeys


def create_keys(folder: Path, *, only: Sequence[str] = PURPOSES) -> None:
    """Write the files that are absent; keys that exist are never touched."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for purpose in only:
        path = _path(folder, purpose)
        if not path.exists():
            _write(path, f"1:{secrets.token_hex(SECRET_BYTES)}\n")


def load_keys(folder: Path) -> Keys:
    """
    Read the keys.

    Raises:
        WorkspaceError: When one is missing, malformed, or readable by others than its owner.
    """
    rings = {purpose: _read(_path(folder, purpose)) for purpose in PURPOSES}
    return Keys(
        links=rings[LINKS],
        marks=rings[MARKS],
        message_ids=rings[MESSAGE_IDS].current,
        pepper=rings[PEPPER].current.secret,
        audit=rings[AUDIT].current.secret,
        dkim=DkimKeys(folder),
    )


def rotate_key(folder: Path, purpose: str) -> Key:
    """Put a new key first; the old ones go on verifying."""
    ring = _read(_path(folder, purpose))
    key = Key(max(k.key_id for k in ring.keys) % 255 + 1, secrets.token_bytes(SECRET_BYTES))
    _write(_path(folder, purpose), "".join(f"{k.key_id}:{k.secret.hex()}\n" for k in (key, *ring.keys)))
    return key


def _path(folder: Path, purpose: str) -> Path:
    return folder / f"{purpose}.key"


def _read(path: Path) -> Keyring:
    try:
        if path.stat().st_mode & 0o077:
            raise WorkspaceError(f"Others can read the key file {path}.", hint=f"Run: chmod 600 {path}")
        lines = path.read_text().split()
        keys = tuple(Key(int(number), bytes.fromhex(secret)) for number, _, secret in (s.partition(":") for s in lines))
    except FileNotFoundError:
        raise WorkspaceError(
            f"The key file {path} is missing.",
            hint="Restore it from a backup; without it links in mail already sent stop working.",
        ) from None
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"The key file {path} cannot be read: {error}") from None
    if not keys or any(len(k.secret) < SECRET_BYTES for k in keys):
        raise WorkspaceError(f"The key file {path} holds no usable key.", hint="Restore it from a backup.")
    return Keyring(keys)


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
