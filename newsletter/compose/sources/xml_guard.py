"""
Look at XML from outside before a feed parser does: what could exhaust or mislead the parser never reaches it.

Refused: DOCTYPE and entities, absurd nesting, absurd numbers of elements. Cut: what comes after the 200th item, and
the broken end of a file that was truncated; whole items before it are kept.
"""

from __future__ import annotations

import codecs
import html.entities
import re
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from newsletter.errors import SourceError

MAX_ITEMS = 200
MAX_DEPTH = 100
MAX_ELEMENTS = 60_000
_ITEM_NAMES = {"item", "entry"}
_DECLARATION = re.compile(r"^\s*<\?xml[^>]{0,200}\?>")
_DECLARED_ENCODING = re.compile(rb"""^[\s\x00]*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_CHARSET = re.compile(r"""(?i)charset\s*=\s*["']?([A-Za-z0-9._-]{1,40})""")
_STRAY = re.compile(
    rb"<!\[CDATA\[.*?(?:\]\]>|$)|&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});|&([A-Za-z][A-Za-z0-9]{1,30};)|&",
    re.DOTALL,
)
_codes = expat.errors.codes
_REPAIRABLE = {_codes[expat.errors.XML_ERROR_INVALID_TOKEN], _codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]}
_AT_END = {
    _codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class GuardedXml:
    """XML that is safe to parse, in UTF-8 without a declaration; `problems` say what was left out."""

    data: bytes
    problems: tuple[str, ...] = ()


def guard_xml(body: bytes, *, content_type: str = "", cut: bool = False) -> GuardedXml:
    """
    Return what a feed parser may be given.

    Args:
        cut: The body is known to be only the beginning.

    Raises:
        SourceError: When it holds a DOCTYPE or entities, is nested or populated absurdly, or is no XML at all.
    """
    text = _ILLEGAL.sub("", decode(body, content_type))
    data = _DECLARATION.sub("", text.lstrip("\ufeff \t\r\n")).lstrip().encode()
    scan, error = _scan(data)
    problems: tuple[str, ...] = ()
    if error is not None and error.code in _REPAIRABLE:
        data, repaired = _escape_stray(data), error
        scan, error = _scan(data)
        problems = (f"Characters that XML reserves were not escaped (line {repaired.lineno}); they were mended.",)
    if error is not None:
        return _keep_whole_items(data, scan, error, cut=cut)
    if scan.stopped:
        return GuardedXml(
            _closed(data, scan), (*problems, f"Only the first {MAX_ITEMS} items were read; the feed holds more.")
        )
    return GuardedXml(data, problems)


def decode(body: bytes, content_type: str = "") -> str:
    """Return text from bytes of a declared or guessed encoding; what cannot be decoded becomes U+FFFD."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body.decode(name, errors="replace").lstrip("\ufeff")
    declared = _CHARSET.search(content_type)
    inside = _DECLARED_ENCODING.match(body)
    names = [declared[1]] if declared else []
    names += [inside[1].decode("ascii")] if inside else []
    for name in [*names, "utf-8"]:
        try:
            return body.decode(name)
        except (LookupError, UnicodeDecodeError):
            continue
    if not _looks_like_utf8(body):
        return body.decode("cp1252", errors="replace")
    return body.decode("utf-8", errors="replace")


class _Stop(Exception):
    """Raised inside expat's callbacks to end the scan at the first item too many."""


@dataclass
class _Scan:
    """One pass of expat that builds nothing; it counts, and remembers where the last whole item ended."""

    depth: int = 0
    elements: int = 0
    items: int = 0
    cut_at: int = 0
    stopped: bool = False
    open_names: list[str] = field(default_factory=list)
    open_at_cut: list[str] = field(default_factory=list)
    _item_depth: int = 0
    _data: bytes = b""
    _parser: Any = None

    def run(self, data: bytes) -> None:
        parser = expat.ParserCreate("utf-8")
        self._parser, self._data = parser, data
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.EntityDeclHandler = _refuse_doctype
        parser.Parse(data, True)

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self.depth += 1
        self.elements += 1
        if self.depth > MAX_DEPTH:
            raise SourceError(f"The feed nests elements more than {MAX_DEPTH} deep; it is not read.")
        if self.elements > MAX_ELEMENTS:
            raise SourceError(f"The feed has more than {MAX_ELEMENTS:,} elements before its item {self.items + 1}.")
        if name.rpartition(":")[2] in _ITEM_NAMES and not self._item_depth:
            if self.items >= MAX_ITEMS:
                raise _Stop
            self._item_depth = self.depth
        self.open_names.append(name)

    def _end(self, _name: str) -> None:
        if self.depth == self._item_depth:
            self.items += 1
            self._item_depth = 0
            self.cut_at = self._data.find(b">", self._parser.CurrentByteIndex) + 1
            self.open_at_cut = self.open_names[:-1]
        self.depth -= 1
        self.open_names.pop()


def _refuse_doctype(*_arguments: object) -> None:
    raise SourceError(
        "It begins with a DOCTYPE, which feeds do not need and which is refused.",
        hint="If this is a web page, look on it for the address of its feed.",
    )


def _scan(data: bytes) -> tuple[_Scan, expat.ExpatError | None]:
    scan = _Scan()
    try:
        scan.run(data)
    except _Stop:
        scan.stopped = True
    except expat.ExpatError as error:
        return scan, error
    return scan, None


def _escape_stray(data: bytes) -> bytes:
    """Escape ampersands that begin no XML reference; named HTML characters become themselves. CDATA stays."""

    def mend(found: re.Match[bytes]) -> bytes:
        name = found[1]
        if name is None:
            return found[0] if found[0] != b"&" else b"&amp;"
        character = html.entities.html5.get(name.decode("ascii"))
        return f"&#{ord(character)};".encode() if character and len(character) == 1 else b"&amp;" + found[0][1:]

    return _STRAY.sub(mend, data)


def _keep_whole_items(data: bytes, scan: _Scan, error: expat.ExpatError, *, cut: bool) -> GuardedXml:
    reason = expat.ErrorString(error.code)
    if not scan.elements:
        if re.search(rb"(?i)<!(?:doctype|entity)", data[:10_000]):
            _refuse_doctype()
        raise SourceError(f"It is no XML ({reason}, line {error.lineno}).", hint="Give the address of a feed.")
    what = "ends early" if cut or error.code in _AT_END else f"is damaged at line {error.lineno} ({reason})"
    if not scan.cut_at:
        raise SourceError(f"The feed {what}, before its first item is complete; nothing could be read.")
    return GuardedXml(_closed(data, scan), (f"The feed {what}; the {scan.items} whole items before that were read.",))


def _closed(data: bytes, scan: _Scan) -> bytes:
    return data[: scan.cut_at] + "".join(f"</{name}>" for name in reversed(scan.open_at_cut)).encode()


def _looks_like_utf8(body: bytes) -> bool:
    """Say whether most of what is not ASCII is UTF-8, so that one broken byte does not spoil the rest."""
    decoded = body.decode("utf-8", errors="ignore")
    return sum(1 for character in decoded if character > "\x7f") * 2 > sum(1 for byte in body if byte > 0x7F) * 0.5
