"""
The configuration: what each key means, its default and unit; unknown keys are refused, all problems told at once.

Order of origins, later wins: defaults, the file, the environment (``NEWSLETTER__SMTP__HOST``, lists as JSON).
A secret may instead stand in a file that the same variable with ``_FILE`` names.
"""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


def _timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"'{name}' is no time zone; write one such as Europe/London")
    return name


TimezoneName = Annotated[str, AfterValidator(_timezone)]


class Group(BaseModel):
    """A table of the file. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Organisation(Group):
    """Who sends. `from_address` is the From of every issue; `reply_to` where people's replies go."""

    name: str
    postal_address: str
    from_address: str
    from_name: str = ""
    reply_to: str = ""
    timezone: TimezoneName = "Europe/London"
    language: str = "en-GB"
    helpline: str = ""
    helpline_phone: str = ""
    helpline_url: str = ""
    website: str = ""
    charity_number: str = ""
    privacy_url: str = ""
    logo: str = ""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class SmtpAccount(Group):
    """
    One relay. `tls` null means `required` off loopback and `none` on it. Rates 0 mean unlimited.

    `host` may be ``unix:/path`` and `protocol` ``lmtp``.
    """

    name: str = "default"
    host: str = "127.0.0.1"
    port: int = Field(25, ge=1, le=65535)
    protocol: Literal["smtp", "lmtp"] = "smtp"
    tls: Literal["required", "implicit", "opportunistic", "none"] | None = None
    username: str = ""
    password: SecretStr = SecretStr("")
    connections: int = Field(10, ge=1, le=500)
    weight: int = Field(1, ge=1, le=1000)
    per_minute: int = Field(0, ge=0)
    per_hour: int = Field(0, ge=0)
    per_day: int = Field(0, ge=0)
    messages_per_connection: int = Field(50, ge=1)
    seconds_per_connection: int = Field(300, ge=1)
    connect_timeout_seconds: float = Field(30, gt=0)
    command_timeout_seconds: float = Field(300, gt=0)
    dot_timeout_seconds: float = Field(600, ge=1)
    local_hostname: str = ""

    @property
    def on_loopback(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith(("127.", "unix:"))

    @property
    def tls_mode(self) -> Literal["required", "implicit", "opportunistic", "none"]:
        return self.tls or ("none" if self.on_loopback else "required")


class Smtp(SmtpAccount):
    """The relay, or several as `[[smtp.accounts]]`; then the keys beside them are not used."""

    accounts: tuple[SmtpAccount, ...] = ()

    @property
    def all_accounts(self) -> tuple[SmtpAccount, ...]:
        return self.accounts or (SmtpAccount(**{k: getattr(self, k) for k in SmtpAccount.model_fields}),)


class DomainRate(Group):
    """Limits for one receiving domain (and the domains below it). 0 means unlimited."""

    domain: str
    connections: int = Field(0, ge=0)
    per_minute: int = Field(0, ge=0)
    messages_per_connection: int = Field(0, ge=0)


class SendWindow(Group):
    """When sending may happen, in the organisation's zone. Empty `days` means any day."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    start: str = "00:00"
    end: str = "24:00"


class Send(Group):
    """How an issue goes out."""

    give_up_after_hours: int = Field(72, ge=1)
    lease_seconds: int = Field(900, ge=10)
    uncertain: Literal["hold", "resend-after"] = "hold"
    resend_after_hours: int = Field(24, ge=1)
    held_pause_count: int = Field(20, ge=1)
    held_pause_percent: float = Field(1, gt=0)
    schedule_grace_minutes: int = Field(60, ge=0)
    window: SendWindow | None = None
    domains: tuple[DomainRate, ...] = ()


class Web(Group):
    """Where members reach us: `url` is the public address, `bind` where `serve` listens."""

    url: str
    bind: str = "127.0.0.1"
    port: int = Field(8025, ge=1, le=65535)
    trusted_proxies: tuple[str, ...] = ("127.0.0.1",)


class SectionRule(Group):
    """A named section of an issue: which items go there, how many at most."""

    name: str
    title: str
    kinds: tuple[Literal["post", "event", "resource", "past-issue"], ...]
    categories: tuple[str, ...] = ()
    most: int = Field(10, ge=1, le=100)


DEFAULT_SECTIONS = (
    SectionRule(name="news", title="News", kinds=("post",), most=8),
    SectionRule(name="events", title="Coming events", kinds=("event",), most=8),
    SectionRule(name="resources", title="Resources", kinds=("resource",), most=6),
    SectionRule(name="past-issues", title="From our past issues", kinds=("past-issue",), most=4),
)


class IssueSettings(Group):
    """How issues are drafted and approved."""

    approval: Literal["single", "four-eyes"] = "single"
    default_lists: tuple[str, ...] = ()
    events_within_days: int = Field(60, ge=1)
    sections: tuple[SectionRule, ...] = DEFAULT_SECTIONS


class Bounces(Group):
    """`envelope`: `verp` gives each delivery an envelope sender of its own; `fixed` where a relay rewrites it."""

    envelope: Literal["verp", "fixed"] = "verp"
    domain: str = ""


class Alerts(Group):
    """Who is told when sending pauses or something needs a person."""

    to: tuple[str, ...] = ()


class DatabaseSettings(Group):
    """`url` empty means `newsletter.sqlite3` in the workspace."""

    url: SecretStr = SecretStr("")


class AttributeRule(Group):
    """A declared attribute of subscribers."""

    name: str
    kind: Literal["text", "number", "date", "yes/no", "choice", "several"] = "text"
    choices: tuple[str, ...] = ()


class Config(Group):
    """The whole configuration."""

    organisation: Organisation
    smtp: Smtp
    web: Web
    send: Send = Send()
    issue: IssueSettings = IssueSettings()
    bounces: Bounces = Bounces()
    alerts: Alerts = Alerts()
    database: DatabaseSettings = DatabaseSettings()
    attributes: tuple[AttributeRule, ...] = ()

    @property
    def bounce_domain(self) -> str:
        return self.bounces.domain or self.organisation.from_address.rpartition("@")[2]
