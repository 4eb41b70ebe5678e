"""`newsletter dkim`, tried as a person would: from no keys to a second pair."""

from __future__ import annotations

import json
from pathlib import Path

import dns.resolver
import pytest

from newsletter.cli.main import main
from tests.peers.dns import DnsServer


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    assert run("init", ".", "--from-address", "news@example.org")[0] == 0
    return run


def switch_on(tmp_path: Path, *lines: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(path.read_text().partition("\n[dkim]")[0] + "\n[dkim]\nenabled = true\n" + "\n".join(lines) + "\n")


def test_keygen_prints_records_that_can_be_pasted_into_a_zone(run):
    code, out, err = run("dkim", "keygen", "--selector", "one")
    assert code == 0
    assert "example.org" in err
    assert "enabled = true" in err
    assert "selector" not in err
    records = {}
    for entry in out.replace("(\n", "").replace(" )", "").replace("\n  ", " ").splitlines():
        name, _, value = entry.partition(". IN TXT ")
        records[(name, "TXT")] = [value.strip()]
    with DnsServer(records) as server:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
        for wanted in json.loads(run("dkim", "show", "--json")[1]):
            (found,) = resolver.resolve(wanted["name"], "TXT")
            assert b"".join(found.strings).decode() == wanted["value"]
            assert [string.decode() for string in found.strings] == wanted["strings"]


def test_keygen_as_json_names_what_goes_where(run):
    code, out, _ = run("dkim", "keygen", "--domain", "Example.COM.", "--json")
    rsa, ed25519 = json.loads(out)
    assert code == 0
    assert rsa["domain"] == "example.com"
    assert rsa["name"] == f"{rsa['selector']}._domainkey.example.com"
    assert rsa["value"].startswith("v=DKIM1; k=rsa; p=")
    assert ed25519["value"].startswith("v=DKIM1; k=ed25519; p=")


def test_a_second_pair_signs_nothing_before_it_is_named(run, tmp_path):
    run("dkim", "keygen", "--selector", "one")
    switch_on(tmp_path)
    assert "signed by 'one'" in run("dkim", "show")[2]
    code, _, err = run("dkim", "keygen", "--selector", "two")
    assert code == 1
    assert 'selector = "one"' in err
    assert not list((tmp_path / "secrets").glob("*two*"))
    switch_on(tmp_path, 'selector = "one"')
    code, _, err = run("dkim", "keygen", "--selector", "two")
    assert code == 0
    assert 'selector = "two"' in err
    assert "signed by 'one'" in run("dkim", "show")[2]
    switch_on(tmp_path, 'selector = "two"')
    _, out, err = run("dkim", "show")
    assert "signed by 'two'" in err
    assert out.count("_domainkey") == 4
    assert run("dkim", "show", "one")[1].count("_domainkey") == 2


def test_show_says_when_nothing_signs_and_why(run, tmp_path):
    assert "no DKIM keys" in run("dkim", "show")[2]
    run("dkim", "keygen")
    assert "dkim.enabled is false" in run("dkim", "show")[2]
    switch_on(tmp_path, 'selector = "other"')
    assert "no keys of that name" in run("dkim", "show")[2]
    code, _, err = run("dkim", "show", "other")
    assert (code, "'other'" in err) == (1, True)


def test_the_domain_must_be_known(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words, code in ((("init", "."), 0), (("dkim", "keygen"), 1)):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert int(ended.value.code or 0) == code
    assert "--domain" in capsys.readouterr().err
    assert not list((tmp_path / "secrets").glob("*.pem"))


def test_a_domain_that_is_none_is_refused_before_a_key_is_made(run, tmp_path):
    code, _, err = run("dkim", "keygen", "--domain", "no domain")
    assert (code, "'no domain' is no domain" in err) == (2, True)
    assert not list((tmp_path / "secrets").glob("*.pem"))


def test_doctor_tells_when_others_can_read_a_key(run, tmp_path):
    run("dkim", "keygen", "--selector", "one")
    (tmp_path / "secrets" / "dkim-one-rsa.pem").chmod(0o644)
    assert "dkim-one-rsa.pem" in "".join(run("doctor")[1].split())


def test_doctor_finds_the_records_that_were_published_or_says_what_to_publish(run, tmp_path):
    records = json.loads(run("dkim", "keygen", "--selector", "one", "--json")[1])
    switch_on(tmp_path)
    with DnsServer({}) as server:
        asked = f"127.0.0.1:{server.port}"
        said = run("doctor", "--resolver", asked, "--json")[1]
        findings = [finding for finding in json.loads(said) if finding["check"] == "DKIM"]
        assert [finding["level"] for finding in findings] == ["fail", "fail"]
        assert [finding["record"]["value"] for finding in findings] == [record["value"] for record in records]
        server.records = {(record["name"], "TXT"): [record["value"]] for record in records}
        said = run("doctor", "--resolver", asked, "--json")[1]
        findings = [finding for finding in json.loads(said) if finding["check"] == "DKIM"]
        assert [finding["level"] for finding in findings] == ["ok", "ok"]


def test_doctor_says_without_any_dns_that_there_are_no_keys(run, tmp_path):
    switch_on(tmp_path)
    findings = json.loads(run("doctor", "--json")[1])
    (found,) = (finding for finding in findings if finding["check"] == "DKIM")
    assert found["level"] == "fail"
    assert "newsletter dkim keygen" in found["fix"]
