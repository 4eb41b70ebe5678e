"""A finding: what was looked at, how it stands, and what to do; a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`warn` can wait; `fail` keeps newsletters from going out, or people's data from being safe."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """A record to publish, in the three fields that every registrar's form has."""

    name: str
    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One line of the doctor's report. `fix` is empty when all is well.

    Attributes:
        record: What to publish in the DNS, ready to paste, where that is the fix.
    """

    check: str
    level: Level
    message: str
    fix: str = ""
    record: DnsRecord | None = None


def ok(check: str, message: str) -> Finding:
    return Finding(check, Level.OK, message)


def warn(check: str, message: str, fix: str, record: DnsRecord | None = None) -> Finding:
    return Finding(check, Level.WARN, message, fix, record)


def fail(check: str, message: str, fix: str, record: DnsRecord | None = None) -> Finding:
    return Finding(check, Level.FAIL, message, fix, record)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the gravest level there is; `ok` for none."""
    order = list(Level)
    return max((f.level for f in findings), key=order.index, default=Level.OK)
