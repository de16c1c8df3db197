"""Send what a job needs to a node that does not see the controller's outputs: its task, and what its run has so far."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cifar_sweeps.sweeps.engines.ray.actor import MAX_BYTES
from cifar_sweeps.sweeps.engines.ray.job_record import JobRecord
from cifar_sweeps.sweeps.engines.ray.mirror import CHECKPOINTS
from cifar_sweeps.sweeps.engines.ray.relocation import Requirements, relocate_payload
from cifar_sweeps.sweeps.manifest import NAME as MANIFEST
from cifar_sweeps.sweeps.tasks import PAYLOAD, TASK, read_task
from cifar_sweeps.tracking import journal

Call = Callable[..., Any]
"""Calls a method of the job's actor: ``call(method, *arguments)``."""


def send_job(call: Call, sweep: Path, record: JobRecord, requirements: Requirements, payload: bytes) -> None:
    """Send a job to the folder ``record.root`` of its node. sweep: its folder.

    Of a run that has begun, its journal and checkpoints go along: it resumes there. Raises OSError.
    """
    task = read_task(record.task_folder)
    moved = dataclasses.replace(
        task, folder=record.root + task.folder, log_file=record.root + task.log_file, delivers=False
    )
    for path in _files(sweep, record, requirements):
        _send(call, path)
    call("write", str(record.task_folder / PAYLOAD), relocate_payload(payload, requirements, record.root))
    call("write", str(record.task_folder / TASK), json.dumps(dataclasses.asdict(moved)).encode())


def _files(sweep: Path, record: JobRecord, requirements: Requirements) -> Iterator[Path]:
    run = [record.folder / journal.NAME, *sorted((record.folder / CHECKPOINTS).glob("*.pt"))]
    for path in (sweep / MANIFEST, *run, *(Path(file) for file in requirements.files)):
        if path.is_file() and path.stat().st_size:
            yield path


def _send(call: Call, path: Path) -> None:
    offset = 0
    with path.open("rb") as file:
        while part := file.read(MAX_BYTES):
            call("write", str(path), part, offset)
            offset += len(part)
