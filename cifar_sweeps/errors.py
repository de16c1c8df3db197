"""Errors that the user can fix, each with one clear message.

A message states the value received, the values allowed and what to do. The commands print it without a traceback.
"""

import difflib
import errno
import os
import re
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


class NotDownloadedError(DataError):
    """A data set is missing, and was not to be downloaded."""


class TrainingError(CifarSweepsError):
    """Training cannot continue, for example because the loss is no longer finite."""


class TrackingError(CifarSweepsError):
    """A store of runs cannot be reached, read or written."""


class MachineError(CifarSweepsError):
    """The machine, its limits or the environment do not give a command what it needs."""


class JobFailedError(CifarSweepsError):
    """Raised when a sweeper reads a failed job's value. The sweep reports all failed jobs at its end."""


def in_one_line(error: BaseException) -> str:
    """Return an exception's type and the first line of its message, or what has run out where that is the reason."""
    text = hide_secrets((str(error).strip().splitlines() or [""])[0])
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.EAGAIN):
        return f"{error.strerror}: {_REMEDIES[error.errno]}"
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return f"out of memory: {text or type(error).__name__}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


HIDDEN = "***"
_SECRET_VARIABLES = (
    *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DATABRICKS_TOKEN"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"),
)
_IN_ADDRESS = re.compile(r"(\w://[^\s/:@]*:)([^\s'\"<>]+)(@)")  # to the last @: a password may hold one, or a slash
_TOKEN = re.compile(r"(https?://)([^\s/:@*]+)(@)", re.IGNORECASE)
"""A server's address with a token in place of a user and a password."""
_BARE = re.compile(r"(?<![\w/@:.])([A-Za-z_][\w.+-]*:)(?!//)([^\s'\"<>@/]+)(@[\w.-]+(?::\d+)?)")
"""``user:password@host``, whose scheme was forgotten."""
_IN_QUERY = re.compile(r"([?&]\w*(?:pass|pwd|secret|token|credential|key)\w*=)([^\s&'\"]+)", re.IGNORECASE)


def hide_secrets(text: str) -> str:
    """Return a text with the passwords of addresses, and those that MLflow takes from the environment, as ***.

    A library's own message may hold the address that it could not reach.
    """
    for pattern, by in (
        (_IN_ADDRESS, rf"\1{HIDDEN}\3"),
        (_BARE, rf"\1{HIDDEN}\3"),
        (_TOKEN, rf"\1{HIDDEN}\3"),
        (_IN_QUERY, rf"\1{HIDDEN}"),
    ):
        text = pattern.sub(by, text)
    for name in _SECRET_VARIABLES:
        secret = os.environ.get(name)
        if secret:
            text = text.replace(secret, HIDDEN)
    return text


_UNWRITABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
)
_REMEDIES = {
    errno.EMFILE: "raise the limit of open files (ulimit -n 4096), or run fewer jobs at once (hydra.launcher.n_jobs)",
    errno.ENFILE: "the whole machine has too many files open: end other programs",
    errno.EAGAIN: "raise the limit of processes (ulimit -u), or run fewer jobs at once (hydra.launcher.n_jobs)",
    errno.ENOMEM: "run fewer jobs at once (hydra.launcher.n_jobs), raise the limit (ulimit -v) or free memory",
    errno.ENAMETOOLONG: "choose a shorter name or folder",
    errno.ESTALE: "the network mount was renewed: go to the folder anew (cd), and repeat the command",
    errno.EIO: "the disk or mount does not answer as it should: look at it, or set CIFAR_SWEEPS_OUTPUTS to another",
    errno.ENOENT: "it, or the folder that it should be in, is gone: put it back, or set CIFAR_SWEEPS_OUTPUTS",
}


def explain_machine_error(error: BaseException) -> CifarSweepsError | None:
    """Return what the system refused, with the remedy, as an error for the user; None for all other errors."""
    if isinstance(error, CifarSweepsError):
        return None
    text = (str(error).strip().splitlines() or [""])[0]
    no_room = "failed to map segment" in text or "allocate memory" in text  # a library that could not be loaded
    if isinstance(error, MemoryError) or (isinstance(error, ImportError | RuntimeError) and no_room):
        detail = text or "no memory is left"
        return MachineError(f"out of memory: {detail}; raise the limit (ulimit -v) or free memory")
    if isinstance(error, RuntimeError) and "can't start new thread" in text:
        return MachineError(f"{text}: {_REMEDIES[errno.EAGAIN]}")
    if not isinstance(error, OSError):
        return None
    if error.errno in _UNWRITABLE:
        refused = "read or written" if error.errno in (errno.EACCES, errno.EPERM) else "written"
        return ConfigError(
            f"outputs: {error.filename or 'the outputs folder'} cannot be {refused} ({error.strerror}); "
            "make room or mend its rights, or set CIFAR_SWEEPS_OUTPUTS to another folder"
        )
    where = f"{error.filename}: " if error.filename else ""
    remedy = _REMEDIES.get(error.errno or 0)
    return MachineError(f"{where}{error.strerror or text}{f'; {remedy}' if remedy else ''}")


def did_you_mean(name: str, allowed: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    """Return ``; did you mean 'x'?`` for the closest allowed name, or ``""`` if none is close."""
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""
