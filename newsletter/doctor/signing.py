"""What this workspace signs with, as the DNS checks want it: the public halves, or why there are none."""

from __future__ import annotations

from pathlib import Path

from newsletter.config.settings import Config
from newsletter.dkim_keys import DkimKeys, DkimKeyUnusable, chosen_name, public_half, selectors
from newsletter.doctor.dkim_judgement import SigningKey
from newsletter.doctor.mail_domain import Signing


def signing_of(config: Config, secrets: Path) -> Signing:
    """Read the keys that a new issue would be signed with."""
    if not config.dkim.enabled:
        return Signing()
    keys, domain = DkimKeys(secrets), config.dkim_domain
    try:
        chosen = selectors(chosen_name(keys, config.dkim.selector))
        public = tuple(SigningKey(selector, domain, *public_half(keys.key(selector))) for selector in chosen)
    except DkimKeyUnusable as error:
        return Signing(enabled=True, domain=domain, problem=error.message, fix=error.hint)
    return Signing(enabled=True, domain=domain, keys=public)
