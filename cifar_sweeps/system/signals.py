"""Turn SIGINT, SIGTERM and SIGHUP into KeyboardInterrupt: at once, or where a loop checks for them."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses of a command that Ctrl-C or SIGTERM ended, by the shell's convention."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def exit_on_interrupt() -> None:
    """End this process at Ctrl-C, at once and in one line, while it has nothing to stop or to clean up yet.

    For the imports of a command, and for what Python itself does at its end. What the caller ignores stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit_in_one_line)


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, as Python does by default."""
    if signal.getsignal(signal.SIGINT) is _exit_in_one_line:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit_in_one_line(_number: int, _frame: FrameType | None) -> NoReturn:
    os.write(2, b"\nInterrupted.\n")
    os._exit(INTERRUPTED)


class Terminated(KeyboardInterrupt):
    """KeyboardInterrupt for SIGTERM and SIGHUP."""


@contextmanager
def interrupt_on_signals(before_exit: Callable[[], object] | None = None) -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGINT, and also at SIGTERM and SIGHUP; exit at once at a second signal.

    before_exit: called before that exit, which runs no ``finally`` and no ``atexit``.
    """

    def stop(number: int, _: FrameType | None) -> None:
        for signum in handled:
            signal.signal(signum, lambda number, _: _exit(number, before_exit))
        _raise(number)

    handled = _handled_signals()
    with _handlers(dict.fromkeys(handled, stop)):
        yield


class DeferredSignals:
    """Signals that have arrived, for a loop that checks for them where it is safe to stop."""

    def __init__(self, before_exit: Callable[[], object] | None = None) -> None:
        self._number: int | None = None
        self._before_exit = before_exit

    def handle(self, number: int, _: FrameType | None) -> None:
        """Keep the first signal; exit at once at a second one."""
        if self._number is not None:
            _exit(number, self._before_exit)
        self._number = number

    @property
    def arrived(self) -> bool:
        """Whether a signal has arrived."""
        return self._number is not None

    @property
    def is_hangup(self) -> bool:
        """Whether that was SIGHUP: the terminal is gone, as when an ssh session ends."""
        return self._number == signal.SIGHUP

    def check(self) -> None:
        """Raise KeyboardInterrupt (Terminated for SIGTERM and SIGHUP) if a signal has arrived."""
        if self._number is not None:
            _raise(self._number)


@contextmanager
def defer_signals(before_exit: Callable[[], object] | None = None) -> Iterator[DeferredSignals]:
    """Defer signals until the block checks for them or ends: raised inside a library, they can leave its locks held.

    before_exit: as for `interrupt_on_signals`.
    """
    deferred = DeferredSignals(before_exit)
    with _handlers(dict.fromkeys(_handled_signals(), deferred.handle)):
        yield deferred
    deferred.check()


def _handled_signals() -> list[signal.Signals]:
    """Return the signals that stop a command. What the caller ignores stays ignored: nohup does so with SIGHUP."""
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        return []
    return [signum for signum in _STOP_SIGNALS if signal.getsignal(signum) is not signal.SIG_IGN]


@contextmanager
def _handlers(handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    previous = {signum: signal.signal(signum, handler) for signum, handler in handlers.items()}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _raise(number: int) -> NoReturn:
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _exit(number: int, before_exit: Callable[[], object] | None) -> NoReturn:
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), b"\x1b[?25h\n")  # the cursor, which a live table hides
    if before_exit is not None:
        before_exit()
    os._exit(INTERRUPTED if number == signal.SIGINT else TERMINATED)  # jobs end with it; see engines/local
