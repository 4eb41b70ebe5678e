"""Where a workspace keeps its things, and where the templates that ship with the program are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PLAN = "plan.json"  # in `restoring`: from its writing on what is ready changes places with what stands
_PACKAGE = Path(__file__).parent


def shipped_templates() -> Path:
    """Return the folder of templates: inside the package in a wheel, beside it in a checkout."""
    inside = _PACKAGE / "_templates"
    return inside if inside.is_dir() else _PACKAGE.parent / "templates"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder that `newsletter init` writes."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def database(self) -> Path:
        return self.root / "newsletter.sqlite3"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def media(self) -> Path:
        return self.root / "media"

    @property
    def templates(self) -> Path:
        """Overrides of shipped templates; may be absent."""
        return self.root / "templates"

    @property
    def outbox(self) -> Path:
        """Files that commands write for people: previews, error files, reports."""
        return self.root / "outbox"

    @property
    def never_mail(self) -> Path:
        """Who is never mailed, kept outside the database so that a restore cannot forget it."""
        return self.root / "never-mail.jsonl"

    @property
    def backups(self) -> Path:
        """Where `db backup` writes when it is not told where."""
        return self.root / "backups"

    @property
    def restoring(self) -> Path:
        """What a restore has ready; here only while one is at work, or was stopped."""
        return self.root / "restoring"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def audit_anchor(self) -> Path:
        """How far the audit log was seen to reach, outside the database."""
        return self.root / "audit-anchor"
