"""Find the workspace, read the configuration and say where each value came from; every problem is told at once."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from newsletter.config import Config
from newsletter.errors import ConfigError, ConfigProblem, WorkspaceError
from newsletter.paths import Workspace

PREFIX = "NEWSLETTER__"


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The configuration, and for each key that was given its origin: the file or the variable."""

    config: Config
    origins: Mapping[str, str]


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
    values, problems = _read_file(path)
    origins = {key: str(path) for key in _leaves(values)}
    for key, value, variable, problem in _from_environment(environ):
        if problem:
            problems.append(ConfigProblem(variable, key, problem))
            continue
        _put(values, key.split("."), value)
        origins[key] = variable
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += [_problem(e, origins, path) for e in error.errors()]
    if problems:
        raise ConfigError(problems)
    return LoadedConfig(config, origins)


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Yield every key a file may hold, dotted."""
    for name, info in model.model_fields.items():
        nested = next((t for t in _types(info.annotation) if isinstance(t, type) and issubclass(t, BaseModel)), None)
        yield prefix + name
        if nested is not None:
            yield from known_keys(nested, f"{prefix}{name}.")


def _types(annotation: Any) -> list[Any]:
    inner = getattr(annotation, "__args__", ())
    return [annotation, *(t for a in inner for t in _types(a))]


def _read_file(path: Path) -> tuple[dict[str, Any], list[ConfigProblem]]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), []
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([ConfigProblem(str(path), "syntax", str(error))]) from None
    except UnicodeDecodeError:
        raise ConfigError([ConfigProblem(str(path), "encoding", "the file is not UTF-8")]) from None


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Any, str, str]]:
    known = set(known_keys())
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX):
            continue
        key = variable.removeprefix(PREFIX).lower().replace("__", ".")
        if key.endswith("_file") and key not in known and key.removesuffix("_file") in known:
            try:
                yield key.removesuffix("_file"), Path(text).read_text(encoding="utf-8").strip(), variable, ""
            except OSError as error:
                yield key, None, variable, f"{text} cannot be read: {error.strerror}"
            continue
        yield key, _value(text), variable, ""


def _value(text: str) -> Any:
    if text[:1] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _problem(error: Any, origins: Mapping[str, str], path: Path) -> ConfigProblem:
    key = ".".join(str(part) for part in error["loc"])
    origin = origins.get(key, str(path))
    plain = ".".join(str(part) for part in error["loc"] if not isinstance(part, int))
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(plain, list(known_keys()), n=1, cutoff=0.5)
        return ConfigProblem(origin, key, "is no key of this program.", f"Did you mean {near[0]}?" if near else "")
    if error["type"] == "missing":
        return ConfigProblem(origin, key, "is missing and has no default.")
    return ConfigProblem(origin, key, f"{error['msg']}.")
