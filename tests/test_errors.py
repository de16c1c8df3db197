import errno
import os

import pytest

from cifar_sweeps.errors import CifarSweepsError, ConfigError, MachineError, explain_machine_error

TABLE = [
    (
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "outputs/x"),
        ConfigError,
        "outputs/x cannot be written",
        "make room",
    ),
    (OSError(errno.EDQUOT, "Disk quota exceeded", "x"), ConfigError, "x cannot be written", "CIFAR_SWEEPS_OUTPUTS"),
    (OSError(errno.EROFS, "Read-only file system", "x"), ConfigError, "Read-only", "CIFAR_SWEEPS_OUTPUTS"),
    (
        PermissionError(errno.EACCES, "Permission denied", "x"),
        ConfigError,
        "x cannot be read or written",
        "mend its rights",
    ),
    (OSError(errno.EMFILE, "Too many open files"), MachineError, "Too many open files", "ulimit -n"),
    (OSError(errno.ENFILE, "Too many open files in system"), MachineError, "in system", "end other programs"),
    (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), MachineError, "unavailable", "ulimit -u"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), MachineError, "Cannot allocate memory", "hydra.launcher.n_jobs"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), MachineError, "too long", "choose a shorter"),
    (OSError(errno.ESTALE, "Stale file handle", "x"), MachineError, "x: Stale", "cd"),
    (OSError(errno.EIO, "Input/output error", "x"), MachineError, "x: Input/output error", "another"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), MachineError, "x: No such", "put it back"),
    (OSError(errno.ECONNREFUSED, "Connection refused"), MachineError, "Connection refused", ""),
    (OSError("without a number"), MachineError, "without a number", ""),
    (MemoryError(), MachineError, "out of memory", "ulimit -v"),
    (RuntimeError("can't start new thread"), MachineError, "can't start new thread", "ulimit -u"),
    (
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        MachineError,
        "out of memory",
        "ulimit -v",
    ),
]


@pytest.mark.parametrize(("error", "kind", "fact", "remedy"), TABLE, ids=[repr(row[0])[:60] for row in TABLE])
def test_what_a_system_refuses_is_one_message_with_the_remedy(error, kind, fact, remedy):
    told = explain_machine_error(error)
    assert type(told) is kind
    assert fact in str(told)
    assert remedy in str(told)
    assert "\n" not in str(told)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), ImportError("x"), CifarSweepsError("x")])
def test_other_errors_are_not_the_machine_s(error):
    assert explain_machine_error(error) is None
