"""The last door of a command: faults are told once and clearly, and a sweep that broke off is closed."""

import errno
import os
import sys
import traceback
from collections.abc import Callable

from cifar_sweeps.config.hydra_messages import explain_composition_error, is_composition_error
from cifar_sweeps.errors import CifarSweepsError, ConfigError, JobFailedError, in_one_line
from cifar_sweeps.sweeps import current
from cifar_sweeps.sweeps.engines.local import fork_server
from cifar_sweeps.system.signals import INTERRUPTED, TERMINATED, Terminated, interrupt_on_signals
from cifar_sweeps.tracking.journal import State

FULL_ERROR = "HYDRA_FULL_ERROR"
_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EEXIST})
"""What Hydra meets when it makes a run's folder, before this project's own check of it."""


class AbortHydra(BaseException):
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
    with interrupt_on_signals(fork_server.stop):
        try:
            entry()
        except (Exception, KeyboardInterrupt, AbortHydra) as error:  # noqa: BLE001 (the last door: all is told here)
            status = _status(error)
            if full and status:
                sys.stderr.write(traceback.format_exc())
            elif status and not isinstance(error, JobFailedError):  # of which the sweep's end tells
                sys.stderr.write(_message(error))
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
        sys.stderr.write(_message(interrupt))
        return _status(interrupt)
    except Exception as error:  # noqa: BLE001 (a store that has gone away must not hide what else is told)
        sys.stderr.write(f"TrackingError: the sweep's record could not be closed: {in_one_line(error)}\n")
        return status or 1


def _status(error: BaseException) -> int:
    if isinstance(error, AbortHydra) and error.fault is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    return 1


def _message(error: BaseException) -> str:
    fault = error.fault if isinstance(error, AbortHydra) and error.fault is not None else error
    if isinstance(fault, KeyboardInterrupt):
        return "\nTerminated.\n" if isinstance(fault, Terminated) else "\nInterrupted.\n"
    if isinstance(fault, OSError) and fault.errno in _UNWRITABLE:
        where = f"outputs: {fault.filename or 'the outputs folder'} cannot be written ({fault.strerror})"
        fault = ConfigError(f"{where}; make room or mend its rights, or set CIFAR_SWEEPS_OUTPUTS to another folder")
    if is_composition_error(fault):
        fault = ConfigError(explain_composition_error(fault))
    if isinstance(fault, CifarSweepsError):
        message = str(fault)
        return f"{type(fault).__name__}: {'' if not message.startswith('- ') else chr(10)}{message}\n"
    return "".join(traceback.format_exception(fault))
