"""
The log of the site and the worker: lines for people or JSON for machines, and no address in it at any level.

What looks like an address is masked in the finished line, after the words of exceptions are in it, so that nothing
that a library or an error says can name a member.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

from newsletter.config.settings import Log
from newsletter.send.masking import without_people

SAID = logging.CRITICAL + 1
logging.addLevelName(SAID, "said")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Masked(logging.Formatter):
    """Lines for people: time, process, words."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s {process}: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return without_people(super().format(record))


class Json(logging.Formatter):
    """
    One JSON object a line: `time` (ISO 8601, UTC), `level`, `process`, `logger`, `message`, and `fault` with a trace.

    A record's `fields`, a dictionary given as ``extra``, stand beside them.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": without_people(record.getMessage()),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["fault"] = without_people(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def start_logging(settings: Log, process: str, *, verbose: bool = False) -> None:
    """
    Send all that is logged to standard error.

    Args:
        process: ``site`` or ``worker``.
        verbose: At least level ``info``, whatever the configuration says.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json(process) if settings.format == "json" else Masked(process))
    level = LEVELS[settings.level]
    logging.basicConfig(handlers=[handler], level=min(level, logging.INFO) if verbose else level, force=True)


def log_faults() -> None:
    """Let warnings, and what ends a thread or the process, go to the log instead of past it: for what runs for long."""
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: _fault(kind, error, trace, "the process")
    threading.excepthook = lambda of: _fault(
        of.exc_type, of.exc_value, of.exc_traceback, of.thread.name if of.thread else "a thread"
    )


def _fault(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None, what: str) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    said = (kind, error if error is not None else kind(), trace)
    logging.getLogger("newsletter").critical("a fault ended %s", what, exc_info=said)


def masked(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return what tells people the same without any address: what is told ends in the journal of the machine."""
    return lambda words: say(without_people(words))


def say_as_json(words: str) -> None:
    """Tell what a worker tells people, as a line of the log that no level hides."""
    logging.getLogger("newsletter.worker").log(SAID, words)
