"""
What can go wrong in the application, each error with what happened, to what, and what to do next.

    NewsletterError
    |-- ConfigError         every problem of a configuration at once
    |-- WorkspaceError      the folder is missing, unreadable or not a workspace
    |-- NotFound
    |-- Conflict            a state forbids what was asked
    |-- InvalidValue
    |-- SourceError         one source could not be fetched or read; others go on
    |-- TemplateError       a template cannot be rendered: file, line, cause
    |-- PreflightRefused    exit code 3
    `-- SendingPaused       the issue is paused; the reason is in words
"""

from __future__ import annotations

from dataclasses import dataclass


class NewsletterError(Exception):
    """
    Root of the package's errors.

    Attributes:
        code: Stable word for scripts, for example ``config``.
        message: What happened, and to what.
        hint: What to do next; empty when the message says it.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing wrong with a configuration: where it stands, which key, what is wrong, what to write instead."""

    origin: str
    key: str
    message: str
    hint: str = ""


class ConfigError(NewsletterError):
    """The configuration cannot be used; all its problems are listed at once."""

    code = "config"

    def __init__(self, problems: list[ConfigProblem]) -> None:
        lines = [f"{p.origin}: {p.key}: {p.message}" + (f" {p.hint}" if p.hint else "") for p in problems]
        super().__init__("The configuration cannot be used.\n" + "\n".join(f"  {line}" for line in lines))
        self.problems = problems


class WorkspaceError(NewsletterError):
    """The workspace folder is missing, unreadable, or not one that `newsletter init` wrote."""

    code = "workspace"


class NotFound(NewsletterError):
    """Something was named that does not exist; the hint holds the nearest known name."""

    code = "not_found"

    def __init__(self, what: str, name: str, *, hint: str = "") -> None:
        super().__init__(f"There is no {what} '{name}'.", hint=hint)
        self.what = what
        self.name = name


class Conflict(NewsletterError):
    """The present state forbids what was asked; nothing was changed."""

    code = "conflict"


class InvalidValue(NewsletterError):
    """A value from outside cannot be accepted; nothing was changed."""

    code = "invalid"


class SourceError(NewsletterError):
    """One source could not be fetched or read; what it gave before is kept and other sources go on."""

    code = "source"


class TemplateError(NewsletterError):
    """A template cannot be rendered; the message names file and line."""

    code = "template"


class PreflightRefused(NewsletterError):
    """The rendered issue breaks a blocking rule and may not go."""

    code = "preflight"


class SendingPaused(NewsletterError):
    """Sending stopped with deliveries still to do; the issue is paused and says why."""

    code = "paused"
