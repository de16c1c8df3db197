import errno
import fcntl
import os
import subprocess
import sys

import pytest

from cifar_sweeps.system.locks import file_lock, lock_if_possible
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal import Journal

WITHOUT_LOCKS = [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL]


def test_a_lock_excludes_other_processes_and_is_released(tmp_path):
    path = tmp_path / "lock"
    trying = f"import fcntl; fcntl.flock(open({str(path)!r}), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    command = [sys.executable, "-c", trying]
    with file_lock(path):
        assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(params=WITHOUT_LOCKS, ids=errno.errorcode.get)
def no_locks(request, monkeypatch):
    def flock(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_without_locks_the_work_is_done_all_the_same(tmp_path, no_locks):
    with file_lock(tmp_path / "lock"):
        pass
    with (tmp_path / "lock").open() as file:
        assert not lock_if_possible(file.fileno(), fcntl.LOCK_EX)


def test_without_locks_what_has_ended_is_reused_and_what_may_be_at_work_is_left_alone(tmp_path, no_locks):
    for state in ("FINISHED", "KILLED", None):
        folder = tmp_path / str(state)
        folder.mkdir()
        written = Journal(folder)
        written.append("open", name=str(state))
        if state is not None:
            written.append("close", state=state, reason="")
        written.close()
        assert journal.is_locked(folder) == (state is None)
        assert not journal.has_locks(folder)


def test_with_locks_a_journal_is_locked_while_it_is_written(tmp_path):
    written = Journal(tmp_path)
    written.append("open", name="run")
    assert journal.is_locked(tmp_path)
    assert journal.has_locks(tmp_path)
    written.close()
    assert not journal.is_locked(tmp_path)
