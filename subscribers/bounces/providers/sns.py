"""
Amazon's notification service, which carries the events of SES: whom it is from, and that it really is.

The certificate is taken only from Amazon's own host for that, by an address of one form; a topic that is not on the
list is refused before anything is fetched. Source: the SNS developer guide, "Verifying message signatures".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509.oid import ExtensionOID, NameOID

from subscribers.bounces.providers.payload import read_json
from subscribers.bounces.providers.verifying import Posted, Secrets, WebhookRefused, check_fresh, check_rsa

NOTIFICATION, SUBSCRIPTION, UNSUBSCRIPTION = "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"
# The time is that of publishing and no retry renews it: a site that was away over a weekend must still hear of
# complaints. A replay is harmless: the signature covers the MessageId, and an event that was taken changes nothing.
LATE_FOR = timedelta(days=3)
LARGEST_CERTIFICATE_BYTES = 64 * 1024
_CERTIFICATE_URL = re.compile(
    r"https://(sns\.([a-z0-9-]{3,20})\.amazonaws\.com(?:\.cn)?)/SimpleNotificationService-[0-9a-f]{32}\.pem"
)
_CONFIRM_URL = re.compile(r"https://sns\.[a-z0-9-]{3,20}\.amazonaws\.com(?:\.cn)?/\?[!-~]{1,2000}")
_TOPIC = re.compile(r"arn:aws(?:-[a-z]{2,8}){0,2}:sns:([a-z0-9-]{3,20}):\d{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?")
_CERTIFICATE_NAME = re.compile(r"sns(?:\.[a-z0-9-]{3,20})?\.amazonaws\.com(?:\.cn)?")
_SIGNED_NOTICE = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SIGNED_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
# What is signed for each kind, and with what for each version of the signature.
_SIGNED = {NOTIFICATION: _SIGNED_NOTICE, SUBSCRIPTION: _SIGNED_CONFIRMATION, UNSUBSCRIPTION: _SIGNED_CONFIRMATION}
_HASHES: dict[str, Callable[[], SHA1 | SHA256]] = {"1": SHA1, "2": SHA256}


def read_envelope(body: bytes) -> dict[str, Any]:
    """Return the envelope; an empty one when it is none. Raises: PayloadUnreadable."""
    found = read_json(body)
    return found if isinstance(found, dict) else {}


def certificate_url(body: bytes, secrets: Secrets) -> str:
    """
    Return where the signing certificate is, once the topic is one that is listened to.

    Raises:
        WebhookRefused: For another topic, or an address that is not Amazon's for certificates of that region.
        PayloadUnreadable: When the body is no JSON.
    """
    envelope = read_envelope(body)
    region = _region(envelope, secrets)
    found = _CERTIFICATE_URL.fullmatch(_field(envelope, "SigningCertURL"))
    if not found or found[2] != region:
        raise WebhookRefused("The certificate's address is not one of Amazon's.")
    return found[0]


def verify(posted: Posted, secrets: Secrets, now: datetime) -> None:
    """
    Check topic, certificate, signature and time of one message.

    Raises:
        WebhookRefused: When any does not hold.
        PayloadUnreadable: When the body is no JSON.
    """
    certificate_url(posted.body, secrets)
    envelope = read_envelope(posted.body)
    kind, version = _field(envelope, "Type"), _field(envelope, "SignatureVersion")
    if kind not in _SIGNED or version not in _HASHES:
        raise WebhookRefused("The message is of no kind that is signed.")
    key = check_certificate(posted.certificate, now).public_key()
    check_rsa(key, _field(envelope, "Signature"), signed_bytes(envelope), _HASHES[version]())
    check_fresh(_field(envelope, "Timestamp"), now, late=LATE_FOR)


def signed_bytes(envelope: dict[str, Any]) -> bytes:
    """Return what a message's signature covers: names and values, a line each, of those that are there."""
    names = [name for name in _SIGNED[envelope["Type"]] if isinstance(envelope.get(name), str)]
    return "".join(f"{name}\n{envelope[name]}\n" for name in names).encode("utf-8", "surrogatepass")


def confirmation_url(body: bytes, secrets: Secrets) -> str | None:
    """
    Return the address that confirms the subscription a verified message offers; None when it offers none.

    Raises:
        WebhookRefused: When it is not on the very host that the certificate came from, or confirms another topic.
    """
    envelope = read_envelope(body)
    if _field(envelope, "Type") != SUBSCRIPTION:
        return None
    url = _field(envelope, "SubscribeURL")
    certificate = certificate_url(body, secrets)
    if not _CONFIRM_URL.fullmatch(url) or urlsplit(url).netloc != urlsplit(certificate).netloc:
        raise WebhookRefused("The confirmation's address is not one of Amazon's.")
    asked = parse_qs(urlsplit(url).query)
    if asked.get("Action") != ["ConfirmSubscription"] or asked.get("TopicArn") != [envelope["TopicArn"]]:
        raise WebhookRefused("The confirmation is for something else.")
    return url


def check_certificate(pem: bytes, now: datetime) -> x509.Certificate:
    """
    Return the signing certificate, when it is in date, bears Amazon's name for this, and was issued by somebody else.

    Where the file holds the issuers too, each must have signed the one before it. The file came over TLS from a host
    whose own certificate was verified, so what cannot be followed further is vouched for by that.

    Raises:
        WebhookRefused: Otherwise.
    """
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise WebhookRefused("The certificate cannot be read.") from None
    leaf = chain[0]
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise WebhookRefused("The certificate is not in date.")
    if not any(_CERTIFICATE_NAME.fullmatch(name) for name in _names(leaf)):
        raise WebhookRefused("The certificate bears another name.")
    if leaf.issuer == leaf.subject:
        raise WebhookRefused("The certificate was issued by nobody but itself.")
    for certificate, issuer in pairwise(chain):
        _check_issued(certificate, issuer, now)
    return leaf


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        raise WebhookRefused("The certificate's issuer did not sign it.") from None
    if not constraints.ca or not issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc:
        raise WebhookRefused("The certificate's issuer may not sign.")


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except (x509.ExtensionNotFound, ValueError):
        return [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    assert isinstance(extension.value, x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.DNSName)


def _region(envelope: dict[str, Any], secrets: Secrets) -> str:
    topic = _field(envelope, "TopicArn")
    found = _TOPIC.fullmatch(topic)
    if not found or topic not in secrets.topics:
        raise WebhookRefused("The topic is not one that is listened to.")
    return found[1]


def _field(envelope: dict[str, Any], name: str) -> str:
    value = envelope.get(name)
    return value if isinstance(value, str) else ""
