"""TEMPORARY stand-in of the core."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cifar_sweeps.sweeps.jobs import JobExit, JobSpec
from cifar_sweeps.system.files import atomic_write, write_text_atomic

TASKS, TASK, PAYLOAD = ".tasks", "task.json", "payload"


@dataclass(frozen=True)
class Task:
    job: int
    attempt: int
    folder: str
    log_file: str
    threads: int
    timeout: float | None
    gpu: str | None
    until: int | None
    delivers: bool = True


def tasks_folder(sweep: Path) -> Path:
    return sweep / TASKS


def write_task(sweep: Path, spec: JobSpec) -> Path:
    folder = tasks_folder(sweep) / str(spec.number)
    folder.mkdir(parents=True, exist_ok=True)
    attempt = 1 + (read_task(folder).attempt if (folder / TASK).exists() else 0)
    task = Task(
        spec.number, attempt, str(spec.folder), str(spec.log_file), spec.threads, spec.timeout, spec.gpu, spec.until
    )
    with atomic_write(folder / PAYLOAD) as file:
        file.write(spec.payload)
    (folder / TASK).write_bytes(dump_task(task))
    return folder


def read_task(folder: Path) -> Task:
    return Task(**json.loads((folder / TASK).read_text()))


def dump_task(task: Task) -> bytes:
    return json.dumps(asdict(task)).encode()


def exit_file(folder: Path, attempt: int) -> Path:
    return folder / f"exit-{attempt}.json"


def read_exit(folder: Path, attempt: int) -> JobExit | None:
    try:
        return JobExit(**json.loads(exit_file(folder, attempt).read_text()))
    except FileNotFoundError:
        return None
