"""
The texts of the site in other languages: one catalogue a language, read from its .po file when the site starts.

A catalogue that no person has reviewed is never offered: the head of its file must hold a line ``Reviewed-by: NAME``
and no word of a draft. A message that is doubtful, or whose placeholders are not those of the English, is left out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from babel.support import NullTranslations, Translations

from newsletter.compose.language import parse_language
from newsletter.errors import InvalidValue, TemplateError

FOLDER = "web/translations"
_REVIEWED = re.compile(r"^#?\s*Reviewed-by:\s*\S", re.MULTILINE)
_DRAFT = re.compile(r"^#?\s*DRAFT\b", re.MULTILINE)
ENGLISH = NullTranslations()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The messages of one language, and whether a person has reviewed them."""

    tag: str
    translations: NullTranslations
    reviewed: bool


def read_catalogues(template_folders: Sequence[Path]) -> Mapping[str, Catalogue]:
    """
    Return the catalogues by their tag, drafts among them; a workspace's own file wins over the shipped one.

    Raises:
        TemplateError: When a file cannot be read, with its path.
    """
    found: dict[str, Catalogue] = {}
    for folder in reversed(template_folders):
        for path in sorted((folder / FOLDER).glob("*.po")):
            catalogue = _read(path)
            found[catalogue.tag] = catalogue
    return found


def is_reviewed(catalog: Catalog) -> bool:
    """Return whether its head names who reviewed it; tools mark an unfinished one as fuzzy."""
    head = str(catalog.header_comment)
    return bool(_REVIEWED.search(head)) and not _DRAFT.search(head) and not catalog.fuzzy


def _read(path: Path) -> Catalogue:
    try:
        tag = parse_language(path.stem)
        with path.open("rb") as file:
            catalog = read_po(file, abort_invalid=True)
    except (OSError, UnicodeDecodeError, ValueError, PoFileError, InvalidValue) as error:
        raise TemplateError(f"The translation {path} cannot be read: {error}") from None
    for message in list(catalog):
        if message.id and (message.fuzzy or any(message.check(catalog))):
            catalog.delete(message.id)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Catalogue(tag, Translations(compiled), is_reviewed(catalog))
