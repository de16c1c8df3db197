"""What the controller keeps of a job's actor, beside the job's task: another controller finds the job again by it."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cifar_sweeps.sweeps.engines.ray.actor import TaskPaths
from cifar_sweeps.system.files import write_text_atomic

NAME = "ray.json"
_PATHS = frozenset({"task_folder", "folder", "log_file", "exit_file"})


@dataclass(frozen=True)
class JobRecord:
    """One attempt at a job. task_folder, folder, log_file, exit_file: on the controller, absolute.

    node: the name of the host of its actor, empty until it is placed. root: of the folder on the node that stands for
    the controller's root folder, empty where the outputs are shared. log_start: bytes of the log of earlier attempts.
    """

    job: int
    attempt: str
    actor: str
    task_folder: Path
    folder: Path
    log_file: Path
    exit_file: Path
    node: str = ""
    root: str = ""
    log_start: int = 0

    def write(self) -> None:
        """Write it into the task's folder."""
        write_text_atomic(self.task_folder / NAME, json.dumps(asdict(self), default=str))

    def paths_on_node(self, typed_in: str) -> TaskPaths:
        """Return where the node has what belongs to the job. typed_in: where the command was typed."""
        places = (self.task_folder, self.folder, self.log_file, self.exit_file, typed_in)
        return TaskPaths(*(f"{self.root}{place}" for place in places))


def find_records(tasks: Path) -> Iterator[JobRecord]:
    """Yield the records of a sweep's jobs; damaged ones are left out. tasks: the folder of all tasks."""
    for path in sorted(tasks.glob(f"*/{NAME}")):
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            places: dict[str, Any] = {
                key: Path(values.pop(key)) for key in ("task_folder", "folder", "log_file", "exit_file")
            }
            yield JobRecord(**values, **places)
        except (OSError, ValueError, KeyError, TypeError):
            continue


def actor_name(sweep: Path, job: int, attempt: str) -> str:
    """Return the name of the actor of an attempt at a job, which no other sweep has: its folder's name is a time."""
    return re.sub(r"[^\w.-]", "_", f"{sweep.name}-{job}-{attempt}")
