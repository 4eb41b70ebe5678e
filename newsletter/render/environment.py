"""
Where templates come from: the workspace's overrides first, then what ships; sandboxed, strict about missing values.

Templates are an administrator's files. They are handed plain values only (str, int, dict, list), never objects.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from newsletter.errors import TemplateError
from newsletter.render.wrapping import wrapped

THEME_FILE = "email/theme.json"
WORDS_FILE = "email/words.json"


class Environment:
    """
    The templates, the theme's colours and the interface's words; read once, then safe to use from several threads.

    Raises:
        TemplateError: When the theme or the words are missing or no JSON.
    """

    def __init__(self, template_folders: Sequence[Path]) -> None:
        self._folders = tuple(template_folders)
        self._jinja = _compiled_templates(self._folders)
        self.theme: dict[str, Any] = self._json(THEME_FILE)
        self._words: dict[str, dict[str, str]] = self._json(WORDS_FILE)

    def words(self, language: str) -> dict[str, str]:
        """Return the interface's words in *language*; what is not translated is English."""
        return {**self._words["en"], **self._words.get(language.partition("-")[0].lower(), {})}

    def is_translated(self, language: str) -> bool:
        return language.partition("-")[0].lower() in self._words

    def has(self, template: str) -> bool:
        """Return whether one of the folders holds this template."""
        return any((folder / template).is_file() for folder in self._folders)

    def render(self, template: str, **values: object) -> str:
        """
        Render one template.

        Raises:
            TemplateError: With file, line and cause.
        """
        try:
            return self._jinja.get_template(template).render(**values)
        except jinja2.TemplateNotFound as error:
            raise TemplateError(f"The template {error.name} is in none of: {self._looked_in}.") from None
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(
                f"{error.filename or error.name}, line {error.lineno}: {error.message}",
                hint="Mend the template, or take your own version away to use the one that ships.",
            ) from None
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise TemplateError(f"{self._where(error, template)}: {error}") from error

    @property
    def _looked_in(self) -> str:
        return ", ".join(str(folder) for folder in self._folders)

    def _where(self, error: Exception, template: str) -> str:
        """Name the innermost template file and line that the error passed through."""
        found, trace = template, error.__traceback__
        while trace is not None:
            file = trace.tb_frame.f_code.co_filename
            if file.endswith((".j2", ".css")):
                found = f"{file}, line {trace.tb_lineno}"
            trace = trace.tb_next
        return found

    def _json(self, name: str) -> dict[str, Any]:
        """Lay the workspace's keys over those that ship, so that an override may hold one colour only."""
        merged: dict[str, Any] = {}
        found = [folder / name for folder in reversed(self._folders) if (folder / name).is_file()]
        if not found:
            raise TemplateError(f"The template {name} is in none of: {self._looked_in}.")
        for path in found:
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
                merged |= {k: {**merged.get(k, {}), **v} if isinstance(v, dict) else v for k, v in values.items()}
            except (OSError, ValueError, AttributeError, TypeError) as error:
                raise TemplateError(f"{path} cannot be read: {error}") from None
        return merged


@lru_cache(maxsize=8)
def _compiled_templates(folders: tuple[Path, ...]) -> jinja2.Environment:
    """Keep compiled templates for the life of the process; a file that changed is noticed and compiled again."""
    compiled = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader([str(folder) for folder in folders]),
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: bool(name) and str(name).endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    compiled.filters["wrapped"] = wrapped
    return compiled


def make_environment(template_folders: Sequence[Path]) -> Environment:
    """Return the templates of *template_folders*, the first that has a file wins."""
    return Environment(template_folders)
