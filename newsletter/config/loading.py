"""Find the workspace, read the configuration and say where each value came from; every problem is told at once."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from newsletter.config.environment import read_environment
from newsletter.config.keys import known_keys, plain_key
from newsletter.config.settings import Config
from newsletter.errors import ConfigError, ConfigProblem, WorkspaceError
from newsletter.paths import Workspace

DEFAULT = "default"
SECRET_NAMES = ("password", "secret", "path_secret")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The configuration, and for each key that was given its origin: the file or the variable."""

    config: Config
    origins: Mapping[str, str]

    def origin(self, key: str) -> str:
        """Return where the value of *key* came from."""
        return next((self.origins[k] for k in (key, *_below(key, self.origins)) if k in self.origins), DEFAULT)


def find_workspace(
    workspace: Path | None, config: Path | None, environ: Mapping[str, str], here: Path
) -> tuple[Workspace, Path]:
    """
    Return the workspace and its configuration file.

    Raises:
        WorkspaceError: When there is none from *here* upwards.
    """
    named = config or (Path(environ["NEWSLETTER_CONFIG"]) if environ.get("NEWSLETTER_CONFIG") else None)
    if workspace is None:
        start = named.resolve().parent if named else here.resolve()
        workspace = next(
            (p for p in (start, *start.parents) if (p / "config.toml").is_file()), start if named else None
        )
    if workspace is None:
        raise WorkspaceError(
            f"There is no config.toml in {here} or above it.",
            hint="Make a workspace with `newsletter init DIR`, or name one with --workspace DIR.",
        )
    found = Workspace(workspace.resolve())
    path = named or found.config
    if not path.is_file():
        raise WorkspaceError(f"There is no configuration file {path}.", hint="Make one with `newsletter init DIR`.")
    return found, path


def load_config(path: Path, environ: Mapping[str, str]) -> LoadedConfig:
    """
    Read the file, lay the environment over it, check the whole.

    Raises:
        ConfigError: With every problem at once.
    """
    values = _read_file(path)
    origins = {key: str(path) for key in _leaves(values)}
    problems = _exposed_secrets(path, values)
    problems += read_environment(environ, values, origins)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += [p for e in error.errors(include_url=False) for p in _problems(e, origins, path)]
    if problems:
        raise ConfigError(problems)
    return LoadedConfig(config, origins)


def shown_values(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key of a configuration with its value, tables in depth, secrets as ``***``."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from shown_values(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _shown(value)


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    if isinstance(value, BaseModel):
        return {name: _shown(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, tuple):
        return [_shown(part) for part in value]
    return value


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([ConfigProblem(str(path), "syntax", str(error))]) from None
    except UnicodeDecodeError:
        raise ConfigError([ConfigProblem(str(path), "encoding", "the file is not UTF-8.")]) from None
    except OSError as error:
        raise WorkspaceError(f"The configuration {path} cannot be read: {error.strerror}.") from None


def _exposed_secrets(path: Path, values: Mapping[str, Any]) -> list[ConfigProblem]:
    if os.name != "posix" or not path.stat().st_mode & 0o077:
        return []
    fix = f"Run: chmod 600 {path}"
    return [
        ConfigProblem(str(path), key, "is a secret in a file that others can read.", fix)
        for key in secrets_among(values)
    ]


def secrets_among(values: Mapping[str, Any]) -> list[str]:
    """Return the keys of a configuration file whose values are secret."""
    return [key for key, value in _all_leaves(values) if _is_secret(key, value)]


def _is_secret(key: str, value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    if key == "database.url":
        authority = value.partition("://")[2].partition("/")[0]
        return ":" in authority.rpartition("@")[0] or "password=" in value
    return key.rpartition(".")[2] in SECRET_NAMES


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _all_leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _all_leaves(part, f"{prefix}.{name}" if prefix else name)
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _all_leaves(part, f"{prefix}.{number}")
    else:
        yield prefix, value


def _below(key: str, origins: Mapping[str, str]) -> Iterator[str]:
    return (known for known in origins if known.startswith(key + "."))


def _problems(error: Any, origins: Mapping[str, str], path: Path) -> Iterator[ConfigProblem]:
    key = ".".join(str(part) for part in error["loc"])
    origin = _origin_of(key, origins, path)
    if error["type"] == "extra_forbidden":
        yield ConfigProblem(origin, key, "is no key of this program.", _nearest(key))
    elif error["type"] == "missing":
        for needed in _required_below(key):
            yield ConfigProblem(origin, needed, "is missing and has no default.")
    else:
        yield ConfigProblem(origin, key or "configuration", in_words(error))


def _origin_of(key: str, origins: Mapping[str, str], path: Path) -> str:
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        found = origins.get(".".join(parts[:length]))
        if found:
            return found
    return next((origins[k] for k in _below(key, origins)), str(path))


def _nearest(key: str) -> str:
    plain, leaf = plain_key(key), key.rpartition(".")[2]
    known = list(known_keys())
    elsewhere = [k for k in known if k.rpartition(".")[2] == leaf]
    near = elsewhere or difflib.get_close_matches(plain, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]}?"
    table = plain.rpartition(".")[0]
    siblings = [k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == table]
    return f"Known here: {', '.join(siblings)}." if siblings else ""


def _required_below(key: str) -> list[str]:
    """Name what a missing table needs: its required keys rather than the table alone."""
    field = Config.model_fields.get(key)
    model = field.annotation if field else None
    if isinstance(model, type) and issubclass(model, BaseModel):
        needed = [f"{key}.{name}" for name, info in model.model_fields.items() if info.is_required()]
        return needed or [key]
    return [key]


_PLAIN_WORDS = {
    "int_parsing": "it should be a whole number",
    "int_from_float": "it should be a whole number",
    "float_parsing": "it should be a number",
    "bool_parsing": "it should be true or false",
}


def in_words(error: Any) -> str:
    """Say in a sentence what is wrong with one value; never what a secret is."""
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ValueError):
        text = str(cause)
    else:
        text = _PLAIN_WORDS.get(error["type"]) or str(error["msg"]).replace("Input should be", "it should be")
        if isinstance(error["input"], str | int | float) and error["loc"][-1] not in SECRET_NAMES:
            text += f", not {error['input']!r}"
    return text if text.endswith((".", "?")) else text + "."
