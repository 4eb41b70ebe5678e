"""The configuration refuses what cannot work, tells all problems at once, and never shows a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.config.keys import known_keys
from newsletter.config.loading import LoadedConfig, find_workspace, load_config, shown_values
from newsletter.config.settings import Config
from newsletter.errors import ConfigError, WorkspaceError
from newsletter.send.patience import patiences

SMALLEST = """
[organisation]
name = "Example Network"
postal_address = "1 High Street, Dudley DY1 1AA"
from_address = "news@example.org"
{organisation}
[smtp]
host = "127.0.0.1"
{smtp}
[web]
url = "https://news.example.org"
{web}
{more}
"""


@pytest.fixture
def load(tmp_path: Path):
    """Write a configuration, lay an environment over it, load it."""

    def load(environ: dict[str, str] | None = None, *, mode: int = 0o600, **parts: str) -> LoadedConfig:
        path = tmp_path / "config.toml"
        path.write_text(SMALLEST.format_map({"organisation": "", "smtp": "", "web": "", "more": "", **parts}))
        path.chmod(mode)
        return load_config(path, environ or {})

    return load


def problems(load, environ: dict[str, str] | None = None, **parts: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(environ, **parts)
    return {p.key: f"{p.origin}|{p.message} {p.hint}" for p in caught.value.problems}


def test_the_smallest_file_that_sends_loads(load) -> None:
    config = load().config
    assert config.smtp.tls_mode == "none"
    assert config.bounce_domain == "example.org"


def test_all_problems_are_told_at_once_each_with_file_and_key(load) -> None:
    found = problems(
        load,
        organisation='timezone = "Europe/Londn"\nnam = "x"',
        smtp='port = "many"\ntls = "sometimes"',
        web="port = 70000",
        more="[isue]\napproval = 'single'",
    )
    assert set(found) == {
        "organisation.timezone", "organisation.nam", "smtp.port", "smtp.tls", "web.port", "isue",
    }  # fmt: skip
    assert all("config.toml" in text for text in found.values())
    assert "whole number, not 'many'" in found["smtp.port"]


@pytest.mark.parametrize(
    ("part", "text", "nearest"),
    [
        ("smtp", 'hots = "x"', "smtp.host"),
        ("smtp", 'from_address = "x"', "organisation.from_address"),
        ("more", "[isue]\n", "issue"),
        ("more", "[send]\ngive_up_after = 3", "send.give_up_after_hours"),
    ],
)
def test_an_unknown_key_names_the_nearest(load, part: str, text: str, nearest: str) -> None:
    assert f"Did you mean {nearest}?" in next(iter(problems(load, **{part: text}).values()))


def test_a_missing_table_names_the_keys_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[smtp]\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert {p.key for p in caught.value.problems} == {
        "organisation.name", "organisation.postal_address", "organisation.from_address", "web.url",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"NEWSLETTER__ORGANISATION__FROM_ADDRESS": "news at example.org"}, "organisation.from_address"),
        ({"NEWSLETTER__ORGANISATION__NAME": "two\nlines"}, "organisation.name"),
        ({"NEWSLETTER__ORGANISATION__LANGUAGE": "English, mostly"}, "organisation.language"),
        ({"NEWSLETTER__WEB__URL": "http://news.example.org"}, "web.url"),
        ({"NEWSLETTER__WEB__URL": "https://news.example.org/?a=b"}, "web.url"),
        ({"NEWSLETTER__WEB__URL": "news.example.org"}, "web.url"),
        ({"NEWSLETTER__WEB__BIND": "everywhere"}, "web.bind"),
        ({"NEWSLETTER__SMTP__HOST": "mail.example.org:25"}, "smtp.host"),
        ({"NEWSLETTER__SEND__WINDOW": '{"start": "8 o\'clock"}'}, "send.window.start"),
        ({"NEWSLETTER__SEND__WINDOW": '{"start": "18:00", "end": "08:00"}'}, "send.window"),
        ({"NEWSLETTER__ALERTS__TO": "chair@example.org, nobody"}, "alerts.to.1"),
        ({"NEWSLETTER__DATABASE__URL": "mysql://x"}, "database.url"),
        ({"NEWSLETTER__ISSUE__SECTIONS": "[1"}, "issue.sections"),
        ({"NEWSLETTER__BOUNCES__DOMAIN": "-x-.org"}, "bounces.domain"),
        ({"NEWSLETTER__SMTP": "127.0.0.1"}, "smtp"),
        ({"NEWSLETTER__SMTP__HOST__NAME": "x"}, "smtp.host.name"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_its_variable(load, environ: dict[str, str], key: str) -> None:
    found = problems(load, environ)
    assert key in found
    assert found[key].startswith(next(iter(environ)) + "|")


def test_a_section_named_twice_is_refused(load) -> None:
    section = '[[issue.sections]]\nname = "news"\ntitle = "News"\nkinds = ["post"]\n'
    assert "'news' is there twice" in problems(load, more=section * 2)["issue.sections"]


def test_a_user_without_a_password_is_refused(load) -> None:
    assert "belong together" in problems(load, {"NEWSLETTER__SMTP__USERNAME": "me"})["smtp"]


def test_a_password_is_not_sent_in_clear_to_another_machine(load) -> None:
    environ = {"NEWSLETTER__SMTP__HOST": "mail.example.org", "NEWSLETTER__SMTP__TLS": "none"}
    environ |= {"NEWSLETTER__SMTP__USERNAME": "me", "NEWSLETTER__SMTP__PASSWORD": "canary"}
    found = problems(load, environ)
    assert "password" in found["smtp"]
    assert "canary" not in str(found)


def test_numbers_and_lists_come_from_the_environment(load) -> None:
    loaded = load(
        {
            "NEWSLETTER__SMTP__PORT": "2525",
            "NEWSLETTER__ALERTS__TO": "a@example.org, b@example.org",
            "NEWSLETTER__ISSUE__DEFAULT_LISTS": '["members"]',
        }
    )
    assert loaded.config.smtp.port == 2525
    assert loaded.config.alerts.to == ("a@example.org", "b@example.org")
    assert loaded.config.issue.default_lists == ("members",)
    assert loaded.origin("smtp.port") == "NEWSLETTER__SMTP__PORT"
    assert loaded.origin("smtp.host").endswith("config.toml")
    assert loaded.origin("smtp.connections") == "default"


def test_one_account_of_several_takes_its_password_from_a_file(load, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    accounts = '[[smtp.accounts]]\nname = "main"\nhost = "mail.example.org"\nusername = "me"\n'
    loaded = load({"NEWSLETTER__SMTP__ACCOUNTS__0__PASSWORD_FILE": str(secret)}, more=accounts)
    assert loaded.config.smtp.all_accounts[0].password.get_secret_value() == "s3cret"
    assert "has 1 entries" in str(problems(load, {"NEWSLETTER__SMTP__ACCOUNTS__1__PORT": "1"}, more=accounts))


def test_a_file_variable_that_cannot_be_read_or_stands_twice_is_told(load, tmp_path: Path) -> None:
    missing = problems(load, {"NEWSLETTER__SMTP__PASSWORD_FILE": str(tmp_path / "none")})
    assert "cannot be read" in missing["smtp.password"]
    (tmp_path / "secret").write_text("x")
    twice = {"NEWSLETTER__SMTP__PASSWORD_FILE": str(tmp_path / "secret"), "NEWSLETTER__SMTP__PASSWORD": "y"}
    assert "given twice" in problems(load, twice)["smtp.password"]


def test_a_secret_in_a_file_that_others_can_read_is_refused_with_the_fix(load) -> None:
    secret = 'username = "me"\npassword = "canary"'
    assert "chmod 600" in problems(load, smtp=secret, mode=0o644)["smtp.password"]
    assert load(smtp=secret, mode=0o600).config.smtp.username == "me"
    url = '[database]\nurl = "postgresql+psycopg://me:canary@db/news"'
    assert "chmod 600" in problems(load, more=url, mode=0o640)["database.url"]
    hook = '[[bounces.webhooks]]\nprovider = "mailgun"\nsecret = "canary"\npath_secret = "canary-canary-canary-canary"'
    told = problems(load, more=hook, mode=0o640)
    assert "chmod 600" in told["bounces.webhooks.0.secret"]
    assert "chmod 600" in told["bounces.webhooks.0.path_secret"]
    assert "canary" not in str(told)
    assert load(mode=0o644)


def test_what_is_wrong_with_a_secret_is_told_without_it(load) -> None:
    hook = '[[bounces.webhooks]]\nprovider = "mailgun"\nsecret = 1234567\npath_secret = "canary"'
    told = problems(load, more=hook)
    assert set(told) == {"bounces.webhooks.0.secret", "bounces.webhooks.0.path_secret"}
    assert "openssl" in told["bounces.webhooks.0.path_secret"]
    assert "canary" not in str(told)
    assert "1234567" not in str(told)


def test_a_webhooks_secret_may_stand_in_a_file(load, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key-1\n")
    environ = {"NEWSLETTER__BOUNCES__WEBHOOKS__0__SECRET_FILE": str(tmp_path / "secret")}
    loaded = load(environ, more='[[bounces.webhooks]]\nprovider = "mailgun"')
    assert loaded.config.bounces.webhooks[0].secret.get_secret_value() == "key-1"


def test_no_secret_is_ever_shown(load) -> None:
    loaded = load(
        smtp='username = "me"\npassword = "canary"',
        more='[database]\nurl = "postgresql+psycopg://me:canary@db/news"\n'
        '[[smtp.accounts]]\nname = "a"\nusername = "me"\npassword = "canary"',
    )
    shown = dict(shown_values(loaded.config))
    assert shown["smtp.password"] == "***"
    assert "canary" not in str(shown)
    assert "canary" not in repr(loaded)


def test_every_leaf_is_shown(load) -> None:
    shown = {key for key, _ in shown_values(load().config)}
    tables = {"organisation", "smtp", "web", "send", "issue", "digest", "discreet", "bounces", "bounces.policy", "dkim"}
    tables |= {"alerts", "database", "archive", "signup", "log", "metrics", "retention"}
    in_lists = ("smtp.accounts.", "send.domains.", "send.window.", "issue.sections.", "attributes.")
    in_lists += ("bounces.mailboxes.", "bounces.receiver.", "bounces.lists.", "bounces.webhooks.")
    assert shown == {k for k in known_keys() if not k.startswith(in_lists)} - tables


def test_what_init_could_not_know_is_named_and_nothing_else(load) -> None:
    values = {
        "NEWSLETTER__ORGANISATION__POSTAL_ADDRESS": "",
        "NEWSLETTER__ORGANISATION__FROM_ADDRESS": "newsletter@your-domain.invalid",
        "NEWSLETTER__WEB__URL": "https://your-domain.invalid/",
    }
    config: Config = load(values).config
    assert config.unfinished == ("organisation.postal_address", "organisation.from_address", "web.url")
    assert config.web.url == "https://your-domain.invalid"
    assert load().config.unfinished == ()


@pytest.mark.parametrize("content", [b"[organisation\n", b"\xff\xfe[", b"a = 1\na = 2\n"])
def test_a_file_that_is_no_toml_is_told_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load_config(path, {})


def test_the_nearest_workspace_upwards_is_used(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_workspace(None, None, {}, below)[0].root == tmp_path.resolve()
    with pytest.raises(WorkspaceError, match="no configuration file"):
        find_workspace(below, None, {}, tmp_path)
    elsewhere = tmp_path / "a" / "other.toml"
    elsewhere.write_text("")
    assert find_workspace(None, None, {"NEWSLETTER_CONFIG": str(elsewhere)}, below)[1] == elsewhere


@pytest.mark.parametrize("domain", ["example.org", "news.example.org", "mail.news.example.org"])
def test_dkim_may_sign_for_a_domain_that_dmarc_aligns(load, domain: str) -> None:
    address = load(more=f'[dkim]\nenabled = true\ndomain = "{domain}"').config
    assert address.dkim_domain == domain


@pytest.mark.parametrize("domain", ["example.com", "org", "notexample.org", "example.org.evil.example"])
def test_dkim_for_a_foreign_domain_is_refused(load, domain: str) -> None:
    (found,) = problems(load, more=f'[dkim]\ndomain = "{domain}"').values()
    assert domain in found
    assert "from_address" in found


def test_dkim_is_off_and_signs_for_the_domain_of_from_unless_told(load) -> None:
    config = load().config
    assert (config.dkim.enabled, config.dkim_domain) == (False, "example.org")
    assert "selector" in problems(load, more='[dkim]\nselector = "Up.Per"')["dkim.selector"]


def test_a_window_that_holds_no_two_hard_reports_is_refused(load) -> None:
    found = problems(load, more="[bounces.policy]\nhard_days = 10\nhard_window_days = 9")
    assert "hard_window_days is below hard_days" in found["bounces.policy"]
    found = problems(load, more='[[bounces.lists]]\nlist = "members"\nhard_days = 10\nhard_window_days = 9')
    assert "hard_window_days is below hard_days" in str(found)


def test_a_list_may_have_a_window_of_its_own(load) -> None:
    more = '[bounces.policy]\nhard_window_days = 60\n[[bounces.lists]]\nlist = "quarterly"\nhard_window_days = 200'
    found = patiences(load(more=more).config)
    assert (found.usual.hard_window.days, found.by_list["quarterly"].hard_window.days) == (60, 200)
