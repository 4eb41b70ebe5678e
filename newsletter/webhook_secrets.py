"""What a configured webhook is verified by: for the site that listens, and for the doctor."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from newsletter.config.returning import Webhook
from subscribers.bounces.providers import PROVIDERS
from subscribers.bounces.providers.verifying import Secrets

# What the configuration calls what `Secrets` calls otherwise.
_KEYS = {"topics": "topic_arns"}


def secrets_of(webhook: Webhook, web_url: str) -> Secrets:
    """Return the secrets of a webhook that is reached below *web_url*."""
    password = webhook.password.get_secret_value()
    return Secrets(
        secret=webhook.secret.get_secret_value(),
        public_key=webhook.public_key,
        username=webhook.username,
        password=password,
        topics=webhook.topic_arns,
        url=_with_password(web_url.rstrip("/") + webhook.path, webhook.username, password),
    )


def missing_keys(webhook: Webhook) -> tuple[str, ...]:
    """Return the keys that must still be set before anything that is posted is believed."""
    provider = PROVIDERS[webhook.provider]
    missing = () if webhook.path_secret.get_secret_value() else ("path_secret",)
    return missing + tuple(_KEYS.get(name, name) for name in provider.missing(secrets_of(webhook, "")))


def _with_password(url: str, username: str, password: str) -> str:
    """Return the address as a provider was told it: Mandrill signs it with the user and password in it."""
    if not username:
        return url
    parts = urlsplit(url)
    user = f"{quote(username, safe='')}:{quote(password, safe='')}@" if password else f"{quote(username, safe='')}@"
    return parts._replace(netloc=user + parts.netloc).geturl()
