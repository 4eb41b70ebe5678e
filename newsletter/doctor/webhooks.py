"""The webhooks of the configuration: whether all is set that their posts are verified by. No secret is shown."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from newsletter.config.settings import Config
from newsletter.config.values import is_loopback
from newsletter.doctor.findings import Finding, fail, ok, warn
from newsletter.webhook_secrets import missing_keys


def check_webhooks(config: Config) -> Iterator[Finding]:
    """Look at each webhook, and at each relay whose provider is named but has none."""
    for number, webhook in enumerate(config.bounces.webhooks):
        check = f"webhook {webhook.provider}"
        missing = missing_keys(webhook)
        if missing:
            keys = ", ".join(missing)
            yield fail(check, f"Nothing it posts is believed: {keys} not set.", f"Set it in bounces.webhooks.{number}.")
        elif is_loopback(urlsplit(config.web.url).hostname or ""):
            yield warn(check, "No provider reaches web.url from outside.", "Set web.url to the public address.")
        else:
            yield ok(check, f"All is set; it posts to {config.web.url}/webhooks/{webhook.provider}/***")
    listening = {webhook.provider for webhook in config.bounces.webhooks}
    for name in sorted({a.provider for a in config.smtp.all_accounts if a.provider} - listening):
        yield warn(
            f"webhook {name}",
            f"A relay is {name}'s, and no webhook of it is configured.",
            "See docs/install.md, Webhooks; or leave smtp.provider empty.",
        )
