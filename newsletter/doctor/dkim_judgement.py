"""Whether the DKIM key that is published is the one that we sign with; pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from newsletter.doctor.findings import DnsRecord, Finding, fail, ok, warn
from newsletter.doctor.lookup import Answer

CHECK = "DKIM"
FEWEST_BITS, ADVISED_BITS = 1024, 2048


@dataclass(frozen=True, slots=True)
class SigningKey:
    """
    The public half of a key that we sign with.

    Attributes:
        algorithm: As ``k=`` names it: ``rsa`` or ``ed25519``.
        public: What ``p=`` holds: the DER of an RSA key, the 32 bytes of an Ed25519 key.
    """

    selector: str
    domain: str
    algorithm: str
    public: bytes

    @property
    def record(self) -> DnsRecord:
        value = f"v=DKIM1; k={self.algorithm}; p={base64.b64encode(self.public).decode()}"
        return DnsRecord(f"{self.selector}._domainkey.{self.domain}", "TXT", value)

    @property
    def bits(self) -> int:
        if self.algorithm != "rsa":
            return len(self.public) * 8
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        key = load_der_public_key(self.public)
        assert isinstance(key, RSAPublicKey)
        return key.key_size


def judge_key(key: SigningKey, answer: Answer) -> Finding:
    """Judge the record of one selector. Source: RFC 6376 3.6.1, RFC 8463 4."""
    name, publish = key.record.name, "Publish this:"
    if answer.unknown:
        return warn(CHECK, f"The DNS does not answer for {name}.", "Try again; then ask who runs its DNS.")
    texts = [text for text in answer.values if "p=" in text.replace(" ", "")]
    if not texts:
        return fail(CHECK, f"{name} has no record, so our signatures cannot be verified.", publish, key.record)
    if len(texts) > 1:
        return fail(
            CHECK, f"{name} has {len(texts)} records; receivers may take the wrong one.", "Keep only this:", key.record
        )
    tags = read_tags(texts[0])
    wrong = _wrong(key, tags)
    if wrong:
        return fail(CHECK, f"{name} {wrong}", "Publish this instead:", key.record)
    return _fine_print(key, tags)


def read_tags(text: str) -> dict[str, str]:
    """Return the tags of a record; blanks in a value mean nothing here."""
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return {name.strip(): "".join(value.split()) for name, _, value in pairs}


def _wrong(key: SigningKey, tags: dict[str, str]) -> str:
    if tags.get("v", "DKIM1") != "DKIM1":
        return f"has the version '{tags['v']}', which nobody reads."
    if not tags.get("p"):
        return "says that this key is withdrawn (p= is empty)."
    if tags.get("k", "rsa") != key.algorithm:
        return f"holds a key for '{tags.get('k', 'rsa')}', and we sign with {key.algorithm}."
    if "h" in tags and "sha256" not in tags["h"].split(":"):
        return f"allows only the digests {tags['h']}, and we use sha256."
    if "s" in tags and not {"*", "email"} & set(tags["s"].split(":")):
        return f"is not for mail (s={tags['s']})."
    try:
        published = base64.b64decode(tags["p"], validate=True)
    except binascii.Error:
        return "holds a key that is cut or mistyped."
    return "" if published in _spellings(key) else "holds another key than the one that we sign with."


def _spellings(key: SigningKey) -> tuple[bytes, ...]:
    """An RSA key stands there as SubjectPublicKeyInfo, or bare; verifiers read both."""
    if key.algorithm != "rsa":
        return (key.public,)
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    return key.public, load_der_public_key(key.public).public_bytes(Encoding.DER, PublicFormat.PKCS1)


def _fine_print(key: SigningKey, tags: dict[str, str]) -> Finding:
    name = key.record.name
    said = f"{name} holds our {key.algorithm} key of {key.bits} bits"
    if "y" in tags.get("t", "").split(":"):
        return warn(
            CHECK, f"{said}, in test mode (t=y): receivers may ignore it.", "Publish it without t=y:", key.record
        )
    if key.algorithm == "rsa" and key.bits < ADVISED_BITS:
        make = fail if key.bits < FEWEST_BITS else warn
        few = f"{said}; receivers want {FEWEST_BITS} at least and advise {ADVISED_BITS}."
        return make(CHECK, few, "Make a new one: newsletter dkim keygen")
    return ok(CHECK, f"{said}.")


def relay_signs() -> Finding:
    """Say what is expected where we do not sign."""
    return ok(CHECK, "Not signed here: your relay is expected to sign. See that its d= is the domain of your From.")


def key_missing(problem: str, fix: str) -> Finding:
    """Say that signing is asked for and cannot be done."""
    return fail(CHECK, problem, fix or "Make keys, then publish what it prints: newsletter dkim keygen")
