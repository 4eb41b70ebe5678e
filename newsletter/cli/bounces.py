"""`newsletter bounces`: what came back, and what it means; more verbs live in the files `bounces_*.py` beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from newsletter.cli import bounces_fetch, bounces_looking, bounces_taking
from newsletter.cli.main import Context, Verbs, pass_context

# Only files that begin like a mail are read; a folder of mail often holds notes and licences too.
_HEAD_BYTES = 2_000


@click.group(cls=Verbs)
def command() -> None:
    """Mail that came back: take it, look at it, undo what was made of it.

    Example: newsletter bounces list --unmatched
    """


for _file in (bounces_fetch, bounces_taking, bounces_looking):
    for _verb in _file.VERBS:
        command.add_command(_verb)


@command.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@pass_context
def classify(context: Context, paths: tuple[Path, ...]) -> None:
    """Say what files of returned mail report, and change nothing.

    With --json one object a line, a file each.

    Example: newsletter bounces classify --json returned/ > report.jsonl
    """
    import json

    for path in _mails(paths):
        answer = _answer(path)
        if context.output.as_json:
            click.echo(json.dumps(answer, ensure_ascii=False))
        else:
            _tell(answer)


def _mails(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path
        else:
            yield from (p for p in sorted(path.rglob("*")) if p.is_file() and begins_like_a_mail(p))


def begins_like_a_mail(path: Path) -> bool:
    """Whether a file begins with a header line, as a mail does."""
    import re

    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = [line for line in head.lstrip(b"\n").split(b"\n")[:2] if not line.startswith((b"From ", b">From "))]
    return bool(lines) and re.match(rb"[!-9;-~]{1,76}[ \t]*:", lines[0]) is not None and path.suffix != ".json"


def _answer(path: Path) -> dict[str, Any]:
    from subscribers.bounces.report import read_report

    found = read_report(path.read_bytes())
    return {
        "file": str(path),
        "kind": found.kind.value,
        "recipients": [
            {
                "address": r.address,
                "class": r.klass.value,
                "counts": r.counts,
                "status": r.status or None,
                "reason": r.reason.value if r.reason else None,
            }
            for r in found.recipients
        ],
    }


def _tell(answer: dict[str, Any]) -> None:
    click.echo(f"{answer['file']}: {answer['kind']}")
    for person in answer["recipients"]:
        counts = "" if person["counts"] else ", does not count"
        detail = " ".join(str(v) for v in (person["status"], person["reason"]) if v)
        click.echo(f"  {person['address']}: {person['class']}{counts}" + (f" ({detail})" if detail else ""))
