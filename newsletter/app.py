"""
The composition root: configuration, workspace, keys, database and clock, wired here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from newsletter.config.settings import Config
from newsletter.errors import WorkspaceError
from newsletter.keys import Keys, load_keys
from newsletter.paths import Workspace
from subscribers.db import Database

if TYPE_CHECKING:
    from newsletter.audit.log import AuditLog
    from newsletter.personal_data.never_mail import Keeper
    from subscribers.bounces.intake import Intake


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class App:
    """
    What an entry point needs. Parts are made when first asked for, so that a command pays only for what it uses.

    Attributes:
        actor: Who does it, for the ledger and the audit: `--as NAME`, else the login name.
        now: The clock; tests hand in their own.
        check_schema: Refuse a database of another version when it is first opened, and notice a changed configuration;
            commands do.
    """

    workspace: Workspace
    config: Config
    actor: str
    now: Callable[[], datetime] = field(default=utc_now)
    check_schema: bool = False

    @cached_property
    def database(self) -> Database:
        database = Database(self.database_url)
        if self.check_schema:
            self._check(database)
        return database

    def check_database(self) -> None:
        """
        Do what opening does with `check_schema`, at a moment of one's own choice.

        Raises:
            DatabaseUnavailable: When it is away, or of another version.
        """
        self._check(self.database)

    def _check(self, database: Database) -> None:
        from newsletter.migrations import require_current

        require_current(database)
        self._notice_settings(database)

    @property
    def database_url(self) -> str:
        return self.config.database.url.get_secret_value() or f"sqlite:///{self.workspace.database}"

    @cached_property
    def keys(self) -> Keys:
        return load_keys(self.workspace.secrets)

    @cached_property
    def audit(self) -> AuditLog:
        from newsletter.audit.anchor import Anchor
        from newsletter.audit.log import AuditLog

        anchor = Anchor(self.workspace.audit_anchor)
        return AuditLog(self.keys.audit, anchor, actor=self.actor, clock=lambda: self.now())

    def _notice_settings(self, database: Database) -> None:
        from newsletter.audit import settings as audit_settings

        with suppress(WorkspaceError):  # keys that are not in order are told by whatever needs them
            audit_settings.notice(database, self.config, self.keys.audit, self.audit)

    @cached_property
    def keeper(self) -> Keeper:
        """Keeps the file of who is never mailed up to the database."""
        from newsletter.personal_data.never_mail import Keeper

        return Keeper(self.database, self.workspace, self.keys.pepper)

    @property
    def has_written(self) -> bool:
        """Whether this process has committed anything."""
        return "database" in self.__dict__ and self.database.written

    @cached_property
    def intake(self) -> Intake:
        """The door for what comes back; it is told of copies and of the chair by `Returns`."""
        from newsletter.fresh_keys import FreshKeys
        from newsletter.send.patience import patiences
        from newsletter.send.returns import Returns
        from subscribers.bounces.intake import Intake
        from subscribers.bounces.verdicts import Judge

        application, policy = Returns(self), self.config.bounces.policy
        fresh = FreshKeys(self.workspace.secrets)
        return Intake(
            self.database,
            application,
            Judge(application, patiences=patiences(self.config), pepper=self.keys.pepper),
            marks=lambda: fresh.current().marks,
            links=lambda: fresh.current().links,
            pepper=self.keys.pepper,
            clock=self.now,
            keep_raw=timedelta(days=policy.keep_days),
            alert_after=policy.alert_after,
            signed_bounces=self.config.bounces.envelope == "verp",
        )

    @property
    def template_folders(self) -> tuple[Path, ...]:
        from newsletter.paths import shipped_templates

        return (self.workspace.templates, shipped_templates())

    def close(self) -> None:
        if "database" in self.__dict__:
            self.database.close()
