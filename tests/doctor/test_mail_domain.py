"""SPF, DKIM, DMARC and MX, asked of a real DNS server: a good set, and each fault alone."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from newsletter.config.settings import Config
from newsletter.doctor.dkim_judgement import SigningKey
from newsletter.doctor.findings import Finding, Level
from newsletter.doctor.lookup import Answer, Lookup, NameServer, Status, read_name_server
from newsletter.doctor.mail_domain import Signing, dns_tasks
from newsletter.errors import InvalidValue
from tests.conftest import smallest_config
from tests.peers.dns import DnsServer

RELAY, RELAY_ADDRESS = "mail.example.net", "192.0.9.25"
RSA = rsa.generate_private_key(65537, 2048).public_key()
KEY = SigningKey("s1", "example.org", "rsa", RSA.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
EDWARDS = SigningKey(
    "s2", "example.org", "ed25519", ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
)
SIGNING = Signing(enabled=True, domain="example.org", keys=(KEY, EDWARDS))

GOOD = {
    (RELAY, "A"): [RELAY_ADDRESS],
    ("example.org", "A"): ["192.0.9.80"],
    ("example.org", "MX"): ["10 mx.example.org.", "20 mx2.example.org."],
    ("example.org", "SOA"): ["ns.example.org. hostmaster.example.org. 1 7200 900 1209600 300"],
    ("mx.example.org", "A"): ["192.0.9.10"],
    ("mx2.example.org", "AAAA"): ["2a00:9::10"],
    ("bounces.example.org", "MX"): ["10 mx.example.org."],
    ("bounces.example.org", "TXT"): ["some-verification=1", "v=spf1 include:_spf.example.net mx -all"],
    ("_spf.example.net", "TXT"): ["v=spf1 a:mail.example.net ip6:2a00:9::/32 ?all"],
    ("_dmarc.example.org", "TXT"): ["v=DMARC1; p=reject; rua=mailto:dmarc@example.org"],
    ("s1._domainkey.example.org", "TXT"): [KEY.record.value],
    ("s2._domainkey.example.org", "TXT"): [EDWARDS.record.value],
}  # fmt: skip


def the_config(**groups: dict[str, object]) -> Config:
    defaults = {"smtp": {"host": RELAY, "port": 587, "tls": "required"}, "bounces": {"domain": "bounces.example.org"}}
    return smallest_config(**{**defaults, **groups})


Look = Callable[..., list[Finding]]


@pytest.fixture
def look() -> Look:
    """Return a function that serves the good set with changes over it, and returns what is found."""

    def look(
        changes: dict[tuple[str, str], list[str]] | None = None,
        *,
        config: Config | None = None,
        signing: Signing = SIGNING,
        failing: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
    ) -> list[Finding]:
        records = {
            key: values for key, values in {**GOOD, **(changes or {})}.items() if key[0] not in without and values
        }
        with DnsServer(records, failing=failing) as server:
            lookup = Lookup(NameServer("127.0.0.1", server.port))
            return [f for task in dns_tasks(config or the_config(), lookup, signing) for f in task()]

    return look


def only(findings: list[Finding], level: Level = Level.FAIL) -> Finding:
    """Return the one finding that is of this level or graver."""
    [found] = [f for f in findings if f.level is level]
    assert found.fix
    return found


def spf(*terms: str) -> dict[tuple[str, str], list[str]]:
    return {("bounces.example.org", "TXT"): [" ".join(("v=spf1", *terms))]}


def dmarc(*texts: str) -> dict[tuple[str, str], list[str]]:
    return {("_dmarc.example.org", "TXT"): list(texts)}


def test_a_good_set_is_well_and_says_what_a_receiver_finds(look: Look) -> None:
    findings = look()
    assert [f for f in findings if f.level is not Level.OK] == []
    said = [f.message for f in findings]
    assert "bounces.example.org has one record; it takes 3 of 10 lookups." in said
    assert f"bounces.example.org allows {RELAY} ({RELAY_ADDRESS})." in said
    assert "A receiver finds: pass, by SPF and DKIM." in said
    assert any("our rsa key of 2048 bits" in message for message in said)
    assert {f.check for f in findings} == {"SPF", "DKIM", "DMARC", "MX"}


class TestSpf:
    def test_none_is_a_failure_with_the_record_to_publish(self, look: Look) -> None:
        found = only(look({("bounces.example.org", "TXT"): ["other=1"]}))
        assert (found.record.name, found.record.type) == ("bounces.example.org", "TXT")
        assert found.record.value == f"v=spf1 ip4:{RELAY_ADDRESS} ~all"

    def test_where_the_relay_is_here_its_address_is_left_to_the_person(self, look: Look) -> None:
        config = the_config(smtp={"host": "127.0.0.1", "tls": "none"})
        found = only(look({("bounces.example.org", "TXT"): []}, config=config))
        assert found.record.value == "v=spf1 ip4:ADDRESS ~all"
        findings = look(config=config)
        assert [f for f in findings if f.level is not Level.OK] == []
        assert any("cannot be told" in f.message for f in findings if f.check == "SPF")

    def test_a_relay_in_a_private_network_proves_nothing(self, look: Look) -> None:
        findings = look({(RELAY, "A"): ["10.0.0.25"]})
        assert [f for f in findings if f.fix] == []
        assert any("cannot be told" in f.message for f in findings if f.check == "SPF")

    def test_two_are_joined_into_one(self, look: Look) -> None:
        found = only(look({("bounces.example.org", "TXT"): ["v=spf1 mx -all", "v=spf1 ip4:192.0.9.25 mx ~all"]}))
        assert found.record.value.split()[-1] == "~all"
        assert sorted(found.record.value.split()[1:-1]) == ["ip4:192.0.9.25", "mx"]

    @pytest.mark.parametrize("case", ["V=SPF1 INCLUDE:_SPF.Example.NET -ALL", "v=spf1 A:Mail.Example.Net/24 -all"])
    def test_case_means_nothing(self, look: Look, case: str) -> None:
        findings = look({("bounces.example.org", "TXT"): [case]})
        assert f"bounces.example.org allows {RELAY} ({RELAY_ADDRESS})." in [f.message for f in findings]

    def test_a_text_that_only_begins_alike_is_no_record(self, look: Look) -> None:
        assert "has no SPF record" in only(look({("bounces.example.org", "TXT"): ["v=spf10 -all"]})).message

    def test_more_than_ten_lookups_are_counted_through_includes(self, look: Look) -> None:
        chain = {(f"n{i}.example.net", "TXT"): [f"v=spf1 include:n{i + 1}.example.net -all"] for i in range(11)}
        end = {("n11.example.net", "TXT"): ["v=spf1 ip4:192.0.9.25 -all"]}
        found = only(look({**spf("include:n0.example.net", "-all"), **chain, **end}))
        assert "12 lookups" in found.message
        chain[("n8.example.net", "TXT")] = ["v=spf1 ip4:192.0.9.25 -all"]
        findings = look({**spf("include:n0.example.net", "mx", "-all"), **chain})
        assert "bounces.example.org has one record; it takes 10 of 10 lookups." in [f.message for f in findings]

    @pytest.mark.parametrize(
        ("term", "lookups"),
        [("a", 1), ("mx", 1), ("ptr", 1), ("exists:%{i}.list.example.net", 1), ("redirect=_spf.example.net", 2)],
    )
    def test_every_term_that_asks_is_counted(self, look: Look, term: str, lookups: int) -> None:
        names = {("bounces.example.org", "A"): ["192.0.9.25"], ("192.0.9.25.list.example.net", "A"): ["127.0.0.2"]}
        found = [f.message for f in look({**spf("ip4:192.0.9.25", term), **names}) if "lookups" in f.message]
        if "redirect" in term:
            assert found == [f"bounces.example.org has one record; it takes {lookups} of 10 lookups."]
        else:
            wide = {**spf("ip4:192.0.9.25", *[term] * 11, "-all"), **names}
            assert "11 lookups" in only(look(wide)).message

    def test_three_lookups_that_find_nothing_are_one_too_many(self, look: Look) -> None:
        assert [f for f in look(spf("a:x.example.net", "a:y.example.net", "a:mail.example.net", "-all")) if f.fix] == []
        found = only(look(spf("a:x.example.net", "a:y.example.net", "mx:z.example.net", "a:mail.example.net", "-all")))
        assert "3 of its lookups find nothing" in found.message

    def test_a_loop_of_includes_ends(self, look: Look) -> None:
        loop = {("l.example.net", "TXT"): ["v=spf1 include:Bounces.example.org -all"]}
        found = only(look({**spf("include:l.example.net", "-all"), **loop}))
        assert "includes itself" in found.message

    def test_an_include_without_a_record_breaks_the_whole(self, look: Look) -> None:
        found = only(look(spf("include:nothing.example.net", "-all")))
        assert "nothing.example.net has no SPF record" in found.message

    @pytest.mark.parametrize(
        "term", ["ip4:300.1.1.1", "incldue:x.example", "include:", "a:x.example/33", "ip4:2a00::1"]
    )
    def test_a_term_that_cannot_be_read_is_named(self, look: Look, term: str) -> None:
        assert term.split("/")[0] in only(look(spf(term, "-all"))).message

    def test_the_whole_world_is_warned_of(self, look: Look) -> None:
        found = only(look(spf("mx", "+all")), Level.WARN)
        assert "+all" in found.message
        assert found.record.value == "v=spf1 mx ~all"

    def test_an_open_end_is_warned_of(self, look: Look) -> None:
        found = only(look(spf("a:mail.example.net")), Level.WARN)
        assert found.record.value == "v=spf1 a:mail.example.net ~all"

    def test_a_relay_that_is_not_allowed_gets_a_record_with_it(self, look: Look) -> None:
        found = only(look(spf("mx", "-all")), Level.WARN)
        assert f"{RELAY} ({RELAY_ADDRESS}, fail)" in found.message
        assert found.record.value == f"v=spf1 mx ip4:{RELAY_ADDRESS} -all"

    def test_a_name_that_is_an_alias_is_followed(self, look: Look) -> None:
        alias = {("out.example.org", "CNAME"): [f"{RELAY}."]}
        findings = look({**spf("a:out.example.org", "-all"), **alias})
        assert f"bounces.example.org allows {RELAY} ({RELAY_ADDRESS})." in [f.message for f in findings]

    def test_a_long_record_is_read_across_its_strings(self, look: Look) -> None:
        many = [f"ip4:198.18.{n}.0/24" for n in range(60)]
        findings = look(spf(*many, f"ip4:{RELAY_ADDRESS}", "-all"))
        assert f"bounces.example.org allows {RELAY} ({RELAY_ADDRESS})." in [f.message for f in findings]

    def test_macros_of_the_address_are_put_in(self, look: Look) -> None:
        listed = {("25.9.0.192.in-addr.ok.example.org", "A"): ["127.0.0.2"]}
        findings = look({**spf("exists:%{ir}.%{v}.ok.example.org", "-all"), **listed})
        assert f"bounces.example.org allows {RELAY} ({RELAY_ADDRESS})." in [f.message for f in findings]

    def test_the_name_of_an_address_counts_only_if_it_leads_back(self, look: Look) -> None:
        named = {("25.9.0.192.in-addr.arpa", "PTR"): [f"{RELAY}."]}
        allowed = f"bounces.example.org allows {RELAY} ({RELAY_ADDRESS})."
        assert allowed in [f.message for f in look({**spf("ptr:example.net", "-all"), **named})]
        false = {("25.9.0.192.in-addr.arpa", "PTR"): ["mx.example.org."]}
        assert allowed not in [f.message for f in look({**spf("ptr:example.org", "-all"), **false})]

    def test_a_server_failure_is_no_verdict(self, look: Look) -> None:
        found = [f for f in look(failing=("bounces.example.org",)) if f.check == "SPF"]
        assert [(f.level, "does not answer" in f.message) for f in found] == [(Level.WARN, True)]
        found = [f for f in look(failing=("_spf.example.net",)) if f.check == "SPF"]
        assert [(f.level, "_spf.example.net" in f.message) for f in found] == [(Level.WARN, True)]


class TestDkim:
    def test_a_missing_record_is_given_to_paste(self, look: Look) -> None:
        found = only(look(without=("s1._domainkey.example.org",)))
        assert found.record == KEY.record

    def test_another_key_is_found_out(self, look: Look) -> None:
        other = rsa.generate_private_key(65537, 2048).public_key()
        der = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        text = f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
        assert "another key" in only(look({("s1._domainkey.example.org", "TXT"): [text]})).message

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("v=DKIM1; p=", "withdrawn"),
            ("v=DKIM1; k=ed25519; p=AAAA", "sign with rsa"),
            ("v=DKIM1; h=sha1; p=AAAA", "sha1"),
            ("v=DKIM1; s=other; p=AAAA", "not for mail"),
            ("v=DKIM2; p=AAAA", "DKIM2"),
            ("v=DKIM1; p=A", "cut or mistyped"),
        ],
    )
    def test_each_fault_of_the_record_is_named(self, look: Look, text: str, words: str) -> None:
        found = only(look({("s1._domainkey.example.org", "TXT"): [text]}))
        assert words in found.message
        assert found.record == KEY.record

    def test_test_mode_is_warned_of(self, look: Look) -> None:
        text = KEY.record.value.replace("; p=", "; t=y; p=")
        assert "t=y" in only(look({("s1._domainkey.example.org", "TXT"): [text]}), Level.WARN).message

    def test_a_bare_rsa_key_and_an_alias_are_read(self, look: Look) -> None:
        bare = base64.b64encode(RSA.public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode()
        changes = {
            ("s1._domainkey.example.org", "TXT"): [],
            ("s1._domainkey.example.org", "CNAME"): ["keys.example.net."],
            ("keys.example.net", "TXT"): [f"v=DKIM1;k=rsa;p={bare}"],
        }
        assert [f for f in look(changes) if f.fix] == []

    @pytest.mark.parametrize(("bits", "level"), [(1024, Level.WARN)])
    def test_a_short_key_is_warned_of(self, look: Look, bits: int, level: Level) -> None:
        public = rsa.generate_private_key(65537, bits).public_key()
        key = SigningKey(
            "s1", "example.org", "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
        signing = Signing(enabled=True, domain="example.org", keys=(key,))
        found = only(look({("s1._domainkey.example.org", "TXT"): [key.record.value]}, signing=signing), level)
        assert "1024 bits" in found.message

    def test_where_we_do_not_sign_the_relay_is_expected_to(self, look: Look) -> None:
        findings = look(signing=Signing())
        assert any("your relay is expected to sign" in f.message for f in findings)
        assert [f for f in findings if f.fix] == []

    def test_a_key_that_is_missing_here_is_a_failure(self, look: Look) -> None:
        signing = Signing(enabled=True, domain="example.org", problem="The key file secrets/dkim is missing.")
        assert "keygen" in only(look(signing=signing)).fix


class TestDmarc:
    def test_none_is_a_failure_with_the_record_to_publish(self, look: Look) -> None:
        found = only(look(dmarc()))
        assert found.record.name == "_dmarc.example.org"
        assert found.record.value == "v=DMARC1; p=none; rua=mailto:news@example.org"

    def test_two_count_as_none(self, look: Look) -> None:
        assert "several" in only(look(dmarc("v=DMARC1; p=none", "v=DMARC1; p=reject"))).message

    @pytest.mark.parametrize("text", ["v=DMARC1; p=nonsense", "v=DMARC1"])
    def test_one_that_cannot_be_used_is_shown(self, look: Look, text: str) -> None:
        assert text in only(look(dmarc(text))).message

    @pytest.mark.parametrize("text", ["V=DMARC1; p=reject", "p=reject; v=DMARC1"])
    def test_one_that_does_not_begin_as_it_must_is_none(self, look: Look, text: str) -> None:
        assert "has no DMARC record" in only(look(dmarc(text))).message

    def test_the_words_are_read_in_any_case_and_spacing(self, look: Look) -> None:
        findings = look(dmarc("v = DMARC1 ; P = Reject;rua=MAILTO:a@example.org!10m"))
        assert "example.org has the policy p=reject; reports go to a@example.org." in [f.message for f in findings]

    def test_reports_are_wanted(self, look: Look) -> None:
        found = only(look(dmarc("v=DMARC1; p=none;")), Level.WARN)
        assert found.record.value == "v=DMARC1; p=none; rua=mailto:news@example.org"

    def test_a_wrong_address_for_reports_is_replaced(self, look: Look) -> None:
        found = only(look(dmarc("v=DMARC1; p=none; rua=reports")), Level.WARN)
        assert found.record.value == "v=DMARC1; p=none; rua=mailto:news@example.org"

    def test_reports_are_proposed_to_where_nobody_has_to_be_asked(self, look: Look) -> None:
        alerts = {"to": ["chair@elsewhere.example", "office@example.org"]}
        found = only(look(dmarc("v=DMARC1; p=none"), config=the_config(alerts=alerts)), Level.WARN)
        assert found.record.value == "v=DMARC1; p=none; rua=mailto:office@example.org"

    def test_reports_elsewhere_must_be_permitted_there(self, look: Look) -> None:
        elsewhere = dmarc("v=DMARC1; p=none; rua=mailto:us@reports.example")
        found = only(look(elsewhere), Level.WARN)
        assert found.record.name == "example.org._report._dmarc.reports.example"
        permitted = {("example.org._report._dmarc.reports.example", "TXT"): ["v=DMARC1"]}
        assert [f for f in look({**elsewhere, **permitted}) if f.fix] == []

    def test_test_mode_is_warned_of(self, look: Look) -> None:
        found = only(look(dmarc("v=DMARC1; p=reject; t=y; rua=mailto:a@example.org")), Level.WARN)
        assert "quarantine" in found.message

    def test_strict_alignment_wants_the_same_domain(self, look: Look) -> None:
        strict = dmarc("v=DMARC1; p=reject; aspf=s; rua=mailto:a@example.org")
        findings = look(strict)
        assert "not aligned" in only(findings, Level.WARN).message
        assert "A receiver finds: pass, by DKIM." in [f.message for f in findings]

    def test_nothing_aligned_is_a_failure_that_says_what_receivers_do(self, look: Look) -> None:
        signing = Signing(enabled=True, domain="other.example", keys=SIGNING.keys)
        config = the_config(bounces={"domain": "bounces.provider.example"})
        names = {
            ("bounces.provider.example", "TXT"): ["v=spf1 a:mail.example.net -all"],
            ("bounces.provider.example", "MX"): ["10 mx.example.org."],
        }
        findings = look(names, config=config, signing=signing)
        found = only(findings)
        assert "It is asked to refuse it (p=reject)" in found.message

    def test_a_subdomain_takes_the_policy_of_the_organisation(self, look: Look) -> None:
        config = the_config(organisation={"from_address": "news@letters.example.org"})
        findings = look(
            {**dmarc("v=DMARC1; p=reject; sp=quarantine; np=none; rua=mailto:a@example.org"),
             ("letters.example.org", "MX"): ["10 mx.example.org."]},
            config=config,
        )  # fmt: skip
        said = "letters.example.org has the policy sp=quarantine, from example.org; reports go to a@example.org."
        assert said in [f.message for f in findings]
        assert "A receiver finds: pass, by SPF and DKIM." in [f.message for f in findings]
        gone = look(dmarc("v=DMARC1; p=reject; sp=quarantine; np=none; rua=mailto:a@example.org"), config=config)
        assert any("np=none" in f.message for f in gone)

    def test_a_server_failure_is_no_verdict(self, look: Look) -> None:
        found = [f for f in look(failing=("_dmarc.example.org",)) if f.check == "DMARC"]
        assert [(f.level, "does not answer" in f.message) for f in found] == [(Level.WARN, True)]


class TestArrival:
    def test_no_mx_at_all_is_a_failure(self, look: Look) -> None:
        found = only(look({("bounces.example.org", "MX"): []}))
        assert found.record.value == "10 mx.example.org."  # which takes the replies already
        none_at_all = {("bounces.example.org", "MX"): [], ("example.org", "MX"): []}
        values = [f.record.value for f in look(none_at_all) if f.check == "MX" and f.record]
        assert values == [f"10 {RELAY}."] * 2

    def test_an_address_alone_is_a_warning(self, look: Look) -> None:
        found = only(look({("example.org", "MX"): []}), Level.WARN)
        assert "replies" in only(look({("example.org", "MX"): [], ("example.org", "A"): []})).message
        assert "no MX" in found.message

    def test_a_null_mx_is_a_failure(self, look: Look) -> None:
        assert "takes no mail" in only(look({("example.org", "MX"): ["0 ."]})).message

    def test_a_domain_that_does_not_exist_is_a_failure(self, look: Look) -> None:
        config = the_config(organisation={"reply_to": "office@gone.example"})
        assert "gone.example does not exist" in only(look(config=config)).message

    def test_mail_servers_without_an_address_are_named(self, look: Look) -> None:
        assert "mx2.example.org" in only(look(without=("mx2.example.org",)), Level.WARN).message
        findings = look(without=("mx2.example.org", "mx.example.org"))
        assert {f.check for f in findings if f.level is Level.FAIL} == {"MX"}

    def test_an_alias_as_mail_server_is_warned_of(self, look: Look) -> None:
        alias = {("mx2.example.org", "AAAA"): [], ("mx2.example.org", "CNAME"): ["mx.example.org."]}
        found = only(look(alias), Level.WARN)
        assert found.record.value == "10 mx.example.org."

    def test_an_address_as_mail_server_is_a_failure(self, look: Look) -> None:
        assert "must be a name" in only(look({("example.org", "MX"): ["10 192.0.9.10."]})).message

    def test_a_server_failure_is_no_verdict(self, look: Look) -> None:
        found = [f for f in look(failing=("example.org",)) if f.check == "MX"]
        assert [f.level for f in found] == [Level.OK, Level.WARN]


class TestLookup:
    def test_a_silent_server_costs_seconds_not_minutes(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            lookup = Lookup(NameServer("127.0.0.1", silent.getsockname()[1]), timeout_seconds=0.1)
            findings = [f for task in dns_tasks(the_config(), lookup, SIGNING) for f in task()]
            asked = 0
            silent.setblocking(False)
            while True:
                try:
                    silent.recv(512)
                    asked += 1
                except BlockingIOError:
                    break
        assert {f.level for f in findings} == {Level.WARN}
        assert {f.check for f in findings} == {"SPF", "DKIM", "DMARC", "MX"}
        assert asked <= 6  # three questions, each asked twice at most

    def test_answers_are_kept(self) -> None:
        with DnsServer(GOOD) as server:
            lookup = Lookup(NameServer("127.0.0.1", server.port))
            assert lookup("Example.ORG.", "A") == lookup("example.org", "A") == Answer(Status.FOUND, ("192.0.9.80",))
            assert server.queries == [("example.org", "A")]

    def test_no_name_and_no_record_are_told_apart(self) -> None:
        with DnsServer(GOOD, failing=["broken.example.org"]) as server:
            lookup = Lookup(NameServer("127.0.0.1", server.port))
            assert lookup("none.example.org", "A").status is Status.NO_NAME
            assert lookup("mx.example.org", "TXT").status is Status.NO_RECORD
            assert lookup("broken.example.org", "A").status is Status.FAILED
            assert lookup(f"{'x' * 64}.example.org", "A").status is Status.FAILED

    @pytest.mark.parametrize(
        ("text", "server"),
        [
            ("9.9.9.9", NameServer("9.9.9.9")),
            ("127.0.0.1:5353", NameServer("127.0.0.1", 5353)),
            ("2620:fe::fe", NameServer("2620:fe::fe")),
            ("[2620:fe::fe]:53", NameServer("2620:fe::fe")),
            ("[::1]", NameServer("::1")),
        ],
    )
    def test_a_name_server_is_read(self, text: str, server: NameServer) -> None:
        assert read_name_server(text) == server

    @pytest.mark.parametrize("text", ["", "dns.example", "9.9.9.9:0", "9.9.9.9:x", "1.2.3.4:99999", "::1:53:"])
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidValue, match="name server"):
            read_name_server(text)


def test_nothing_is_asked_of_a_domain_that_is_not_filled_in() -> None:
    config = smallest_config(organisation={"from_address": "news@your-domain.invalid"})

    def never(_name: str, _kind: str) -> Answer:
        raise AssertionError("asked")

    [task] = dns_tasks(config, never, Signing())
    assert [f.check for f in task()] == ["DNS"]
