"""Keys that sign mail: made once, never replaced, readable by their owner only; which of them signs is never open."""

from __future__ import annotations

from datetime import UTC, datetime

import dkim as dkimpy_library
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from newsletter.dkim_keys import DkimKeys, DkimKeyUnusable, chosen_name
from newsletter.errors import Conflict, InvalidValue
from newsletter.send.signing import sign_message, signing_of_new_mail
from tests.conftest import NOW, smallest_config
from tests.peers import verifiers  # noqa: F401  (lends dkimpy its Ed25519)

MESSAGE = b"From: a@example.org\r\nTo: b@example.com\r\nSubject: x\r\n\r\nHello\r\n"


@pytest.fixture
def keys(tmp_path) -> DkimKeys:
    return DkimKeys(tmp_path / "secrets")


def test_a_pair_is_made_for_its_owner_alone_and_read_back(keys, tmp_path):
    keys.create("nl202611")
    assert keys.names == ("nl202611",)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o600}
    assert keys.key("nl202611-rsa").key_size == 2048
    again = DkimKeys(tmp_path / "secrets")
    assert again.records("nl202611", "example.org") == keys.records("nl202611", "example.org")


def test_keys_are_never_replaced(keys, tmp_path):
    keys.create("a")
    before = {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()}
    with pytest.raises(Conflict, match="never replaced"):
        keys.create("a")
    keys.create("b")
    assert {name: (tmp_path / "secrets" / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a b", "../a", "a" * 51, "ä"])
def test_a_name_that_cannot_stand_in_dns_is_refused(keys, name):
    with pytest.raises(InvalidValue, match="selector"):
        keys.create(name)


def test_a_new_pair_is_called_by_the_month(keys):
    moment = datetime(2026, 11, 2, tzinfo=UTC)
    for expected in ("nl202611", "nl202611b", "nl202611c"):
        assert keys.unused_name(moment) == expected
        keys.create(expected)


def test_records_are_such_as_dkimpy_reads_and_each_string_fits(keys):
    keys.create("a")
    for record, size in zip(keys.records("a", "example.org"), (2048, 256), strict=True):
        assert record.name == f"{record.selector}._domainkey.example.org"
        assert "".join(record.strings) == record.value
        assert max(map(len, record.strings)) <= 255
        assert dkimpy_library.evaluate_pk(record.name, record.value)[1] == size


def test_what_is_no_key_of_ours_is_refused_with_the_file(keys, tmp_path):
    keys.create("a")
    path = tmp_path / "secrets" / "dkim-a-rsa.pem"
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (b"", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", other):
        path.write_bytes(content)
        with pytest.raises(DkimKeyUnusable, match="holds no RSA or Ed25519 key") as caught:
            DkimKeys(tmp_path / "secrets").key("a-rsa")
        assert str(path) in caught.value.message


def test_the_only_pair_signs_and_of_several_the_one_that_is_named(keys):
    with pytest.raises(DkimKeyUnusable, match="no keys") as caught:
        chosen_name(keys, "")
    assert "dkim keygen" in caught.value.hint
    keys.create("a")
    assert chosen_name(keys, "") == "a"
    keys.create("b")
    assert chosen_name(keys, "b") == "b"
    with pytest.raises(DkimKeyUnusable, match="names none"):
        chosen_name(keys, "")
    with pytest.raises(DkimKeyUnusable, match="'c'"):
        chosen_name(keys, "c")


def test_new_mail_is_signed_where_the_configuration_says_so(app, dkimpy):
    assert sign_message(app.config, app.keys, MESSAGE, NOW) == MESSAGE
    config = smallest_config(dkim={"enabled": True})
    with pytest.raises(DkimKeyUnusable):
        sign_message(config, app.keys, MESSAGE, NOW)
    app.keys.dkim.create("a")
    signed = sign_message(config, app.keys, MESSAGE, NOW)
    records = {(r.name, "TXT"): [r.value] for r in app.keys.dkim.records("a", "example.org")}
    assert dkimpy.verdicts(signed, records) == {"a-rsa": True, "a-ed25519": True}
    assert f"t={int(NOW.timestamp())};".encode() in signed


def test_the_domain_that_signs_may_be_another_one_that_dmarc_aligns(app):
    app.keys.dkim.create("a")
    config = smallest_config(
        organisation={"from_address": "news@news.example.org"}, dkim={"enabled": True, "domain": "example.org"}
    )
    signing = signing_of_new_mail(config, app.keys, NOW)
    assert signing is not None
    assert (signing.domain, signing.selectors) == ("example.org", ("a-rsa", "a-ed25519"))
