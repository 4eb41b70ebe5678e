"""
The configuration: what each key means, its default and unit; unknown keys are refused, all problems told at once.

Order of origins, later wins: defaults, the file, the environment (``NEWSLETTER__SMTP__HOST``, lists as JSON or with
commas). A secret may instead stand in a file that the same variable with ``_FILE`` names.
"""

from __future__ import annotations

from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator, model_validator

from newsletter.config.choices import Digest, Discreet
from newsletter.config.group import Group
from newsletter.config.group import each_once as _each_once
from newsletter.config.retention import Retention
from newsletter.config.returning import BouncePolicy, ListPatience, Mailbox, Receiver, Webhook
from newsletter.config.sign_up import SignUpSettings
from newsletter.config.values import (
    BindAddress,
    Domain,
    LanguageTag,
    MailAddress,
    Network,
    OneLine,
    OptionalDkimName,
    OptionalDomain,
    OptionalMailAddress,
    PageUrl,
    ProviderName,
    PublicUrl,
    RelayHost,
    Slug,
    TimeOfDay,
    TimezoneName,
    is_loopback,
    is_placeholder,
)


class Organisation(Group):
    """Who sends. `from_address` is the From of every issue; `reply_to` where people's replies go."""

    name: OneLine
    postal_address: OneLine
    from_address: MailAddress
    from_name: OneLine = ""
    reply_to: OptionalMailAddress = ""
    timezone: TimezoneName = "Europe/London"
    language: LanguageTag = "en-GB"
    helpline: str = ""
    helpline_phone: OneLine = ""
    helpline_url: PageUrl = ""
    website: PageUrl = ""
    charity_number: OneLine = ""
    privacy_url: PageUrl = ""
    logo: str = ""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class SmtpAccount(Group):
    """
    One relay. `tls` null means `required` off loopback and `none` on it. Rates 0 mean unlimited.

    `host` may be ``unix:/path`` and `protocol` ``lmtp``. `provider` names the mail service that the relay belongs to:
    each copy then carries what its webhooks hand back.
    """

    name: Slug = "default"
    host: RelayHost = "127.0.0.1"
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
    local_hostname: OptionalDomain = ""
    provider: ProviderName | Literal[""] = ""

    @model_validator(mode="after")
    def _protects_the_password(self) -> Self:
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("username and password belong together: give both, or neither")
        if self.username and self.tls in ("none", "opportunistic") and not self.on_loopback:
            raise ValueError(f'tls = "{self.tls}" could show the password to others; write "required" or "implicit"')
        return self

    @property
    def on_loopback(self) -> bool:
        return self.host.startswith("unix:") or is_loopback(self.host)

    @property
    def tls_mode(self) -> Literal["required", "implicit", "opportunistic", "none"]:
        return self.tls or ("none" if self.on_loopback else "required")


class Smtp(SmtpAccount):
    """The relay, or several as `[[smtp.accounts]]`; then the keys beside them are not used."""

    accounts: tuple[SmtpAccount, ...] = ()

    @field_validator("accounts")
    @classmethod
    def _names_once(cls, accounts: tuple[SmtpAccount, ...]) -> tuple[SmtpAccount, ...]:
        return _each_once(accounts, (a.name for a in accounts), "account")

    @property
    def all_accounts(self) -> tuple[SmtpAccount, ...]:
        return self.accounts or (SmtpAccount(**{k: getattr(self, k) for k in SmtpAccount.model_fields}),)


class DomainRate(Group):
    """Limits for one receiving domain (and the domains below it). 0 means unlimited."""

    domain: Domain
    connections: int = Field(0, ge=0)
    per_minute: int = Field(0, ge=0)
    messages_per_connection: int = Field(0, ge=0)


class SendWindow(Group):
    """When sending may happen, in the organisation's zone. Empty `days` means any day."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    start: TimeOfDay = "00:00"
    end: TimeOfDay = "24:00"

    @model_validator(mode="after")
    def _opens(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start ({self.start}) must be earlier than end ({self.end})")
        return self


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

    @field_validator("domains")
    @classmethod
    def _domains_once(cls, domains: tuple[DomainRate, ...]) -> tuple[DomainRate, ...]:
        return _each_once(domains, (d.domain for d in domains), "domain")


class Web(Group):
    """
    Where members reach us: `url` is the public address, `bind` where `serve` listens.

    `exit_url` is where the quick exit of every page leads: a busy page that tells nothing about who was here.
    """

    url: PublicUrl
    bind: BindAddress = "127.0.0.1"
    port: int = Field(8025, ge=1, le=65535)
    trusted_proxies: tuple[Network, ...] = ("127.0.0.1",)
    exit_url: PageUrl = Field("https://www.bbc.co.uk/weather", min_length=1)


class Log(Group):
    """What the site and the worker write to standard error; addresses are masked at every level."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "warning"


class Metrics(Group):
    """Where Prometheus may look; 0 is nowhere."""

    bind: BindAddress = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535)


class Archive(Group):
    """Past issues on the site, for everybody. Off, and with it on still only those that `issue publish` named."""

    enabled: bool = False


class SectionRule(Group):
    """A named section of an issue: which items go there, how many at most."""

    name: Slug
    title: OneLine = Field(min_length=1)
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

    @field_validator("sections")
    @classmethod
    def _sections_once(cls, sections: tuple[SectionRule, ...]) -> tuple[SectionRule, ...]:
        return _each_once(sections, (s.name for s in sections), "section")


class Bounces(Group):
    """`envelope`: `verp` gives each delivery an envelope sender of its own; `fixed` where a relay rewrites it."""

    envelope: Literal["verp", "fixed"] = "verp"
    domain: OptionalDomain = ""
    mailboxes: tuple[Mailbox, ...] = ()
    receiver: Receiver | None = None
    webhooks: tuple[Webhook, ...] = ()
    policy: BouncePolicy = BouncePolicy()
    lists: tuple[ListPatience, ...] = ()

    @field_validator("lists")
    @classmethod
    def _lists_once(cls, lists: tuple[ListPatience, ...]) -> tuple[ListPatience, ...]:
        return _each_once(lists, (one.list for one in lists), "list")

    @field_validator("mailboxes")
    @classmethod
    def _mailboxes_once(cls, mailboxes: tuple[Mailbox, ...]) -> tuple[Mailbox, ...]:
        return _each_once(mailboxes, (m.name for m in mailboxes), "mailbox")

    @field_validator("webhooks")
    @classmethod
    def _paths_once(cls, webhooks: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
        if len({w.path for w in webhooks}) < len(webhooks):
            raise ValueError("two webhooks of one provider have the same path_secret")
        return webhooks


class Dkim(Group):
    """
    Our own signatures, for a relay that does not sign.

    `domain` empty means that of from_address; `selector` empty means the only keys there are.
    """

    enabled: bool = False
    domain: OptionalDomain = ""
    selector: OptionalDkimName = ""


class Alerts(Group):
    """Who is told when sending pauses or something needs a person."""

    to: tuple[MailAddress, ...] = ()

    @field_validator("to")
    @classmethod
    def _can_be_mailed(cls, to: tuple[MailAddress, ...]) -> tuple[MailAddress, ...]:
        for address in to:
            if not address.isascii():
                raise ValueError(
                    f"'{address}' has letters that not every mail server takes; give a plain ASCII address"
                )
        return to


class DatabaseSettings(Group):
    """`url` empty means `newsletter.sqlite3` in the workspace."""

    url: SecretStr = SecretStr("")

    @field_validator("url")
    @classmethod
    def _known_database(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() and not url.get_secret_value().startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("the URL must begin with sqlite:/// or postgresql+psycopg://")
        return url


class AttributeRule(Group):
    """A declared attribute of subscribers."""

    name: str
    kind: Literal["text", "number", "date", "yes/no", "choice", "several"] = "text"
    choices: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _choices_belong(self) -> Self:
        if self.kind == "choice" and not self.choices:
            raise ValueError(f"attribute '{self.name}' is a choice and needs choices = [...]")
        return self


class Config(Group):
    """The whole configuration."""

    organisation: Organisation
    smtp: Smtp
    web: Web
    archive: Archive = Archive()
    send: Send = Send()
    issue: IssueSettings = IssueSettings()
    signup: SignUpSettings = SignUpSettings()
    digest: Digest = Digest()
    discreet: Discreet = Discreet()
    bounces: Bounces = Bounces()
    dkim: Dkim = Dkim()
    alerts: Alerts = Alerts()
    log: Log = Log()
    metrics: Metrics = Metrics()
    database: DatabaseSettings = DatabaseSettings()
    retention: Retention = Retention()
    attributes: tuple[AttributeRule, ...] = ()

    @field_validator("attributes")
    @classmethod
    def _attributes_once(cls, attributes: tuple[AttributeRule, ...]) -> tuple[AttributeRule, ...]:
        return _each_once(attributes, (a.name for a in attributes), "attribute")

    @property
    def bounce_domain(self) -> str:
        return self.bounces.domain or self.organisation.from_address.rpartition("@")[2]

    @model_validator(mode="after")
    def _signs_for_its_own_domain(self) -> Self:
        ours, named = self.organisation.from_address.rpartition("@")[2], self.dkim_domain
        if "." not in named or not (f".{ours}".endswith(f".{named}") or named.endswith(f".{ours}")):
            raise ValueError(
                f"dkim.domain ({named}) must be the domain of organisation.from_address ({ours}), or one above or "
                "below it: other signatures do not count for DMARC"
            )
        return self

    @model_validator(mode="after")
    def _discreet_mail_is_of_its_own_domain(self) -> Self:
        ours, named = (a.rpartition("@")[2] for a in (self.organisation.from_address, self.discreet.from_address))
        if named and named != ours:
            raise ValueError(
                f"discreet.from_address must be at {ours}, the domain of organisation.from_address: mail of another "
                "domain does not pass SPF, DKIM and DMARC"
            )
        return self

    @property
    def dkim_domain(self) -> str:
        """The `d=` of our signatures."""
        return self.dkim.domain or self.organisation.from_address.rpartition("@")[2]

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The keys that `init` could not fill in: empty, or under `.invalid`. Any of them forbids mailing."""
        organisation = self.organisation
        return tuple(
            key
            for key, missing in (
                ("organisation.name", not organisation.name),
                ("organisation.postal_address", not organisation.postal_address),
                ("organisation.from_address", is_placeholder(organisation.from_address)),
                ("web.url", is_placeholder(self.web.url)),
            )
            if missing
        )
