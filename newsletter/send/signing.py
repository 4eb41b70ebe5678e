"""
Who signs what: the keys of new mail from the configuration, those of an issue as they were frozen with it.

A frozen issue keeps domain, selectors and time of its signatures, so that each attempt has the same bytes, also after
new keys were made. What cannot be signed as it should be does not leave.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from newsletter.config.settings import Config
from newsletter.dkim_keys import DkimKeys, chosen_name, selectors
from newsletter.keys import Keys

if TYPE_CHECKING:
    from newsletter.send.dkim import Signer


@dataclass(frozen=True, slots=True)
class Signing:
    """
    How a message is signed.

    Attributes:
        signed_at: Seconds since the epoch.
    """

    domain: str
    selectors: tuple[str, ...]
    signed_at: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Signing:
        return cls(stored["domain"], tuple(stored["selectors"]), stored["signed_at"])

    def signer(self, keys: DkimKeys) -> Signer:
        """
        Return what signs.

        Raises:
            DkimKeyUnusable: When a key is missing or cannot be used.
        """
        from newsletter.send.dkim import Signer, SigningKey

        return Signer(self.domain, tuple(SigningKey(selector, keys.key(selector)) for selector in self.selectors))


def signing_of_new_mail(config: Config, keys: Keys, now: datetime) -> Signing | None:
    """
    Return how mail that is made now is signed; None when the relay signs, or nobody.

    Raises:
        NewsletterError: When it should be signed and the keys cannot be used.
    """
    if not config.dkim.enabled:
        return None
    signing = Signing(config.dkim_domain, selectors(chosen_name(keys.dkim, config.dkim.selector)), int(now.timestamp()))
    signing.signer(keys.dkim)
    return signing


def sign_message(config: Config, keys: Keys, message: bytes, now: datetime) -> bytes:
    """
    Return a finished message with its signatures; as it is when `dkim.enabled` is false.

    Raises:
        NewsletterError: When the keys cannot be used, or *message* has no proper header.
    """
    signing = signing_of_new_mail(config, keys, now)
    return message if signing is None else signing.signer(keys.dkim).sign(message, signing.signed_at)
