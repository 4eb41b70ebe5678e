"""What this workspace signs with, as the DNS checks want it: the public halves, or why there are none."""

from __future__ import annotations

import base64
from pathlib import Path

from newsletter.config import Config
from newsletter.dkim_keys import DkimKeys, DkimKeyUnusable, chosen_name, selectors, txt_record
from newsletter.doctor.dkim_judgement import SigningKey, read_tags
from newsletter.doctor.mail_domain import Signing


def signing_of(config: Config, secrets: Path) -> Signing:
    """Read the keys that a new issue would be signed with."""
    if not config.dkim.enabled:
        return Signing()
    keys, domain = DkimKeys(secrets), config.dkim_domain
    try:
        chosen = selectors(chosen_name(keys, config.dkim.selector))
        public = tuple(_public(selector, domain, txt_record(keys.key(selector))) for selector in chosen)
    except DkimKeyUnusable as error:
        return Signing(enabled=True, domain=domain, problem=f"{error.message} {error.hint}".strip())
    return Signing(enabled=True, domain=domain, keys=public)


def _public(selector: str, domain: str, record: str) -> SigningKey:
    tags = read_tags(record)
    return SigningKey(selector, domain, tags["k"], base64.b64decode(tags["p"]))
