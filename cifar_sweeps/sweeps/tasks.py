"""A task: what a process on another machine needs to run one job, as files in the sweep's folder, and how it ended.

``SWEEP/.tasks/JOB/`` holds ``task.json``, which says what it is, ``payload``, which the worker runs, and after its end
``exit-ATTEMPT.json``. ``SWEEP/.tasks/placed.json`` says which engine runs the sweep's jobs; it is there as long as they
may run without a controller.
"""

import contextlib
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.sweeps.jobs import ExitCause, JobExit, JobSpec
from cifar_sweeps.system.files import write_text_atomic
from cifar_sweeps.tracking.journal import PLACED

TASK, PAYLOAD, _PROGRESS = "task.json", "payload", "progress.json"


@dataclass(frozen=True)
class Task:
    """One attempt at a job. attempt: unlike that of any other start of a job. identity: the training hash, as planned.

    folder, log_file, threads, gpu, until, swept: see `jobs.JobSpec`. timeout: seconds of execution, all allocations
    together. code: hash of the package that is to run it. delivers: whether its process sends to the store what it
    records.
    """

    job: int
    attempt: str
    identity: str
    folder: str
    log_file: str
    threads: int
    timeout: float | None
    gpu: str | None
    until: int | None
    code: str
    delivers: bool
    swept: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Placement:
    """Where a sweep's jobs run. engine: ``slurm`` or ``ray``; options: of its launcher, by their keys."""

    engine: str
    options: Mapping[str, Any]


def tasks_folder(sweep: Path) -> Path:
    """Return the folder of a sweep's tasks."""
    return sweep / PLACED.parent


def write_task(sweep: Path, job: JobSpec, code: str, delivers: bool) -> Path:
    """Write the task of a new attempt at a job and return its folder, an absolute path. Raises OSError."""
    folder = tasks_folder(sweep.absolute()) / str(job.number)
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("exit-*.json"), folder / _PROGRESS):
        old.unlink(missing_ok=True)
    task = Task(
        job=job.number,
        attempt=secrets.token_hex(4),
        identity=job.identity,
        folder=str(job.folder),
        log_file=str(job.log_file),
        threads=job.threads,
        timeout=job.timeout,
        gpu=job.gpu,
        until=job.until,
        code=code,
        delivers=delivers,
        swept=dict(job.swept),
    )
    payload = folder / PAYLOAD
    payload.touch(mode=0o600)  # it is unpickled: nobody else may write it
    payload.write_bytes(job.payload)
    write_text_atomic(folder / TASK, json.dumps(asdict(task), indent=1))
    return folder


def read_task(folder: Path) -> Task:
    """Return the task in a folder. Raises TrackingError if there is none that can be read."""
    try:
        return Task(**json.loads((folder / TASK).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TrackingError(f"{folder}: holds no task of this version of cifar-sweeps ({error})") from error


def read_payload(folder: Path) -> bytes:
    """Return what the worker runs. Raises OSError."""
    return (folder / PAYLOAD).read_bytes()


def remove_payload(sweep: Path, job: int) -> None:
    """Remove what only a job's start needs; its ``task.json`` says under which hash the job was planned."""
    with contextlib.suppress(OSError):
        (tasks_folder(sweep) / str(job) / PAYLOAD).unlink()


def exit_path(folder: Path, attempt: str) -> Path:
    """Return the file in which an attempt at a task says how it ended."""
    return folder / f"exit-{attempt}.json"


def write_exit(folder: Path, attempt: str, job_exit: JobExit) -> None:
    """Write how an attempt at a task ended. Raises OSError."""
    write_text_atomic(exit_path(folder, attempt), json.dumps(asdict(job_exit)))


def read_exit(folder: Path, attempt: str) -> JobExit | None:
    """Return how an attempt at a task ended; None if its process has not said so."""
    try:
        fields = json.loads(exit_path(folder, attempt).read_text(encoding="utf-8"))
        job_exit = JobExit(**fields)
    except (OSError, ValueError, TypeError):
        return None
    return job_exit if job_exit.cause in get_args(ExitCause) else None


def remove_exit(folder: Path, attempt: str) -> None:
    """Forget how an attempt at a task ended: it is started again. Raises OSError."""
    (folder / f"exit-{attempt}.json").unlink(missing_ok=True)


@dataclass(frozen=True)
class Progress:
    """How far an attempt is at the end of an allocation: its epochs, the seconds that it has used so far.

    barren: how many allocations in a row have ended without a further epoch.
    """

    epochs: int = 0
    seconds: float = 0.0
    barren: int = 0


def read_progress(folder: Path, attempt: str) -> Progress:
    """Return how far an attempt was when its last allocation ended; nothing before that."""
    try:
        fields = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
        if fields["attempt"] == attempt:
            return Progress(int(fields["epochs"]), float(fields["seconds"]), int(fields.get("barren", 0)))
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return Progress()


def write_progress(folder: Path, attempt: str, progress: Progress) -> None:
    """Write how far an attempt is at the end of an allocation. Raises OSError."""
    write_text_atomic(folder / _PROGRESS, json.dumps({"attempt": attempt, **asdict(progress)}))


def read_tasks(sweep: Path) -> dict[int, Task]:
    """Return the last task of each job that was ever placed elsewhere, by its number; damaged ones are left out."""
    found = {}
    for path in tasks_folder(sweep).glob(f"*/{TASK}"):
        with contextlib.suppress(TrackingError):
            task = read_task(path.parent)
            found[task.job] = task
    return found


def planned_identities(sweep: Path) -> dict[int, str]:
    """Return the hash under which each job that was ever placed elsewhere was planned, by its number.

    The hash in its journal may be another: its machine may have another device or precision than the one that plans.
    """
    return {number: task.identity for number, task in read_tasks(sweep).items()}


def write_placement(sweep: Path, placement: Placement) -> None:
    """Note where a sweep's jobs run, ahead of the first one. Raises OSError."""
    (sweep / PLACED).parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(sweep / PLACED, json.dumps(asdict(placement), indent=1))


def read_placement(sweep: Path) -> Placement | None:
    """Return where a sweep's jobs run without a controller of their own; None where they do not."""
    try:
        fields = json.loads((sweep / PLACED).read_text(encoding="utf-8"))
        return Placement(str(fields["engine"]), dict(fields["options"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remove_placement(sweep: Path) -> None:
    """Note that no job of a sweep runs any more, and remove the copies of the code that they ran."""
    (sweep / PLACED).unlink(missing_ok=True)
    shutil.rmtree(tasks_folder(sweep) / "code", ignore_errors=True)
