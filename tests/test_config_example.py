"""`config.example.toml` documents every key with its default, so it can never fall behind the program."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from newsletter.config.keys import known_keys, nested_model
from newsletter.config.loading import load_config
from newsletter.config.settings import DEFAULT_SECTIONS, Config

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
COMMENTED_OUT = re.compile(r"^# (?=\[|[a-z_]+ = )", re.M)
DEPENDS = {  # tls: `none` on loopback; said beside the key
    "smtp.tls": "required",
    "bounces.mailboxes.tls": "implicit",
    "attributes.kind": "text",
}


@pytest.fixture
def everything() -> dict[str, Any]:
    """The example with every commented key switched on."""
    values = tomllib.loads(COMMENTED_OUT.sub("", EXAMPLE.read_text()))
    values["bounces"]["mailboxes"][0].update(host="imap.example.org", username="bounces", password="canary")
    return values


def tables(values: Any, prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return every table with its dotted name; each entry of a list of tables counts."""
    found = []
    for name, value in values.items():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                found += [(prefix + name, entry), *tables(entry, f"{prefix}{name}.")]
    return found


def test_the_example_loads_as_it_stands() -> None:
    config = load_config(EXAMPLE, {}).config
    assert config.organisation.name == "Example Network"
    assert config.unfinished == ()


def test_the_example_loads_with_every_key_switched_on(everything: dict[str, Any]) -> None:
    everything["attributes"][0]["choices"] = ["Dudley"]
    Config.model_validate(everything)


def test_every_key_is_documented_and_no_other(everything: dict[str, Any]) -> None:
    documented = {f"{table}.{key}" for table, entry in tables(everything) for key in entry} | set(everything)
    accounts = {key for key in known_keys() if key.startswith("smtp.accounts.")}  # "each with the keys above"
    assert documented - set(known_keys()) == set()
    assert set(known_keys()) - documented - accounts == set()


def test_each_documented_value_is_the_default(everything: dict[str, Any]) -> None:
    checked = 0
    for table, entry in tables(everything):
        if table in ("smtp.accounts", "issue.sections"):
            continue
        for key, value in entry.items():
            if table == "bounces.mailboxes" and key in ("host", "username", "password"):
                continue  # which it cannot do without
            field = model_of(table).model_fields[key]
            if field.is_required() or nested_model(field.annotation):
                continue
            assert value == DEPENDS.get(f"{table}.{key}", plain(field.get_default())), f"{table}.{key}"
            checked += 1
    assert checked > 50


def test_the_documented_sections_are_the_default_ones(everything: dict[str, Any]) -> None:
    assert Config.model_validate(everything).issue.sections == DEFAULT_SECTIONS


@pytest.mark.parametrize("line", [x for x in EXAMPLE.read_text().splitlines() if re.match(r"# [a-z_]+(_\w+)? = \d", x)])
def test_a_number_says_its_unit_in_its_name_or_beside_it(line: str) -> None:
    name = line.split()[1]
    counts = {"port", "weight", "connections", "per_minute", "most"}
    assert "#" in line[2:] or name in counts or name.endswith(("_seconds", "_hours", "_minutes", "_per_connection"))


def model_of(table: str) -> type[BaseModel]:
    model: type[BaseModel] = Config
    for name in table.split("."):
        found = nested_model(model.model_fields[name].annotation)
        assert found is not None
        model = found
    return model


def plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return list(value) if isinstance(value, tuple) else value
