"""How people sign up on the site, and how much mail strangers can cause by it; each key with its default."""

from __future__ import annotations

from pydantic import Field

from newsletter.config.group import Group


class SignUpSettings(Group):
    """
    The form on the site. It is there once a list is open; nobody is on a list before they confirmed by mail.

    `per_hour` is of mails to everybody: when it runs dry, nobody who signs up is written to for `breaker_minutes`.
    """

    per_hour: int = Field(300, ge=1)
    per_hour_per_network: int = Field(30, ge=1)
    per_hour_per_domain: int = Field(100, ge=1)
    per_hour_embedded: int = Field(100, ge=1)
    breaker_minutes: int = Field(60, ge=1)
    min_fill_seconds: int = Field(2, ge=0, le=60)
    form_hours: int = Field(48, ge=1)
