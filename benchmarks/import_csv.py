"""
Import of CSV rows against the database's own bulk load of the same file plus email-validator's syntax check.

The bulk load (`sqlite3 .import`, PostgreSQL's COPY) fills a table with a unique address and an index on each column
that people are selected by. Prints, for SQLite and where PostgreSQL's programs are there for it too, the times, their
ratio (at most 4 is the aim) and the peak memory of the importing process (under 200 MB).
Usage: python benchmarks/import_csv.py [--rows ROWS] [--only sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from email_validator import validate_email
from postgresql import throwaway_server

from newsletter import tables as _newsletter_tables  # noqa: F401  (registers the tables)
from subscribers import lists
from subscribers import tables as _tables  # noqa: F401
from subscribers.db import Base, Database
from subscribers.imports.importing import import_file
from subscribers.tables import Basis

AIM = 4.0
AIM_MEGABYTES = 200.0
COLUMNS = ("email", "name", "town", "role", "age", "since", "tags")
INDEXED = ("town", "role", "age", "since")
TOWNS = ("Dudley", "Walsall", "Sandwell", "Wolverhampton", "Stourbridge")
ROLES = ("police", "council", "health", "charity", "volunteer")
BEGINNINGS, ENDS = ("An", "Bri", "Chi", "Da", "Ev", "Gwen", "Jo", "Mo", "Ra", "Su"), ("a", "an", "tra", "fydd", "eth")
FAMILIES = ("Jon", "Kha", "O'Bri", "Smi", "You", "Pat", "Ev", "Wil", "Tay", "Rob", "Gre", "Hug", "Mor", "Ali", "Sin")
TYPES = {"age": "integer", "since": "date"}


def write_file(path: Path, rows: int) -> None:
    """Write a file as a network keeps one: address, name and five columns, four of which become attributes."""
    chance = random.Random(7)
    pick = chance.choice
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(rows):
            first, last = pick(BEGINNINGS) + pick(ENDS), pick(FAMILIES) + pick(ENDS) + pick(ENDS)
            writer.writerow(
                [
                    f"{first}.{last.replace(chr(39), '')}{number}@mail{number % 500}.example.org".lower(),
                    f"{first} {last}",
                    pick(TOWNS),
                    pick(ROLES),
                    chance.randint(18, 90),
                    f"20{chance.randint(10, 25)}-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}",
                    pick(["", "volunteer", "volunteer;press"]),
                ]
            )


def table_statements() -> list[str]:
    columns = ", ".join(f"{name} {TYPES.get(name, 'text')}" for name in COLUMNS)
    return [
        f"CREATE TABLE people ({columns})",
        "CREATE UNIQUE INDEX people_email ON people (email)",
        *(f"CREATE INDEX people_{name} ON people ({name})" for name in INDEXED),
    ]


def load_sqlite(path: Path, database: Path) -> float:
    """Time `sqlite3 .import` of the file into an empty, indexed table."""
    shell = shutil.which("sqlite3")
    if shell is None:
        sys.exit("The sqlite3 command is missing: install it (on Debian: apt-get install sqlite3).")
    database.unlink(missing_ok=True)
    subprocess.run([shell, str(database), *table_statements()], check=True)
    begun = time.perf_counter()
    subprocess.run([shell, str(database), f".import --csv --skip 1 {path} people"], check=True)
    return time.perf_counter() - begun


def load_postgresql(path: Path, url: str) -> float:
    """Time `COPY` of the file into an empty, indexed table."""
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS people")
        for statement in table_statements():
            connection.execute(statement.encode())
        connection.commit()
        begun = time.perf_counter()
        with connection.cursor().copy("COPY people FROM STDIN (FORMAT csv, HEADER)") as copy, path.open("rb") as file:
            while block := file.read(1 << 20):
                copy.write(block)
        connection.commit()
        return time.perf_counter() - begun


def check_syntax(path: Path) -> float:
    """Time email-validator's syntax check of every address in the file."""
    with path.open(newline="", encoding="utf-8") as file:
        addresses = [row["email"] for row in csv.DictReader(file)]
    begun = time.perf_counter()
    for address in addresses:
        validate_email(address, check_deliverability=False, test_environment=True)
    return time.perf_counter() - begun


def import_here(path: Path, url: str) -> dict[str, float]:
    """Import the file in this process; return seconds, peak megabytes, and people made."""
    database = Database(url)
    now = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
    with database.write() as session:
        Base.metadata.create_all(session.connection())
        lists.create(session, "members", at=now)
    begun, begun_cpu = time.perf_counter(), time.process_time()
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
    seconds, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    database.close()
    return {"seconds": seconds, "cpu": cpu, "megabytes": peak_megabytes(), "new": result.new}


def peak_megabytes() -> float:
    """Return the most memory that this program held; `getrusage` would also count the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def import_apart(path: Path, url: str) -> dict[str, float]:
    """Import the file in a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--import-only", str(path), url]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def compare(name: str, path: Path, rows: int, url: str, load: Callable[[], float]) -> bool:
    """Measure ours between two runs of the others: a machine that is busy slows all alike. Return whether it holds."""
    before = load(), check_syntax(path)
    ours = import_apart(path, url)
    after = load(), check_syntax(path)
    loaded, checked = (sum(pair) / 2 for pair in zip(before, after, strict=True))
    assert ours["new"] == rows, f"{ours['new']} people of {rows} rows"
    ratio = ours["seconds"] / (loaded + checked)
    print(
        f"{name}: rows {rows:,}   ours {ours['seconds']:.2f} s ({ours['cpu']:.2f} s of CPU)   "
        f"bulk load {loaded:.2f} s + syntax check {checked:.2f} s"
    )
    print(
        f"{name}: ratio {ratio:.2f} (aim: at most {AIM:g})   "
        f"peak memory {ours['megabytes']:.0f} MB (aim: under {AIM_MEGABYTES:.0f})"
    )
    return ratio <= AIM and ours["megabytes"] < AIM_MEGABYTES


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--import-only", nargs=2, metavar=("FILE", "URL"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.import_only:
        print(json.dumps(import_here(Path(asked.import_only[0]), asked.import_only[1])))
        return
    holds = True
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = folder / "people.csv"
        write_file(path, asked.rows)
        if asked.only != "postgresql":
            url = f"sqlite:///{folder / 'ours.sqlite3'}"
            holds &= compare("SQLite", path, asked.rows, url, lambda: load_sqlite(path, folder / "plain.sqlite3"))
        if asked.only != "sqlite":
            server = stack.enter_context(throwaway_server())
            if server is None:
                print("PostgreSQL: its programs are not here; not measured")
            else:
                url = server.replace("postgresql://", "postgresql+psycopg://")
                holds &= compare("PostgreSQL", path, asked.rows, url, lambda: load_postgresql(path, server))
    sys.exit(not holds)


if __name__ == "__main__":
    main()
