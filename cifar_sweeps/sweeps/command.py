"""Run `cifar-train`: exit status, error messages, and closing the sweep on any exit."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from cifar_sweeps.config.hydra_messages import explain_composition_error
from cifar_sweeps.errors import (
    CifarSweepsError,
    ConfigError,
    JobFailedError,
    explain_machine_error,
    hide_secrets,
    in_one_line,
)
from cifar_sweeps.hydra_support import AbortHydra, is_composition_error
from cifar_sweeps.system.signals import INTERRUPTED, TERMINATED, Terminated, interrupt_on_signals
from cifar_sweeps.system.surroundings import prepare

if TYPE_CHECKING:  # they import mlflow, which `cifar-train --help` can do without
    from cifar_sweeps.sweeps.parent_run import ParentRun
    from cifar_sweeps.tracking.journal import State

FULL_ERROR = "HYDRA_FULL_ERROR"


class Command:
    """One call of cifar-train. parent_run: of the sweep that it runs, once that is prepared."""

    def __init__(self) -> None:
        self.parent_run: ParentRun | None = None
        self._cleanups: list[Callable[[], object]] = []

    def on_exit(self, cleanup: Callable[[], object]) -> None:
        """Call ``cleanup`` when the command ends, also when a second signal ends it at once."""
        self._cleanups.append(cleanup)

    def clean_up(self) -> None:
        """Call what `on_exit` was given; each once."""
        while self._cleanups:
            self._cleanups.pop()()

    def run(self, entry: Callable[[], object]) -> int:
        """Run Hydra's entry and return the command's exit status, with one clear message on stderr for an error.

        With ``HYDRA_FULL_ERROR=1`` in the environment an error's whole traceback is printed instead.
        """
        try:
            for line in prepare(_report_failing_output):
                sys.stderr.write(f"{line}\n")
        except CifarSweepsError as error:
            sys.stderr.write(_message(error))
            return 1
        full = os.environ.get(FULL_ERROR) == "1"
        os.environ[FULL_ERROR] = "1"  # otherwise Hydra prints the error its own way and exits by itself
        status = 0
        with interrupt_on_signals(self.clean_up):
            try:
                entry()
            except (Exception, KeyboardInterrupt, AbortHydra) as error:  # noqa: BLE001 (all errors are printed here)
                status = _status(error)
                if full and status:
                    sys.stderr.write(hide_secrets(traceback.format_exc()))
                elif status and not isinstance(error, JobFailedError):  # the sweep's summary prints those
                    sys.stderr.write(_message(error))
            finally:
                if not full:
                    del os.environ[FULL_ERROR]
                self.clean_up()
                status = self._end_sweep(status) or status
        return status

    def _end_sweep(self, status: int) -> int:
        """Close the parent run, if any; return the command's status if it could not be closed, or did not finish."""
        if self.parent_run is None:
            return 0
        state: State | None = "KILLED" if status in (INTERRUPTED, TERMINATED) else "FAILED" if status else None
        try:
            return 0 if self.parent_run.end(state) == "FINISHED" or status else 1
        except KeyboardInterrupt as interrupt:
            sys.stderr.write(_message(interrupt))
            return _status(interrupt)
        except Exception as error:  # noqa: BLE001 (a store that has gone away must not hide what else is printed)
            sys.stderr.write(f"TrackingError: the sweep's record could not be closed: {in_one_line(error)}\n")
            return status or 1


_SHOWS = frozenset({"--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--version"})
"""Flags with which the command only shows something, and trains nothing."""


def _report_failing_output(stream: str, error: OSError) -> None:
    """Say once that the output is lost: the training goes on, and all of it is in the logs and the store."""
    if stream == "stdout" and _SHOWS.isdisjoint(sys.argv):  # ``--help | head`` has lost nothing
        line = (
            f"standard output cannot be written ({error.strerror}): the command goes on without it, "
            "and records all as always; Ctrl-C stops it\n"
        )
        with contextlib.suppress(OSError):  # past sys.stderr, which a live table sends through the output that fails
            os.write(2, line.encode("ascii", "replace"))


def _status(error: BaseException) -> int:
    if isinstance(error, AbortHydra) and error.error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    return 1


def _message(error: BaseException) -> str:
    cause = error.error if isinstance(error, AbortHydra) and error.error is not None else error
    if isinstance(cause, KeyboardInterrupt):
        return "\nTerminated.\n" if isinstance(cause, Terminated) else "\nInterrupted.\n"
    if is_composition_error(cause):  # first: some of Hydra's are OSErrors
        cause = ConfigError(explain_composition_error(cause))
    cause = explain_machine_error(cause) or cause
    if isinstance(cause, CifarSweepsError):
        message = str(cause)
        return hide_secrets(f"{type(cause).__name__}: {'' if not message.startswith('- ') else chr(10)}{message}\n")
    return hide_secrets("".join(traceback.format_exception(cause)))
