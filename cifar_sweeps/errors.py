"""Errors that the user can fix, each with one clear message.

A message states the value received, the values allowed and what to do. The commands print it without a traceback.
"""

import difflib
from collections.abc import Iterable, Iterator


class CifarSweepsError(Exception):
    """Base class of errors that the user can fix; the commands print only the message and exit non-zero."""


class ConfigError(CifarSweepsError):
    """An invalid config. Carries every error that was found, not just the first."""

    def __init__(self, errors: str | Iterable[str]) -> None:
        self.errors = (errors,) if isinstance(errors, str) else tuple(errors)
        super().__init__(self.errors[0] if len(self.errors) == 1 else "\n".join(f"- {error}" for error in self.errors))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[tuple[str, ...]]]:
        return type(self), (self.errors,)


class DataError(CifarSweepsError):
    """A data set is missing, damaged or cannot be downloaded."""


class TrainingError(CifarSweepsError):
    """Training cannot continue, for example because the loss is no longer finite."""


class TrackingError(CifarSweepsError):
    """A store of runs cannot be reached, read or written."""


class JobFailedError(CifarSweepsError):
    """Raised when a sweeper reads a failed job's value. The sweep reports all failed jobs at its end."""


def in_one_line(error: BaseException) -> str:
    """Return an exception's type and the first line of its message, or "out of memory" where that is the reason."""
    text = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return f"out of memory: {text or type(error).__name__}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def did_you_mean(name: str, allowed: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    """Return ``; did you mean 'x'?`` for the closest allowed name, or ``""`` if none is close."""
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""
