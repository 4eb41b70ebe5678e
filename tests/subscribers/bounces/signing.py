"""Posts as each provider makes them, signed with keys of the test's own; certificates by an authority of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509.oid import NameOID

from subscribers.bounces.providers import sns
from subscribers.bounces.providers.verifying import Posted, Secrets

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
CERTIFICATE_URL = f"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{'0a' * 16}.pem"
SVIX_SECRET = "whsec_" + base64.b64encode(b"the secret of the test's webhook").decode()
HOOK_URL = "https://news.example.org/webhooks/mandrill/" + "p" * 24
ADDRESS = "ann@example.com"


@dataclass(frozen=True)
class Made:
    """A post, and what it must be verified with."""

    posted: Posted
    secrets: Secrets


def basic(username: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def p256_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_der(key: Any) -> str:
    """As SendGrid shows it, and as ``p=`` of a DKIM record holds it."""
    der = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, der)).decode()


def certificate(
    *,
    name: str = "sns.amazonaws.com",
    issuer: str = "Amazon",
    begins: datetime = NOW - timedelta(days=30),
    ends: datetime = NOW + timedelta(days=300),
    self_signed: bool = False,
    with_issuer: bool = True,
    foreign_issuer: bool = False,
) -> bytes:
    """Return a signing certificate as PEM, with the authority's own below it."""
    authority = rsa.generate_private_key(65537, 2048)
    ca_name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, issuer),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{issuer} RSA 2048 M01"),
        ]
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = rsa_key() if self_signed else authority
    leaf = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if self_signed else ca_name)
        .public_key(rsa_key().public_key())
        .serial_number(7)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(signer, SHA256())
    )
    above = rsa.generate_private_key(65537, 2048) if foreign_issuer else authority
    root = (
        x509.CertificateBuilder()
        .subject_name(ca_name)
        .issuer_name(ca_name)
        .public_key(above.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1000))
        .not_valid_after(NOW + timedelta(days=1000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(above, SHA256())
    )
    pem = leaf.public_bytes(serialization.Encoding.PEM)
    return pem + root.public_bytes(serialization.Encoding.PEM) if with_issuer else pem


@cache
def usual_certificate() -> bytes:
    return certificate()


def sns_envelope(message: str, *, at: datetime = NOW, version: str = "2", **fields: Any) -> dict[str, Any]:
    """Return a signed envelope; *fields* are laid over it before it is signed."""
    envelope: dict[str, Any] = {
        "Type": "Notification",
        "MessageId": "19ba9823-d7f2-53c1-860e-cb10e0d13dfc",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        **fields,
    }
    algorithm = SHA1() if version == "1" else SHA256()
    signature = rsa_key().sign(sns.signed_bytes(envelope), padding.PKCS1v15(), algorithm)
    return {**envelope, "Signature": base64.b64encode(signature).decode()}


SES_BOUNCE: dict[str, Any] = {
    "eventType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "bouncedRecipients": [
            {"emailAddress": ADDRESS, "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
        ],
        "timestamp": "2026-11-02T09:29:00.000Z",
    },
    "mail": {"messageId": "0102018f00000000-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee-000000", "destination": [ADDRESS]},
}


def ses(at: datetime = NOW, **fields: Any) -> Made:
    body = json.dumps(sns_envelope(json.dumps(SES_BOUNCE), at=at, **fields)).encode()
    return Made(Posted(body, {}, usual_certificate()), Secrets(topics=(TOPIC,)))


def sendgrid(at: datetime = NOW) -> Made:
    event = {"event": "bounce", "type": "bounce", "email": ADDRESS, "sg_event_id": "e1", "status": "5.1.1"}
    event |= {"reason": "550 5.1.1 user unknown", "timestamp": 1_793_611_740, "sg_message_id": "AbCdEfGhIj.recvd-1"}
    body, stamp = json.dumps([event]).encode(), str(int(at.timestamp()))
    signature = base64.b64encode(p256_key().sign(stamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    headers = {
        "x-twilio-email-event-webhook-signature": signature,
        "x-twilio-email-event-webhook-timestamp": stamp,
    }
    return Made(Posted(body, headers), Secrets(public_key=public_der(p256_key())))


def mailgun(at: datetime = NOW) -> Made:
    stamp, token = str(int(at.timestamp())), "t" * 50
    signature = hmac.new(b"mailgun-key", f"{stamp}{token}".encode(), "sha256").hexdigest()
    data = {"event": "failed", "severity": "permanent", "reason": "bounce", "id": "m1", "recipient": ADDRESS}
    data |= {"delivery-status": {"code": 550, "message": "5.1.1 user unknown"}, "timestamp": 1_793_611_740.5}
    body = {"signature": {"timestamp": stamp, "token": token, "signature": signature}, "event-data": data}
    return Made(Posted(json.dumps(body).encode()), Secrets(secret="mailgun-key"))


def with_password(event: Any) -> Made:
    headers = basic("newsletter", "a password")
    return Made(Posted(json.dumps(event).encode(), headers), Secrets(username="newsletter", password="a password"))


def postmark(at: datetime = NOW) -> Made:
    del at
    event = {"RecordType": "Bounce", "Type": "HardBounce", "ID": 7, "Email": ADDRESS, "Details": "550 5.1.1 unknown"}
    return with_password(event)


def brevo(at: datetime = NOW) -> Made:
    del at
    return with_password({"event": "hard_bounce", "email": ADDRESS, "reason": "550 5.1.1 user unknown"})


def mailjet(at: datetime = NOW) -> Made:
    del at
    return with_password([{"event": "bounce", "email": ADDRESS, "hard_bounce": True, "error": "user unknown"}])


def sparkpost(at: datetime = NOW) -> Made:
    del at
    event = {"type": "bounce", "bounce_class": "10", "raw_rcpt_to": ADDRESS, "raw_reason": "550 5.1.1 user unknown"}
    return with_password([{"msys": {"message_event": event}}])


def resend(at: datetime = NOW) -> Made:
    body = json.dumps({"type": "email.bounced", "data": {"to": [ADDRESS], "bounce": {"type": "Permanent"}}}).encode()
    stamp = str(int(at.timestamp()))
    key = base64.b64decode(SVIX_SECRET.removeprefix("whsec_"))
    signed = base64.b64encode(hmac.digest(key, f"msg_1.{stamp}.".encode() + body, "sha256")).decode()
    headers = {"svix-id": "msg_1", "svix-timestamp": stamp, "svix-signature": f"v1,{'A' * 44} v1,{signed}"}
    return Made(Posted(body, headers), Secrets(secret=SVIX_SECRET))


def hmac_signed(event: Any, header: str) -> Made:
    body = json.dumps(event).encode()
    signature = hmac.new(b"signing secret", body, "sha256").hexdigest()
    return Made(Posted(body, {header: signature}), Secrets(secret="signing secret"))


def mailersend(at: datetime = NOW) -> Made:
    del at
    data = {"id": "a1", "email": {"recipient": {"email": ADDRESS}}, "morph": {"reason": "550 5.1.1 user unknown"}}
    return hmac_signed({"type": "activity.hard_bounced", "data": data}, "signature")


def mailtrap(at: datetime = NOW) -> Made:
    del at
    event = {"event": "bounce", "email": ADDRESS, "event_id": "e1", "response": "550 5.1.1 user unknown"}
    return hmac_signed({"events": [event]}, "mailtrap-signature")


def mandrill(at: datetime = NOW) -> Made:
    del at
    message = {"email": ADDRESS, "diag": "smtp;550 5.1.1 user unknown", "_id": "x1"}
    events = json.dumps([{"event": "hard_bounce", "ts": 1_793_611_740, "_id": "x1", "msg": message}])
    signed = hmac.digest(b"mandrill key", f"{HOOK_URL}mandrill_events{events}".encode(), "sha1")
    headers = {
        "x-mandrill-signature": base64.b64encode(signed).decode(),
        "content-type": "application/x-www-form-urlencoded",
    }
    body = urlencode({"mandrill_events": events}).encode()
    return Made(Posted(body, headers), Secrets(secret="mandrill key", url=HOOK_URL))


def postal(at: datetime = NOW) -> Made:
    del at
    payload = {"message": {"to": ADDRESS, "id": 5}, "status": "HardFail", "output": "550 5.1.1 user unknown"}
    body = json.dumps({"event": "MessageDeliveryFailed", "uuid": "u1", "payload": payload}).encode()
    signature = base64.b64encode(rsa_key().sign(body, padding.PKCS1v15(), SHA1())).decode()
    return Made(Posted(body, {"x-postal-signature": signature}), Secrets(public_key=public_der(rsa_key())))


def unisender_go(at: datetime = NOW) -> Made:
    del at
    info = {"delivery_status": "err_user_unknown", "destination_response": "550 5.1.1 user unknown"}
    data = {"email": ADDRESS, "status": "hard_bounced", "delivery_info": info}
    event = {"event_name": "transactional_email_status", "event_data": data}
    text = json.dumps({"auth": "AUTH", "events_by_user": [{"user_id": 1, "events": [event]}]})
    digest = hashlib.md5(text.replace("AUTH", "api-key").encode()).hexdigest()
    return Made(Posted(text.replace("AUTH", digest).encode()), Secrets(secret="api-key"))


# A bounce of ADDRESS, 5.1.1, by each provider.
BOUNCES: dict[str, Callable[..., Made]] = {
    made.__name__: made
    for made in (
        brevo,
        mailersend,
        mailgun,
        mailjet,
        mailtrap,
        mandrill,
        postal,
        postmark,
        resend,
        sendgrid,
        ses,
        sparkpost,
        unisender_go,
    )
}
# Whose signature covers the body, and whose a time.
SIGNS_BODY = ("mailersend", "mailtrap", "mandrill", "postal", "resend", "sendgrid", "ses", "unisender_go")
SIGNS_TIME = ("mailgun", "resend", "sendgrid", "ses")


def rewritten(made: Made) -> Made:
    """Return the same post, its JSON or form written anew: the same meaning, other bytes."""
    body = made.posted.body
    written = body.replace(b"%2C+", b"%2C") if body[:1] not in (b"{", b"[") else None
    if written is None:
        written = json.dumps(json.loads(body), separators=(",", ":"), sort_keys=True).encode()
    assert written != body
    return replace(made, posted=replace(made.posted, body=written))
