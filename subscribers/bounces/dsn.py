"""Delivery status reports of RFC 3464 and RFC 6533, read as they are found, not only as they should be."""

from __future__ import annotations

import re

from subscribers.bounces.classify import classify
from subscribers.bounces.event import BounceClass, RecipientReport
from subscribers.bounces.reasons import VERDICTS

_FIELD = re.compile(r"^([A-Za-z][A-Za-z0-9-]{1,60})\s*:[ \t]*(.*)$")
_ADDRESS = re.compile(r"[^\s<>\"(),;:\[\]]{1,64}@[^\s<>\"(),;:\[\]]{1,253}")
_DELAYED = ("delayed",)
_NOT_BOUNCES = ("delivered", "relayed", "expanded")


def read_statuses(bodies: list[str]) -> tuple[list[RecipientReport], set[str]]:
    """
    Return one report a recipient and the actions met (``failed``, ``delayed``, ``delivered`` ...).

    Fields may be folded or run together without blank lines; a second Final-Recipient begins a new recipient.
    """
    reports: list[RecipientReport] = []
    actions: set[str] = set()
    for body in bodies:
        for group in _groups(body):
            report, action = _report(group)
            actions.add(action)
            if report is not None:
                reports.append(report)
    return reports, actions


def _groups(body: str) -> list[dict[str, str]]:
    groups: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    last = ""
    for line in [*body.split("\n"), ""]:
        found = _FIELD.match(line)
        if found:
            name = found.group(1).lower()
            starts_over = name in ("final-recipient", "original-recipient") and name in fields
            if starts_over or (name in ("action", "status") and name in fields and "final-recipient" in fields):
                groups.append(fields)
                fields = {}
            last = name
            fields.setdefault(name, found.group(2).strip())
        elif line[:1] in (" ", "\t") and line.strip() and last:
            fields[last] += " " + line.strip()
        elif not line.strip():
            if fields:
                groups.append(fields)
            fields, last = {}, ""
        elif last == "diagnostic-code":
            fields[last] += " " + line.strip()  # folded without the white space that RFC 5322 asks for
    return _joined(groups)


def _joined(groups: list[dict[str, str]]) -> list[dict[str, str]]:
    """Join a recipient's fields that a stray blank line cut off (Action in one group, Final-Recipient in the next)."""
    found: list[dict[str, str]] = []
    for group in groups:
        has_name = "final-recipient" in group or "original-recipient" in group
        orphan = not has_name and ("action" in group or "status" in group or "diagnostic-code" in group)
        if orphan and found:
            for name, value in group.items():
                found[-1].setdefault(name, value)
        elif has_name or orphan:
            found.append(group)
    return [g for g in found if "final-recipient" in g or "original-recipient" in g]


def typed_address(value: str) -> str:
    """Return the address of ``rfc822; a@b`` and its broken forms, in lower case; empty when there is none."""
    text = value.partition(";")[2] if ";" in value else value
    found = _ADDRESS.search(text) or _ADDRESS.search(value)
    return found.group(0).strip("'.").lower() if found else ""


def _report(fields: dict[str, str]) -> tuple[RecipientReport | None, str]:
    final = typed_address(fields.get("final-recipient", ""))
    original = typed_address(fields.get("original-recipient", ""))
    action = fields.get("action", "failed").strip().lower().split(" ")[0].strip(";(") or "failed"
    status = fields.get("status", "").split(" ")[0].strip("()")
    diagnostic = fields.get("diagnostic-code", "") or fields.get("x-notes", "")
    # The original recipient is the address that was mailed; a final one may be a forwarding target.
    address = original or final
    if not address and not action.startswith(("fail", "delay")):
        return None, action
    return judge(address, action, status, diagnostic, final if final != address else ""), action


def judge(address: str, action: str, status: str, diagnostic: str, final: str = "") -> RecipientReport | None:
    """Turn what a report says of one recipient into a verdict; None for delivered, relayed and expanded."""
    if action.startswith(_NOT_BOUNCES):
        return None
    reason, judged_by = classify(diagnostic, status)
    verdict = VERDICTS[reason]
    klass, counts = verdict.klass, verdict.counts
    if klass is BounceClass.HARD and judged_by.startswith("4"):
        klass = BounceClass.SOFT  # "no such domain" with a 4.y.z is what the resolver said today
    if action.startswith(_DELAYED):
        klass, counts = BounceClass.DELAYED, False
    return RecipientReport(address, klass, counts, reason, judged_by, diagnostic[:1000], final)
