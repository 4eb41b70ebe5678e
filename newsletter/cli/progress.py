"""A progress bar on standard error: done, total, rate and time left."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self


class Progress:
    """A bar that does nothing when it is not visible. `total` null shows a count without an end."""

    def __init__(self, label: str, total: int | None, *, visible: bool, console: Any) -> None:
        self._label, self._total, self._visible, self._console = label, total, visible, console
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._visible:
            from rich import progress
            from rich.table import Column

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(bar_width=None),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[detail]}", table_column=Column(no_wrap=True)),
                _time_left_column(),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self._total, detail="", seconds_left=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int = 1) -> None:
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def update(
        self, done: int, *, total: int | None = None, detail: str = "", seconds_left: float | None = None
    ) -> None:
        """Show how far it is; without *seconds_left* the bar reckons by itself."""
        if self._bar is not None:
            detail += "," * (seconds_left is not None and done != total)
            values = {"completed": done, "detail": detail, "seconds_left": seconds_left}
            self._bar.update(self._task, **values, **({"total": total} if total else {}))


def rate_words(a_second: float) -> str:
    """Return a rate as people say it: `5,432 a second`, `29.5 a minute`."""
    if a_second >= 10:
        return f"{a_second:,.0f} a second"
    return f"{a_second:.1f} a second" if a_second >= 2 else f"{a_second * 60:,.1f} a minute"


def time_left_words(seconds: float) -> str:
    """Return a time to wait, no more exact than it can be known."""
    if seconds < 50:
        return "less than a minute left"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {_counted(minutes, 'minute')} left"
    hours = round(seconds / 3600)
    return f"about {_counted(hours, 'hour')} left" if hours < 48 else f"about {round(hours / 24)} days left"


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _time_left_column() -> Any:
    from rich import progress, text
    from rich.table import Column

    class TimeLeft(progress.ProgressColumn):
        max_refresh = 0.5

        def render(self, task: progress.Task) -> text.Text:
            given = task.fields["seconds_left"]
            seconds = task.time_remaining if given is None else given
            return text.Text("" if task.finished or seconds is None else time_left_words(seconds))

    return TimeLeft(table_column=Column(no_wrap=True))
