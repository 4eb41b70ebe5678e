"""Who may tell us what became of the mail: a provider that shows who it is, and nobody else."""

from __future__ import annotations

import base64
import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA256

from subscribers.bounces.providers import PROVIDERS, mailgun, sns
from subscribers.bounces.providers.payload import PayloadUnreadable
from subscribers.bounces.providers.verifying import Posted, Secrets, WebhookRefused
from tests.subscribers.bounces import signing
from tests.subscribers.bounces.signing import BOUNCES, NOW, SIGNS_BODY, SIGNS_TIME, TOPIC, Made, rewritten

EVERY = sorted(PROVIDERS)

LATE = {"ses": timedelta(days=3), "mailgun": timedelta(hours=9)}


def check(name: str, made: Made, now=NOW) -> None:
    PROVIDERS[name].verify(made.posted, made.secrets, now)


def refused(name: str, made: Made, now=NOW) -> bool:
    try:
        check(name, made, now)
    except (WebhookRefused, PayloadUnreadable):
        return True
    return False


def test_there_is_a_genuine_post_of_every_provider() -> None:
    assert sorted(BOUNCES) == EVERY


@pytest.mark.parametrize("name", EVERY)
def test_a_genuine_post_passes(name: str) -> None:
    check(name, BOUNCES[name]())


@pytest.mark.parametrize("name", EVERY)
def test_nothing_passes_while_no_secret_is_set(name: str) -> None:
    made = BOUNCES[name]()
    with pytest.raises(WebhookRefused):
        PROVIDERS[name].verify(made.posted, Secrets(), NOW)
    assert PROVIDERS[name].missing(Secrets())
    assert not PROVIDERS[name].missing(made.secrets)


@pytest.mark.parametrize("name", EVERY)
def test_another_secret_does_not_pass(name: str) -> None:
    made = BOUNCES[name]()
    other_key = signing.public_der(ec.generate_private_key(ec.SECP256R1()))
    others = {
        f.name: "another" for f in fields(Secrets) if isinstance(getattr(made.secrets, f.name), str) and f.name != "url"
    }
    others |= {"public_key": other_key, "topics": (f"{TOPIC}-other",)}
    assert refused(name, replace(made, secrets=replace(made.secrets, **others)))


@pytest.mark.parametrize("name", EVERY)
def test_a_post_without_headers_does_not_pass(name: str) -> None:
    made = BOUNCES[name]()
    bare = replace(made, posted=replace(made.posted, headers={}))
    if made.posted.headers:
        assert refused(name, bare)


@pytest.mark.parametrize("name", SIGNS_BODY)
def test_a_body_that_was_written_anew_does_not_pass(name: str) -> None:
    if name == "ses":  # what Amazon signs are the values, so it is these that may not differ
        made = BOUNCES[name]()
        envelope = json.loads(made.posted.body)
        envelope["Message"] = json.dumps(json.loads(envelope["Message"]), separators=(",", ":"))
        made = replace(made, posted=replace(made.posted, body=json.dumps(envelope).encode()))
        assert refused(name, made)
    else:
        assert refused(name, rewritten(BOUNCES[name]()))


@pytest.mark.parametrize("name", SIGNS_BODY)
@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_body_with_one_character_changed_does_not_pass(name: str, place: float) -> None:
    made = BOUNCES[name]()
    body = bytearray(made.posted.body)
    at = next(i for i in range(int(len(body) * place), len(body)) if chr(body[i]).isalpha() and body[i] < 0x7A)
    body[at] += 1
    assert refused(name, replace(made, posted=replace(made.posted, body=bytes(body))))


@pytest.mark.parametrize(
    ("name", "minutes"),
    [(name, minutes) for name in SIGNS_TIME for minutes in (-11, 11) if minutes > 0 or name not in LATE],
)
def test_a_time_eleven_minutes_off_does_not_pass(name: str, minutes: int) -> None:
    made = BOUNCES[name](at=NOW + timedelta(minutes=minutes))
    with pytest.raises(WebhookRefused, match="too old"):
        check(name, made)
    check(name, BOUNCES[name](at=NOW + timedelta(minutes=minutes * 9 // 11)))


@pytest.mark.parametrize("name", LATE)
def test_what_is_tried_again_with_its_old_time_passes_as_long_as_it_is_tried(name: str) -> None:
    check(name, BOUNCES[name](at=NOW - LATE[name] + timedelta(minutes=1)))
    with pytest.raises(WebhookRefused, match="too old"):
        check(name, BOUNCES[name](at=NOW - LATE[name] - timedelta(minutes=1)))


@pytest.mark.parametrize("name", SIGNS_TIME)
def test_a_stale_post_cannot_be_given_a_new_time(name: str) -> None:
    made = BOUNCES[name](at=NOW - timedelta(days=1))
    fresh = BOUNCES[name]()
    headers = {k: fresh.posted.headers[k] if "timestamp" in k else v for k, v in made.posted.headers.items()}
    body = made.posted.body.replace(b"2026-11-01T09:30", b"2026-11-02T09:30")
    body = body.replace(str(int((NOW - timedelta(days=1)).timestamp())).encode(), str(int(NOW.timestamp())).encode())
    assert refused(name, replace(made, posted=replace(made.posted, headers=headers, body=body)))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "body", [b"", b"x", b"{", b"null", b"[]", b"{}", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe\x00", b'"\\ud800"']
)
def test_junk_is_refused_in_no_other_way(name: str, body: bytes) -> None:
    made = BOUNCES[name]()
    made = replace(made, posted=replace(made.posted, body=body))
    if name in SIGNS_BODY or name == "mailgun":
        assert refused(name, made)
    else:
        check(name, made)  # what these send is known by its password alone


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Basic"}, {"authorization": "Basic !!"}, signing.basic("newsletter", "wrong")]
)
@pytest.mark.parametrize("name", ["brevo", "mailjet", "postmark", "sparkpost"])
def test_who_comes_without_the_password_is_asked_for_it(name: str, headers: dict[str, str]) -> None:
    made = BOUNCES[name]()
    with pytest.raises(WebhookRefused) as error:
        PROVIDERS[name].verify(replace(made.posted, headers=headers), made.secrets, NOW)
    assert error.value.ask_for_password


def test_brevo_may_send_a_token_instead_and_then_no_password_passes() -> None:
    made = signing.brevo()
    by_token = replace(made.secrets, secret="a long token")
    PROVIDERS["brevo"].verify(replace(made.posted, headers={"authorization": "Bearer a long token"}), by_token, NOW)
    for headers in ({"authorization": "Bearer another"}, made.posted.headers, {}):
        with pytest.raises(WebhookRefused):
            PROVIDERS["brevo"].verify(replace(made.posted, headers=headers), by_token, NOW)


def test_a_key_of_another_kind_is_no_key() -> None:
    made = signing.sendgrid()
    for key in (
        signing.public_der(signing.rsa_key()),
        signing.public_der(ec.generate_private_key(ec.SECP384R1())),
        "x",
    ):
        assert refused("sendgrid", replace(made, secrets=Secrets(public_key=key)))
    assert refused(
        "postal", replace(signing.postal(), secrets=Secrets(public_key=signing.public_der(signing.p256_key())))
    )


def test_postals_newer_signature_is_believed_over_its_older_one() -> None:
    made = signing.postal()
    body = made.posted.body
    newer = base64.b64encode(signing.rsa_key().sign(body, padding.PKCS1v15(), SHA256())).decode()
    headers = {**made.posted.headers, "x-postal-signature-256": newer}
    check("postal", replace(made, posted=replace(made.posted, headers=headers)))
    headers["x-postal-signature-256"] = made.posted.headers["x-postal-signature"]
    assert refused("postal", replace(made, posted=replace(made.posted, headers=headers)))


def test_mailgun_may_be_signed_by_the_account_above() -> None:
    made = signing.mailgun()
    post = json.loads(made.posted.body)
    post["parent-signature"] = post["signature"]
    post["signature"] = {**post["signature"], "signature": "0" * 64}
    above = Posted(json.dumps(post).encode())
    PROVIDERS["mailgun"].verify(above, made.secrets, NOW)
    assert mailgun.token(above, made.secrets) == mailgun.token(made.posted, made.secrets)


def test_a_token_of_mailgun_is_told_from_another() -> None:
    first, later = signing.mailgun(), signing.mailgun(at=NOW + timedelta(seconds=1))
    assert mailgun.token(first.posted, first.secrets) != mailgun.token(later.posted, later.secrets)


def test_mailersends_test_passes_with_its_published_secret_and_tells_of_nothing() -> None:
    ping = signing.hmac_signed({"type": "webhook.test", "data": {}}, "signature")
    by_published = replace(ping, posted=_resigned(ping.posted, b"test_Am3L1GuOIc4blLUuHqAPxxwkZaJyEk8G"))
    PROVIDERS["mailersend"].verify(by_published.posted, Secrets(), NOW)
    assert PROVIDERS["mailersend"].read(by_published.posted.body) == []
    forged = _resigned(signing.mailersend().posted, b"test_Am3L1GuOIc4blLUuHqAPxxwkZaJyEk8G")
    with pytest.raises(WebhookRefused):
        PROVIDERS["mailersend"].verify(forged, Secrets(secret="signing secret"), NOW)


def _resigned(posted: Posted, key: bytes) -> Posted:
    import hmac

    return replace(posted, headers={"signature": hmac.new(key, posted.body, "sha256").hexdigest()})


# -- Amazon's notification service


def envelope_refused(**changed: Any) -> bool:
    """Whether an envelope that is signed with these fields is refused."""
    made = signing.ses(**changed)
    return refused("ses", made)


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_versions_of_amazons_signature_pass(version: str) -> None:
    check("ses", signing.ses(version=version, Subject="Amazon SES notice"))


def test_one_version_does_not_pass_for_the_other() -> None:
    made = signing.ses(version="1")
    envelope = {**json.loads(made.posted.body), "SignatureVersion": "2"}
    assert refused("ses", replace(made, posted=replace(made.posted, body=json.dumps(envelope).encode())))
    for version in ("", "3", 2, None):
        envelope["SignatureVersion"] = version
        assert refused("ses", replace(made, posted=replace(made.posted, body=json.dumps(envelope).encode())))


HOST, FILE = "sns.eu-west-1.amazonaws.com", f"SimpleNotificationService-{'0a' * 16}.pem"


@pytest.mark.parametrize(
    "url",
    [
        f"http://{HOST}/{FILE}",
        f"https://{HOST}.evil.example/{FILE}",
        f"https://evil.example/{FILE}",
        f"https://s3.amazonaws.com/{HOST}/{FILE}",
        f"https://sns.eu-west-1.amazonaws.com.evil.example/{FILE}",
        f"https://{HOST}@evil.example/{FILE}",
        f"https://evil.example@{HOST}/{FILE}",
        f"https://user:word@{HOST}/{FILE}",
        f"https://{HOST}:443/{FILE}",
        f"https://{HOST}:8443/{FILE}",
        f"https://{HOST}/../{FILE}",
        f"https://{HOST}/x/{FILE}",
        f"https://{HOST}//{FILE}",
        f"https://{HOST}/{FILE}?x=1",
        f"https://{HOST}/{FILE}#x",
        f"https://{HOST}/{FILE}/..",
        f"https://{HOST}/%2e%2e/{FILE}",
        f"https://{HOST}/SimpleNotificationService-{'0A' * 16}.pem",
        f"https://{HOST}/SimpleNotificationService-{'0a' * 15}.pem",
        f"https://{HOST}\\@evil.example/{FILE}",
        f"https://sns.eu-west-1.evil.amazonaws.com/{FILE}",
        f"https://sns.amazonaws.com/{FILE}",
        f"https://sns.us-east-1.amazonaws.com/{FILE}",
        f"https://SNS.eu-west-1.amazonaws.com/{FILE}",
        f"https://{HOST}/{FILE}\n",
        f" https://{HOST}/{FILE}",
        f"HTTPS://{HOST}/{FILE}",
        f"ftp://{HOST}/{FILE}",
        "",
    ],
)
def test_a_certificate_is_taken_from_amazons_own_address_only(url: str) -> None:
    body = json.dumps(signing.sns_envelope("{}", SigningCertURL=url)).encode()
    with pytest.raises(WebhookRefused):
        sns.certificate_url(body, Secrets(topics=(TOPIC,)))
    assert envelope_refused(SigningCertURL=url)


def test_the_address_of_the_topics_own_region_is_taken() -> None:
    body = signing.ses().posted.body
    assert sns.certificate_url(body, Secrets(topics=("x", TOPIC))) == signing.CERTIFICATE_URL
    china = TOPIC.replace("arn:aws:", "arn:aws-cn:").replace("eu-west-1", "cn-north-1")
    url = f"https://sns.cn-north-1.amazonaws.com.cn/{FILE}"
    body = json.dumps(signing.sns_envelope("{}", SigningCertURL=url, TopicArn=china)).encode()
    assert sns.certificate_url(body, Secrets(topics=(china,))) == url


@pytest.mark.parametrize(
    "topic", [f"{TOPIC}x", TOPIC.upper(), f"{TOPIC} ", "", f"{TOPIC}:sub", "arn:aws:sns:eu-west-1:1:a"]
)
def test_another_topic_is_refused_before_anything_is_fetched(topic: str) -> None:
    body = json.dumps(signing.sns_envelope("{}", TopicArn=topic)).encode()
    with pytest.raises(WebhookRefused):
        sns.certificate_url(body, Secrets(topics=(TOPIC,)))


@pytest.mark.parametrize(
    ("why", "given"),
    [
        ("not in date", {"ends": NOW - timedelta(seconds=1)}),
        ("not in date", {"begins": NOW + timedelta(seconds=1)}),
        ("another name", {"name": "sns.amazonaws.com.evil.example"}),
        ("another name", {"name": "s3.amazonaws.com"}),
        ("nobody but itself", {"self_signed": True}),
        ("did not sign", {"foreign_issuer": True}),
    ],
)
def test_a_certificate_must_be_in_date_bear_the_name_and_be_issued(why: str, given: dict[str, Any]) -> None:
    made = signing.ses()
    with pytest.raises(WebhookRefused, match=why):
        PROVIDERS["ses"].verify(replace(made.posted, certificate=signing.certificate(**given)), made.secrets, NOW)


@pytest.mark.parametrize(
    "pem", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_refused(pem: bytes) -> None:
    made = signing.ses()
    assert refused("ses", replace(made, posted=replace(made.posted, certificate=pem)))


def test_a_certificate_without_its_issuer_passes() -> None:
    made = signing.ses()
    check("ses", replace(made, posted=replace(made.posted, certificate=signing.certificate(with_issuer=False))))


CONFIRM = f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"


def offer(url: str = CONFIRM, kind: str = sns.SUBSCRIPTION) -> bytes:
    return json.dumps(signing.sns_envelope("You have chosen", Type=kind, SubscribeURL=url, Token="2336412f37")).encode()


def test_an_offered_subscription_is_confirmed_at_amazons_address() -> None:
    secrets = Secrets(topics=(TOPIC,))
    PROVIDERS["ses"].verify(Posted(offer(), {}, signing.usual_certificate()), secrets, NOW)
    assert sns.confirmation_url(offer(), secrets) == CONFIRM
    assert sns.confirmation_url(signing.ses().posted.body, secrets) is None
    assert sns.confirmation_url(offer(kind=sns.UNSUBSCRIPTION), secrets) is None
    assert PROVIDERS["ses"].read(offer()) == []


@pytest.mark.parametrize(
    "url",
    [
        CONFIRM.replace("https", "http"),
        CONFIRM.replace(HOST, "evil.example"),
        CONFIRM.replace(HOST, f"{HOST}@evil.example"),
        CONFIRM.replace(HOST, "sns.us-east-1.amazonaws.com"),
        CONFIRM.replace("/?", "/x?"),
        CONFIRM.replace("ConfirmSubscription", "DeleteTopic"),
        CONFIRM.replace("ses-events", "other"),
        CONFIRM + "&Action=DeleteTopic",
        CONFIRM + "#x y",
        "",
    ],
)
def test_nothing_else_is_ever_asked_for(url: str) -> None:
    with pytest.raises(WebhookRefused):
        sns.confirmation_url(offer(url), Secrets(topics=(TOPIC,)))
