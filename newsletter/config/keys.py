"""The keys that a configuration may hold, read off the models, so that no second list can disagree with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from newsletter.config.settings import Config


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Yield every key a file may hold, dotted; a list of tables counts as a table."""
    for name, info in model.model_fields.items():
        nested = nested_model(info.annotation)
        yield prefix + name
        if nested is not None:
            yield from known_keys(nested, f"{prefix}{name}.")


def nested_model(annotation: Any) -> type[BaseModel] | None:
    """Return the table that an annotation holds, directly, optionally or as a list."""
    return next((t for t in _types(annotation) if isinstance(t, type) and issubclass(t, BaseModel)), None)


def is_list(key: str) -> bool:
    """Tell whether *key* (without list positions) takes several values."""
    annotation = annotation_of(key)
    return any(getattr(t, "__origin__", None) is tuple for t in _types(annotation))


def annotation_of(key: str) -> Any:
    """Return what a key holds, or None when there is no such key."""
    model: type[BaseModel] | None = Config
    annotation: Any = None
    for name in key.split("."):
        if model is None or name not in model.model_fields:
            return None
        annotation = model.model_fields[name].annotation
        model = nested_model(annotation)
    return annotation


def plain_key(key: str) -> str:
    """Return *key* without positions in lists: ``smtp.accounts.0.host`` -> ``smtp.accounts.host``."""
    return ".".join(part for part in key.split(".") if not part.isdigit())


def _types(annotation: Any) -> list[Any]:
    inner = getattr(annotation, "__args__", ())
    return [annotation, *(t for a in inner for t in _types(a))]
