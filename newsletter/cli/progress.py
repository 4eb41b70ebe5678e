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

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(bar_width=None),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[detail]}"),
                progress.TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self._total, detail="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int = 1) -> None:
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def update(self, done: int, *, total: int | None = None, detail: str = "") -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, detail=detail, **({"total": total} if total else {}))
