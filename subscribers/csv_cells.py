"""
Cells that no spreadsheet runs as a formula, and back: what `safe_cell` writes `plain_cell` reads.

Source: phpList CVE-2021-3188; OWASP "CSV Injection" (full-width variants included).
"""

from __future__ import annotations

_TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe_cell(text: str) -> str:
    """Return *text* with a leading apostrophe when a spreadsheet could take it for a formula."""
    return f"'{text}" if text.lstrip("' ").startswith(_TRIGGERS) or text[:1] in ("\t", "\r", "\n") else text


def plain_cell(text: str) -> str:
    """Take the apostrophe of `safe_cell` away again."""
    return text[1:] if text[:1] == "'" and safe_cell(text[1:]) == text else text
