"""Show that images are being read, drawn or downloaded, if it takes longer than a second."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

QUIET_SECONDS = 1.0
"""What takes no longer is not shown."""


class LoadingMessage:
    """Says once what is being done, when it has taken a second; a download says so at once.

    say: called with the line. Calling the object is a `cifar_sweeps.data.dataset.Progress`.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._what, self._began, self._said = "", 0.0, False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note that ``done`` of ``total`` images are done; total: 0 if nothing is counted."""
        if what != self._what:
            self._what, self._began, self._said = what, self._clock(), False
        slow = total == 0 or (done < total and self._clock() - self._began >= QUIET_SECONDS)
        if slow and not self._said:
            self._said = True
            self._say(f"{what} …")


class LoadingBar:
    """Shows a bar on a terminal, and one line elsewhere. Arguments and calls as `LoadingMessage`."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._message = LoadingMessage(self._start, clock)
        self._bar: Progress | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` images are done."""
        self._message(what, done, total)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total)
            if done >= total:
                self.close()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start(self, line: str) -> None:
        if not self._console.is_terminal or line.startswith(("downloading", "unpacking")):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            return
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        self._bar = Progress(*columns, TimeRemainingColumn(compact=True), console=self._console, transient=True)
        self._bar.add_task(line)
        self._bar.start()
