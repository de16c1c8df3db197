"""What can be wrong before or while a run trains, each said in one clear message.

A message names what arrived, what is allowed and what to do. The commands print it without a traceback.
"""

import difflib
from collections.abc import Iterable, Iterator


class CifarSweepsError(Exception):
    """Anything that the user can mend; the commands print its message alone and exit non-zero."""


class ConfigError(CifarSweepsError):
    """A config that cannot be run. Carries every fault that was found, not just the first."""

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.errors = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__(self.errors[0] if len(self.errors) == 1 else "\n".join(f"- {fault}" for fault in self.errors))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[tuple[str, ...]]]:
        return type(self), (self.errors,)


class DataError(CifarSweepsError):
    """A data set that is missing, damaged or cannot be fetched."""


class TrainingError(CifarSweepsError):
    """A training that cannot go on, such as a loss that is no longer finite."""


class TrackingError(CifarSweepsError):
    """A store of runs that cannot be reached, read or written."""


class JobFailedError(CifarSweepsError):
    """What a sweeper gets in place of a failed job's value. The sweep tells of it at its end, with all the others."""


def in_one_line(error: BaseException) -> str:
    """Return an exception's kind and the first line of its message, with a plain word where memory has run out."""
    text = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return f"out of memory: {text or type(error).__name__}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def did_you_mean(word: str, allowed: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest allowed word, or ``""`` if none is near."""
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
