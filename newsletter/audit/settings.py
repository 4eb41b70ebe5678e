"""
Changes of the configuration, noticed by whoever opens the database next: which keys have another value than before.

Of each value only a keyed digest is kept, and of a secret only whether it is set.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from contextlib import suppress

from sqlalchemy.orm import Session

from newsletter.audit.log import Action, AuditLog, lock_head
from newsletter.config.loading import shown_values
from newsletter.config.settings import Config
from newsletter.tables import Setting
from subscribers.db import Database
from subscribers.errors import DatabaseUnavailable

SETTING = "configuration"
DIGEST_CHARACTERS = 16


def notice(database: Database, config: Config, key: bytes, log: AuditLog) -> None:
    """
    Record which keys have changed since the last look, if any have.

    Nothing is held up by it: where the database cannot be written now, whoever comes next notices.
    """
    with suppress(DatabaseUnavailable):
        present = digests(config, key)
        with database.read() as session:
            if _stored(session) == present:
                return
        with database.write() as session:
            _note(session, present, log)


def digests(config: Config, key: bytes) -> dict[str, str]:
    """Return each key with a digest of its value, which nobody can guess the value from without the workspace's key."""
    found = {}
    for name, value in shown_values(config):
        text = f"{name}\0{json.dumps(value, sort_keys=True, default=str)}"
        found[name] = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:DIGEST_CHARACTERS]
    return found


def _stored(session: Session) -> Mapping[str, str] | None:
    setting = session.get(Setting, SETTING)
    return setting.value if setting is not None else None


def _note(session: Session, present: dict[str, str], log: AuditLog) -> None:
    lock_head(session)  # of several processes that start at once, one notices
    setting = session.get(Setting, SETTING)
    before: Mapping[str, str] = setting.value if setting is not None else {}
    changed = sorted(name for name in {*before, *present} if before.get(name) != present.get(name))
    if setting is None:
        session.add(Setting(name=SETTING, value=present))
        log.record(session, Action.SETTINGS_CHANGED, "config.toml", first=True)
    elif changed:  # else another process has noticed meanwhile
        setting.value = present
        log.record(session, Action.SETTINGS_CHANGED, "config.toml", keys=changed)
