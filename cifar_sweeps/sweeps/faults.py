"""The last door of a command: faults are told once and clearly, and a sweep that broke off is closed."""

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from cifar_sweeps.errors import CifarSweepsError, ConfigError, JobFailedError, in_one_line
from cifar_sweeps.faults import is_of_composition, translated
from cifar_sweeps.sweeps import current, fork_server
from cifar_sweeps.tracking.journal import State

FULL_ERROR = "HYDRA_FULL_ERROR"
_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EEXIST})
"""What Hydra meets when it makes a run's folder, before this project's own check of it."""
INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses of a command that Ctrl-C or SIGTERM ended, by the shell's convention."""


_STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""


class Refused(BaseException):
    """Carries a fault past Hydra, which would print a trace around any plain exception. None: all was said already."""

    def __init__(self, fault: Exception | None) -> None:
        super().__init__(str(fault))
        self.fault = fault


def told_clearly(entry: Callable[[], object]) -> int:
    """Run Hydra's entry and return the command's exit status, with any fault told on stderr.

    With ``HYDRA_FULL_ERROR=1`` in the environment a fault's whole traceback is printed instead.
    """
    full = os.environ.get(FULL_ERROR) == "1"
    os.environ[FULL_ERROR] = "1"  # otherwise Hydra prints the fault its own way and exits by itself
    status = 0
    with signals_interrupt():
        try:
            entry()
        except (Exception, KeyboardInterrupt, Refused) as error:  # noqa: BLE001 (the last door: all is told here)
            status = _status(error)
            if full and status:
                sys.stderr.write(traceback.format_exc())
            elif status and not isinstance(error, JobFailedError):  # of which the sweep's end tells
                sys.stderr.write(_in_words(error))
        finally:
            if not full:
                del os.environ[FULL_ERROR]
            fork_server.stop()  # all that it was for is over
            status = _end_sweep(status) or status
    return status


def _end_sweep(status: int) -> int:
    """Close the sweep that has begun, if any; return the command's status if it could not be, or did not finish."""
    sweep = current.sweep()
    if sweep is None:
        return 0
    state: State | None = "KILLED" if status in (INTERRUPTED, TERMINATED) else "FAILED" if status else None
    try:
        return 0 if sweep.end(state) == "FINISHED" or status else 1
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(_in_words(interrupt))
        return _status(interrupt)
    except Exception as error:  # noqa: BLE001 (a store that has gone away must not hide what else is told)
        sys.stderr.write(f"TrackingError: the sweep's record could not be closed: {in_one_line(error)}\n")
        return status or 1


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM, and a terminal that goes away, stop the command as Ctrl-C does; a second signal ends it at once."""

    def stop(number: int, _: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, _end)  # the first one is being dealt with
        _interrupt(number)

    heeded = _heeded()
    with _handled(dict.fromkeys(heeded, stop)):
        yield


class Interrupts:
    """Signals that have arrived, for a loop that looks for them where it is safe to break off."""

    def __init__(self) -> None:
        self._number: int | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Keep the first one; a second one ends the command at once."""
        if self._number is not None:
            _end(number, frame)
        self._number = number

    @property
    def arrived(self) -> bool:
        """Whether one has arrived."""
        return self._number is not None

    def check(self) -> None:
        """Raise KeyboardInterrupt (Terminated for SIGTERM) if one has arrived."""
        if self._number is not None:
            _interrupt(self._number)


@contextmanager
def signals_wait() -> Iterator[Interrupts]:
    """Let signals wait until they are looked for: raised in the midst of a library, they can leave its locks taken."""
    interrupts = Interrupts()
    with _handled(dict.fromkeys(_heeded(), interrupts.note)):
        yield interrupts
    interrupts.check()


def _heeded() -> list[signal.Signals]:
    """Return the signals that stop a command. What the caller ignores stays ignored: nohup does so with SIGHUP."""
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        return []
    return [each for each in _STOPPING if signal.getsignal(each) is not signal.SIG_IGN]


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    before = {each: signal.signal(each, handler) for each, handler in handlers.items()}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _interrupt(number: int) -> NoReturn:
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _end(number: int, _: FrameType | None) -> None:
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), b"\x1b[?25h\n")  # the cursor, which a live table hides
    fork_server.stop()
    os._exit(INTERRUPTED if number == signal.SIGINT else TERMINATED)  # jobs end with it; see sweeps/worker.py


def _status(error: BaseException) -> int:
    if isinstance(error, Refused) and error.fault is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    return 1


def _in_words(error: BaseException) -> str:
    fault = error.fault if isinstance(error, Refused) and error.fault is not None else error
    if isinstance(fault, KeyboardInterrupt):
        return "\nTerminated.\n" if isinstance(fault, Terminated) else "\nInterrupted.\n"
    if isinstance(fault, OSError) and fault.errno in _UNWRITABLE:
        where = f"outputs: {fault.filename or 'the outputs folder'} cannot be written ({fault.strerror})"
        fault = ConfigError(f"{where}; make room or mend its rights, or set CIFAR_SWEEPS_OUTPUTS to another folder")
    if is_of_composition(fault):
        fault = ConfigError(translated(fault))
    if isinstance(fault, CifarSweepsError):
        message = str(fault)
        return f"{type(fault).__name__}: {'' if not message.startswith('- ') else chr(10)}{message}\n"
    return "".join(traceback.format_exception(fault))
