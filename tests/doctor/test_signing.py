"""The doctor looks for the records of the very keys that would sign the next issue."""

from __future__ import annotations

from datetime import UTC, datetime

from newsletter.config.settings import Dkim
from newsletter.dkim_keys import DkimKeys
from newsletter.doctor.findings import Level
from newsletter.doctor.lookup import Lookup, NameServer
from newsletter.doctor.mail_domain import dns_tasks
from newsletter.doctor.signing import signing_of
from tests.peers.dns import DnsServer


def with_dkim(app):
    return app.config.model_copy(update={"dkim": Dkim(enabled=True)})


def test_the_records_that_keygen_prints_satisfy_the_doctor(app):
    config, keys = with_dkim(app), DkimKeys(app.workspace.secrets)
    keys.create(keys.unused_name(datetime(2026, 11, 1, tzinfo=UTC)))
    records = {(r.name, "TXT"): [r.value] for r in keys.records(keys.names[0], "example.org")}
    assert len(records) == 2
    with DnsServer(records) as server:
        look = Lookup(NameServer("127.0.0.1", server.port))
        findings = dns_tasks(config, look, signing_of(config, app.workspace.secrets))[0]()
    assert [(f.check, f.level) for f in findings] == [("DKIM", Level.OK)] * len(findings)
    assert findings


def test_without_keys_or_switched_off_it_says_so(app):
    assert not signing_of(app.config, app.workspace.secrets).enabled
    missing = signing_of(with_dkim(app), app.workspace.secrets)
    assert missing.enabled
    assert "no keys" in missing.problem
    assert "newsletter dkim keygen" in missing.fix
