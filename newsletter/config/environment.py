"""Lay ``NEWSLETTER__GROUP__KEY`` variables over the values of the file; a variable never replaces a value silently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from newsletter.config.keys import annotation_of, is_list, known_keys, nested_model, plain_key
from newsletter.errors import ConfigProblem

PREFIX = "NEWSLETTER__"
FILE_SUFFIX = "_file"


def read_environment(
    environ: Mapping[str, str], values: dict[str, Any], origins: dict[str, str]
) -> list[ConfigProblem]:
    """
    Put each variable's value into *values* and its name into *origins*.

    Returns:
        What could not be used: an unreadable ``_FILE``, a value given twice, a key below something that is no table.
    """
    known = set(known_keys())
    problems = []
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX):
            continue
        key = variable.removeprefix(PREFIX).lower().replace("__", ".")
        try:
            if _names_a_file(key, known):
                key = key.removesuffix(FILE_SUFFIX)
                _refuse_twice(key, origins)
                text = _content(Path(text))
            _put(values, key.split("."), _value(key, text))
        except ValueError as error:
            problems.append(ConfigProblem(variable, key, str(error)))
        else:
            origins[key] = variable
    return problems


def _names_a_file(key: str, known: set[str]) -> bool:
    plain = plain_key(key)
    return plain.endswith(FILE_SUFFIX) and plain not in known and plain.removesuffix(FILE_SUFFIX) in known


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is not UTF-8.") from None


def _refuse_twice(key: str, origins: Mapping[str, str]) -> None:
    if origins.get(key, "").startswith(PREFIX):
        raise ValueError(f"is given twice: here and in {origins[key]}. Keep one.")


def _value(key: str, text: str) -> Any:
    """Read a list or table from JSON; a list of plain values may also be written with commas."""
    plain = plain_key(key)
    if text[:1] in ("[", "{") and (is_list(plain) or nested_model(annotation_of(plain)) is not None):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"is no valid JSON: {error}.") from None
    if is_list(plain) and nested_model(annotation_of(plain)) is None:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _put(values: Any, path: list[str], value: Any) -> None:
    for depth, name in enumerate(path[:-1]):
        values = _inside(values, name, ".".join(path[:depth]))
    name = path[-1]
    if isinstance(values, list):
        values[_position(values, name, ".".join(path[:-1]))] = value
    elif isinstance(values, dict):
        values[name] = value
    else:
        raise ValueError(f"{'.'.join(path[:-1])} is no table, so it holds no keys.")


def _inside(values: Any, name: str, place: str) -> Any:
    if isinstance(values, list):
        return values[_position(values, name, place)]
    if not isinstance(values, dict):
        raise ValueError(f"{place} is no table, so it holds no keys.")
    return values.setdefault(name, {})


def _position(values: list[Any], name: str, place: str) -> int:
    if not name.isdigit() or int(name) >= len(values):
        raise ValueError(f"{place} has {len(values)} entries, counted from 0; there is no '{name}'.")
    return int(name)
