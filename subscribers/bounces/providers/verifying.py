"""
Was this posted by the provider? Asked of the raw bytes, compared in constant time, refused where no secret is set.

One error for every cause: whoever forges learns nothing from the answer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from subscribers.bounces.providers.payload import moment
from subscribers.errors import SubscribersError

FRESH_FOR = timedelta(minutes=10)


class WebhookRefused(SubscribersError):
    """
    What was posted is not shown to come from the provider.

    Attributes:
        ask_for_password: The provider must be asked for its password before it sends it.
    """

    code = "webhook_refused"

    def __init__(self, message: str, *, ask_for_password: bool = False) -> None:
        super().__init__(message)
        self.ask_for_password = ask_for_password


@dataclass(frozen=True, slots=True)
class Secrets:
    """
    What a webhook is verified with; which of it is needed depends on the provider.

    Attributes:
        secret: The provider's signing key, or a bearer token.
        public_key: Of the key that the provider signs with: PEM, or DER in base64.
        topics: Amazon's TopicArns that are listened to.
        url: Where the webhook is reached; Mandrill signs it.
    """

    secret: str = field(default="", repr=False)
    public_key: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    topics: tuple[str, ...] = ()
    url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Posted:
    """
    One request: its raw body, and its headers by their names in lower case.

    Attributes:
        certificate: What stands at the address that the body names for it, where the provider signs that way.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    certificate: bytes = b""


def require(value: str) -> bytes:
    """
    Return a secret's bytes.

    Raises:
        WebhookRefused: When none is set.
    """
    if not value:
        raise WebhookRefused("No secret is set for this webhook.")
    return value.encode()


def check_same(given: str, expected: str) -> None:
    """
    Compare in constant time.

    Raises:
        WebhookRefused: When they differ.
    """
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode()):
        raise WebhookRefused("The signature does not hold.")


def check_hmac(key: bytes, signed: bytes, given: str, algorithm: str = "sha256") -> None:
    """Check an HMAC in hexadecimal."""
    check_same(given.strip().lower(), hmac.new(key, signed, algorithm).hexdigest())


def check_fresh(value: object, now: datetime, *, late: timedelta = FRESH_FOR) -> None:
    """
    Check that a signed time is less than ten minutes ahead, and no longer ago than *late*.

    Raises:
        WebhookRefused: When it is not, or is no time.
    """
    when = moment(value)
    if when is None or not -FRESH_FOR <= now - when <= late:
        raise WebhookRefused("The signature is too old, or from the future.")


def check_password(posted: Posted, secrets: Secrets) -> None:
    """
    Check the user name and password that the provider sends (RFC 7617).

    Raises:
        WebhookRefused: When they are wrong, absent, or none are set.
    """
    if not (secrets.username and secrets.password):
        raise WebhookRefused("No user name and password are set for this webhook.")
    scheme, _, given = posted.headers.get("authorization", "").partition(" ")
    expected = base64.b64encode(f"{secrets.username}:{secrets.password}".encode()).decode()
    if scheme.lower() != "basic" or not hmac.compare_digest(given.strip().encode(), expected.encode()):
        raise WebhookRefused("The password is wrong.", ask_for_password=True)


def check_bearer(posted: Posted, secret: bytes) -> None:
    """Check a bearer token (RFC 6750)."""
    scheme, _, given = posted.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise WebhookRefused("There is no token.")
    check_same(given.strip(), secret.decode())


def check_rsa(key: object, signature: str, signed: bytes, algorithm: HashAlgorithm) -> None:
    """Check an RSA signature of PKCS #1 v1.5 in base64."""
    if not isinstance(key, RSAPublicKey) or key.key_size < 1024:
        raise WebhookRefused("The key is of another kind.")
    try:
        key.verify(from_base64(signature), signed, PKCS1v15(), algorithm)
    except InvalidSignature:
        raise WebhookRefused("The signature does not hold.") from None


def check_ecdsa(key: object, signature: str, signed: bytes, algorithm: HashAlgorithm) -> None:
    """Check a signature on the curve P-256 in base64."""
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise WebhookRefused("The key is of another kind.")
    try:
        key.verify(from_base64(signature), signed, ECDSA(algorithm))
    except InvalidSignature:
        raise WebhookRefused("The signature does not hold.") from None


def public_key(written: str) -> object:
    """
    Return a public key from PEM, or from DER in base64 (as a DKIM record's ``p=`` holds it).

    Raises:
        WebhookRefused: When none is set, or it is none.
    """
    try:
        if "BEGIN" in written:
            return load_pem_public_key(require(written))
        return load_der_public_key(base64.b64decode("".join(require(written).decode().split()), validate=True))
    except (ValueError, TypeError, binascii.Error):
        raise WebhookRefused("The public key cannot be read.") from None


def from_base64(text: str) -> bytes:
    """
    Return the bytes of a base64 text.

    Raises:
        WebhookRefused: When it is none.
    """
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        raise WebhookRefused("The signature is malformed.") from None


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
