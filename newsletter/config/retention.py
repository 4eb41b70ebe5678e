"""The table of the configuration that says how long things are kept."""

from __future__ import annotations

from pydantic import Field

from newsletter.config.group import Group


class Retention(Group):
    """How long what is about people is kept. Suppressions, the ledger's lines and the audit log stay for ever."""

    unconfirmed_days: int = Field(7, ge=1)
    journal_months: int = Field(13, ge=1)
    import_months: int = Field(13, ge=1)
    evidence_months: int = Field(24, ge=1)
    request_days: int = Field(7, ge=1)
    closed_request_months: int = Field(24, ge=1)
    file_days: int = Field(30, ge=1)
