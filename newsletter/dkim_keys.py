"""
The keys that sign mail (DKIM): for each selector a pair in `secrets/`, RSA and Ed25519, mode 0600.

Keys are only ever added: an issue is signed by the selectors that it was frozen with, in every attempt.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from newsletter.errors import Conflict, InvalidValue, WorkspaceError

if TYPE_CHECKING:  # a command that signs nothing does not pay for loading it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KINDS = ("rsa", "ed25519")
RSA_BITS = 2048
STRING_BYTES = 255
_MAKE_THEM = "Make them with newsletter dkim keygen, and put the two records that it prints into DNS."
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?")
_FILE = re.compile(r"dkim-([a-z0-9-]+)-(?:rsa|ed25519)\.pem")


class DkimKeyUnusable(WorkspaceError):
    """A key that mail is to be signed with is missing, malformed, or readable by others; nothing leaves unsigned."""

    code = "dkim_key"


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """
    The TXT record by which others verify one key.

    Attributes:
        name: Without the last dot.
        strings: `value` cut as the record holds it.
    """

    selector: str
    domain: str
    name: str
    value: str
    strings: list[str]


class DkimKeys:
    """The pairs of a workspace, each read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.key = cache(self._read)

    @property
    def names(self) -> tuple[str, ...]:
        """Return what the pairs are called; each is half of two selectors, see `selectors`."""
        found = (_FILE.fullmatch(path.name) for path in self._folder.glob("dkim-*.pem"))
        return tuple(sorted({match[1] for match in found if match}))

    def create(self, name: str) -> None:
        """
        Make a new pair.

        Raises:
            InvalidValue: When *name* cannot be part of a name in DNS.
            Conflict: When there is a pair of that name: mail that was signed with it must stay verifiable.
        """
        if not is_name(name):
            raise InvalidValue(f"'{name}' is no selector: small letters, digits and hyphens only, 50 at most.")
        if name in self.names:
            raise Conflict(
                f"There are keys '{name}' already; keys are never replaced.",
                hint="Look at them: newsletter dkim show. For new keys choose another selector.",
            )
        for selector, pem in zip(selectors(name), _new_pair(), strict=True):
            _write(self._path(selector), pem)

    def records(self, name: str, domain: str) -> list[DnsRecord]:
        """
        Return what DNS must say of a pair.

        Raises:
            DkimKeyUnusable: When a key of it cannot be used.
        """
        return [_record(selector, domain, *public_half(self.key(selector))) for selector in selectors(name)]

    def unused_name(self, now: datetime) -> str:
        """Return a name for a new pair: the month, and a letter from the second pair on."""
        month = f"nl{now:%Y%m}"
        return next(name for name in (month, *(f"{month}{c}" for c in "bcdefghijklmnopqrstuvwxyz")) if self._free(name))

    def _free(self, name: str) -> bool:
        return not any(self._path(selector).exists() for selector in selectors(name))

    def _path(self, selector: str) -> Path:
        return self._folder / f"dkim-{selector}.pem"

    def _read(self, selector: str) -> RSAPrivateKey | Ed25519PrivateKey:
        """
        Return the private key of one selector.

        Raises:
            DkimKeyUnusable: When it cannot be used.
        """
        path = self._path(selector)
        try:
            if path.stat().st_mode & 0o077:
                raise DkimKeyUnusable(f"Others can read the key file {path}.", hint=f"Run: chmod 600 {path}")
            return _parse(path)
        except FileNotFoundError:
            raise DkimKeyUnusable(
                f"The key file {path} is missing.", hint="Restore it from a backup; mail is not sent without it."
            ) from None
        except OSError as error:
            raise DkimKeyUnusable(f"The key file {path} cannot be read: {error.strerror}.") from None


def is_name(text: str) -> bool:
    """Tell whether a pair may be called *text*: with its kind it must be one label in DNS."""
    return _NAME.fullmatch(text) is not None


def selectors(name: str) -> tuple[str, ...]:
    """Return the selectors of a pair: DNS has one record for each key."""
    return tuple(f"{name}-{kind}" for kind in KINDS)


def chosen_name(keys: DkimKeys, configured: str) -> str:
    """
    Return the pair that signs: the configured one, else the only one there is.

    Raises:
        DkimKeyUnusable: When there is none of that name, none at all, or several and none is configured.
    """
    names = keys.names
    if configured:
        if configured not in names:
            raise DkimKeyUnusable(
                f"dkim.selector is '{configured}' and there are no keys of that name.",
                hint=f"There are: {', '.join(names)}." if names else _MAKE_THEM,
            )
        return configured
    if not names:
        raise DkimKeyUnusable(
            "dkim.enabled is true and there are no keys to sign with.",
            hint=_MAKE_THEM,
        )
    if len(names) > 1:
        raise DkimKeyUnusable(
            f"There are several pairs of DKIM keys ({', '.join(names)}) and dkim.selector names none.",
            hint="Write the one whose records are in DNS into config.toml.",
        )
    return names[0]


def public_half(key: RSAPrivateKey | Ed25519PrivateKey) -> tuple[str, bytes]:
    """Return `k=` and `p=` of the record, the latter not yet encoded. Source: RFC 6376 3.6.1; RFC 8463 4."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if isinstance(key, RSAPrivateKey):
        return "rsa", key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "ed25519", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _record(selector: str, domain: str, kind: str, public: bytes) -> DnsRecord:
    """Return a record; one string of it holds at most 255 bytes. Source: RFC 6376 3.6.2.1; RFC 1035 3.3.14."""
    value = f"v=DKIM1; k={kind}; p={b64encode(public).decode()}"
    strings = [value[start : start + STRING_BYTES] for start in range(0, len(value), STRING_BYTES)]
    return DnsRecord(selector, domain, f"{selector}._domainkey.{domain}", value, strings)


def _new_pair() -> Iterator[bytes]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    for key in (generate_private_key(65537, RSA_BITS), Ed25519PrivateKey.generate()):
        yield key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _parse(path: Path) -> RSAPrivateKey | Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise DkimKeyUnusable(
            f"The key file {path} holds no RSA or Ed25519 key.", hint="Restore it from a backup, or make new keys."
        )
    return key


def _write(path: Path, pem: bytes) -> None:
    """Write a file that must not exist yet, durably: the record in DNS will outlive this process."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
