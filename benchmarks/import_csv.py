"""
Import of CSV rows against `sqlite3`'s own `.import` of the same file plus email-validator's syntax check.

Prints both times, their ratio (at most 6 is the aim at 100,000 rows) and how much memory the import took on top.
Usage: python benchmarks/import_csv.py [ROWS]
"""

from __future__ import annotations

import csv
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from email_validator import validate_email

from newsletter import tables as _newsletter_tables  # noqa: F401  (registers the tables)
from subscribers import lists
from subscribers import tables as _tables  # noqa: F401
from subscribers.db import Base, Database
from subscribers.importing import import_file
from subscribers.tables import Basis

AIM = 6.0
TOWNS = ("Dudley", "Walsall", "Sandwell", "Wolverhampton", "Stourbridge")
ROLES = ("police", "council", "health", "charity", "volunteer")
FIRST, LAST = ("Ann", "Brian", "Chitra", "Dafydd", "Eve"), ("Jones", "Khan", "O'Brien", "Smith", "Young")


def write_file(path: Path, rows: int) -> None:
    """Write a file as a network keeps one: address, name and five columns that become attributes."""
    chance = random.Random(7)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["email", "name", "town", "role", "age", "since", "tags"])
        for number in range(rows):
            first, last = chance.choice(FIRST), chance.choice(LAST)
            writer.writerow(
                [
                    f"{first}.{last.replace(chr(39), '')}{number}@mail{number % 500}.example.org".lower(),
                    f"{first} {last}",
                    chance.choice(TOWNS),
                    chance.choice(ROLES),
                    chance.randint(18, 90),
                    f"20{chance.randint(10, 25)}-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}",
                    chance.choice(["", "volunteer", "volunteer;press"]),
                ]
            )


def plain_import(path: Path, database: Path) -> float:
    """Time `sqlite3 .import` of the file into an empty database."""
    shell = shutil.which("sqlite3")
    if shell is None:
        sys.exit("The sqlite3 command is missing: install it (on Debian: apt-get install sqlite3).")
    begun = time.perf_counter()
    subprocess.run([shell, str(database), ".mode csv", f".import {path} people"], check=True)
    return time.perf_counter() - begun


def syntax_check(path: Path) -> float:
    """Time email-validator's syntax check of every address in the file."""
    with path.open(newline="", encoding="utf-8") as file:
        addresses = [row["email"] for row in csv.DictReader(file)]
    begun = time.perf_counter()
    for address in addresses:
        validate_email(address, check_deliverability=False, test_environment=True)
    return time.perf_counter() - begun


def our_import(path: Path, folder: Path) -> tuple[float, float, int]:
    """Time our import; return seconds, megabytes on top, and people made."""
    database = Database(f"sqlite:///{folder / 'ours.sqlite3'}")
    now = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
    with database.write() as session:
        Base.metadata.create_all(session.connection())
        lists.create(session, "members", at=now)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    result = import_file(
        database,
        path,
        list_name="members",
        basis=Basis.CONSENT,
        evidence="benchmark",
        actor="benchmark",
        pepper=b"p" * 32,
        now=now,
    )
    seconds = time.perf_counter() - begun
    database.close()
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, result.new


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "people.csv"
        write_file(path, rows)
        before = plain_import(path, folder / "before.sqlite3"), syntax_check(path)
        ours, megabytes, new = our_import(path, folder)
        after = plain_import(path, folder / "after.sqlite3"), syntax_check(path)
        # Measured on both sides of ours: a machine that is busy with other things slows all three alike.
        plain, checked = (sum(pair) / 2 for pair in zip(before, after, strict=True))
    assert new == rows, f"{new} people of {rows} rows"
    ratio = ours / (plain + checked)
    print(f"rows {rows:,}   ours {ours:.2f} s   .import {plain:.2f} s + syntax check {checked:.2f} s")
    print(f"ratio {ratio:.2f} (aim: at most {AIM:g})   memory on top {megabytes:.0f} MB")
    sys.exit(ratio > AIM)


if __name__ == "__main__":
    main()
