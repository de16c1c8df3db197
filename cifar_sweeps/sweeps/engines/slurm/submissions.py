"""The record of what was submitted to Slurm: on disk before sbatch runs, so that a controller that dies finds it again.

Each submission has a name of its own, which its jobs bear in Slurm, and lies in ``SWEEP/.tasks/slurm/NAME.json``,
beside its script and what Slurm and the scripts print.
"""

import contextlib
import dataclasses
import json
import os
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.sweeps.engines.slurm.commands import TaskId
from cifar_sweeps.sweeps.tasks import tasks_folder
from cifar_sweeps.system.files import write_text_atomic

_PREFIX = "cifar-sweeps"


@dataclass(frozen=True)
class ArrayTask:
    """A task of a submission: which attempt at which job it runs, and that job's task folder."""

    job: int
    attempt: str
    folder: str


@dataclass(frozen=True)
class Submission:
    """An array of tasks. number: they are counted from 0 in each sweep. array: its job id; None: not known (yet)."""

    name: str
    number: int
    tasks: tuple[ArrayTask, ...]
    array: int | None = None

    def path(self, sweep: Path) -> Path:
        """Return its record."""
        return submissions_folder(sweep) / f"{self.name}.json"

    def output(self, sweep: Path, index: int) -> Path:
        """Return where Slurm and the script write what they have to say of a task."""
        return submissions_folder(sweep) / f"{self.name}-{index}.out"

    def write(self, sweep: Path) -> None:
        """Write the record. Raises OSError."""
        write_text_atomic(self.path(sweep), json.dumps(dataclasses.asdict(self)))


def submissions_folder(sweep: Path) -> Path:
    """Return the folder of a sweep's submissions."""
    return tasks_folder(sweep) / "slurm"


def new_submission(number: int, tasks: Iterable[ArrayTask]) -> Submission:
    """Return a submission with a name that no other has."""
    return Submission(f"{_PREFIX}-{secrets.token_hex(5)}", number, tuple(tasks))


def read_submission(path: Path) -> Submission:
    """Read a record. Raises OSError, or ValueError if it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        tasks = tuple(ArrayTask(int(task["job"]), str(task["attempt"]), str(task["folder"])) for task in found["tasks"])
        array = found["array"]
        return Submission(str(found["name"]), int(found["number"]), tasks, None if array is None else int(array))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: no record of a submission ({error})") from error


def read_submissions(sweep: Path) -> list[Submission]:
    """Return a sweep's submissions in their order."""
    found = [read_submission(path) for path in submissions_folder(sweep).glob(f"{_PREFIX}-*.json")]
    return sorted(found, key=lambda each: each.number)


def remove(sweep: Path, submission: Submission) -> None:
    """Remove the record and the script of a submission that Slurm has refused."""
    submission.path(sweep).unlink(missing_ok=True)
    submission.path(sweep).with_suffix(".sh").unlink(missing_ok=True)


def look_anew(folder: Path) -> None:
    """Let files be seen that another machine has written: on NFS a listing asks the server, a name alone may not."""
    with contextlib.suppress(OSError):
        list(folder.iterdir())


def claim(folder: Path, attempt: str, task: TaskId) -> TaskId:
    """Take an attempt at a job for a task, unless another has it; return whose it is.

    A submission that seemed to have failed may turn up all the same: of two arrays that hold an attempt, the first to
    run has it. A task that is queued again is the same one.
    """
    try:
        descriptor = os.open(_claim_path(folder, attempt), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return _wait_for_claim(folder, attempt) or task
    os.write(descriptor, f"{task[0]}_{task[1]}\n".encode())
    os.close(descriptor)
    return task


def read_claim(folder: Path, attempt: str) -> TaskId | None:
    """Return which task has an attempt at a job; None: none yet."""
    try:
        line = _claim_path(folder, attempt).read_text(encoding="ascii")
        array, _, index = line.partition("_")
        return (int(array), int(index)) if line.endswith("\n") else None
    except (FileNotFoundError, ValueError):
        return None


def drop_claim(folder: Path, attempt: str) -> None:
    """Let another task have an attempt whose task has ended."""
    _claim_path(folder, attempt).unlink(missing_ok=True)


def note_stop(folder: Path, attempt: str) -> None:
    """Keep that the controller wants an attempt to end, also where it has not begun or is queued again."""
    _stop_path(folder, attempt).touch()


def is_stopped(folder: Path, attempt: str) -> bool:
    """Whether the controller wants an attempt to end."""
    return _stop_path(folder, attempt).exists()


def note_requeue(folder: Path, attempt: str) -> None:
    """Keep that an attempt has come to its time limit and is to be queued again."""
    _requeue_path(folder, attempt).touch()


def wants_requeue(folder: Path, attempt: str) -> bool:
    """Whether an attempt has come to its time limit, and has not been queued again since."""
    return _requeue_path(folder, attempt).exists()


def drop_requeue(folder: Path, attempt: str) -> None:
    """Forget that an attempt is to be queued again: it is."""
    _requeue_path(folder, attempt).unlink(missing_ok=True)


def _wait_for_claim(folder: Path, attempt: str) -> TaskId | None:
    """Return whose an attempt is whose file is just being written; None if nobody writes it."""
    for _ in range(50):
        if (found := read_claim(folder, attempt)) is not None:
            return found
        time.sleep(0.1)
    return None


def _claim_path(folder: Path, attempt: str) -> Path:
    return folder / f"slurm-{attempt}"


def _stop_path(folder: Path, attempt: str) -> Path:
    return folder / f"stop-{attempt}"


def _requeue_path(folder: Path, attempt: str) -> Path:
    return folder / f"requeue-{attempt}"
