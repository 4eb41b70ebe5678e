"""The DNS server of the tests answers as a real one would."""

from __future__ import annotations

import dns.resolver
import pytest

from tests.peers.dns import DnsServer

LONG = "v=DKIM1; k=rsa; p=" + "A" * 700
RECORDS = {
    ("example.org", "TXT"): ["v=spf1 -all", '"one " "two"'],
    ("key._domainkey.example.org", "TXT"): [LONG],
    ("example.org", "MX"): ["10 mx.example.org."],
    ("alias.example.org", "CNAME"): ["mx.example.org."],
    ("mx.example.org", "A"): ["127.0.0.1"],
}


@pytest.fixture
def resolver():
    with DnsServer(RECORDS, failing=["broken.example.org"]) as server:
        found = dns.resolver.Resolver(configure=False)
        found.nameservers, found.port, found.lifetime = ["127.0.0.1"], server.port, 5
        found.server = server
        yield found


def test_a_text_is_given_as_written_or_as_strings(resolver):
    texts = {b"".join(rdata.strings) for rdata in resolver.resolve("Example.ORG", "TXT")}
    assert texts == {b"v=spf1 -all", b"one two"}
    assert resolver.server.queries == [("example.org", "TXT")]


@pytest.mark.parametrize("tcp", [False, True])
def test_a_long_text_comes_whole_over_either_protocol(resolver, tcp):
    """Over UDP it does not fit into 512 bytes: the answer says so, and the client asks again."""
    (rdata,) = resolver.resolve("key._domainkey.example.org", "TXT", tcp=tcp)
    assert b"".join(rdata.strings).decode() == LONG
    assert len(resolver.server.queries) == (1 if tcp else 2)


def test_an_alias_is_followed(resolver):
    assert [rdata.address for rdata in resolver.resolve("alias.example.org", "A")] == ["127.0.0.1"]


def test_no_such_name_no_such_record_and_a_failure_are_told_apart(resolver):
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver.resolve("none.example.org", "A")
    for name in ("example.org", "_domainkey.example.org"):
        with pytest.raises(dns.resolver.NoAnswer):
            resolver.resolve(name, "A")
    with pytest.raises(dns.resolver.NoNameservers):
        resolver.resolve("broken.example.org", "A")
