"""Dependencies never fall below the first version that is safe for how we use them, and lock files name no host."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")

# The first safe version, and why. Those marked * come along with another package.
FLOORS = {
    "aiosmtpd": ("1.4.6", "CVE-2024-27305 SMTP smuggling, CVE-2024-34083 STARTTLS injection"),
    "cryptography": ("46.0.5", "CVE-2024-12797, CVE-2026-26007 (tests only)"),
    "dnspython": ("2.6.1", "CVE-2023-29483 'TuDoor' *"),
    "h11": ("0.16.0", "CVE-2025-43859 request smuggling *"),
    "idna": ("3.7", "CVE-2024-3651 quadratic time"),
    "jinja2": ("3.1.6", "CVE-2024-56326, CVE-2025-27516 sandbox escapes"),
    "lxml": ("4.9.1", "CVE-2022-2309 crash on forged input"),
    "mako": ("1.2.2", "CVE-2022-40023 quadratic time *"),
    "markdown-it-py": ("2.2.0", "CVE-2023-26302, CVE-2023-26303"),
    "pillow": ("13.0.0", "CVE-2026-96639 and others: memory faults in decoders that feeds' pictures reach"),
    "python-multipart": ("0.0.26", "CVE-2024-53981, CVE-2026-40347 slow parsing of form bodies"),
    "requests": ("2.32.4", "CVE-2024-47081 leaked credentials *"),
    "starlette": ("0.49.1", "CVE-2025-54121, CVE-2025-62727 slow uploads and Range headers"),
    "urllib3": ("2.6.3", "CVE-2025-66471, CVE-2026-21441 decompression bombs *"),
}


def asked() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for text in project["dependencies"]]


def locked(name: str) -> dict[str, Version]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", (ROOT / name).read_text(), re.M)
    return {package.lower(): Version(version) for package, version in pins}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_version_is_safe(lock: str) -> None:
    pins = locked(lock)
    below = {
        name: str(pins[name]) for name, (floor, _) in FLOORS.items() if name in pins and pins[name] < Version(floor)
    }
    assert below == {}


def test_what_we_ask_for_cannot_resolve_below_the_floor() -> None:
    asked = [
        Requirement(text) for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ]
    for requirement in asked:
        floor, why = FLOORS.get(requirement.name, (None, ""))
        if floor:
            lowest = min(Version(s.version) for s in requirement.specifier if s.operator == ">=")
            assert lowest >= Version(floor), f"{requirement.name}: {why}"


def test_every_dependency_is_locked_with_hashes() -> None:
    assert {requirement.name for requirement in asked()} <= set(locked("requirements.lock"))
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements.lock").read_text())
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry.splitlines()[0])


def test_both_locks_agree() -> None:
    runtime, development = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: version for name, version in runtime.items() if development.get(name) != version} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*--(index|extra-index|find-links|trusted)", text, re.M)
