"""How far a sweep is, wherever its jobs run: from its journals and what its engine says."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.errors import CifarSweepsError, TrackingError
from cifar_sweeps.sweeps.controller_note import controller_text
from cifar_sweeps.sweeps.engines.base import ENDED
from cifar_sweeps.sweeps.engines.setup import make_setup
from cifar_sweeps.sweeps.manifest import read_manifest, run_name
from cifar_sweeps.sweeps.previous.launches import PreviousJob, queued_jobs, read_previous_jobs
from cifar_sweeps.sweeps.tasks import read_placement, read_tasks
from cifar_sweeps.system.scripts import shell_command, store_environment
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_curve, read_run


@dataclass(frozen=True)
class JobStatus:
    """One job. state: in a word, as in the live table; epochs done and to do; accuracy: the best on validation so far.

    A job that died while no command watched has ``ended``. seconds: since the last line of its journal. where: what the
    engine says of it, such as ``on node7``.
    """

    job: int
    name: str
    state: str
    epoch: int
    epochs: int | None
    best_val_accuracy: float | None
    seconds: float | None
    where: str = ""


@dataclass(frozen=True)
class SweepStatus:
    """A sweep. controller: which command controls it, in words; empty: none. engine: where its jobs run.

    state: that of its record, or without a command ``left to run``, ``left`` where no job of it runs any more, or
    ``stopped``.

    not_started: jobs that have neither begun nor been placed. problem: why the engine does not say where jobs are.
    """

    sweep: str
    study: str
    state: str
    engine: str
    controller: str
    jobs: tuple[JobStatus, ...]
    not_started: int
    problem: str = ""
    next_commands: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(asdict(self), indent=1)


def read_status(folder: Path, outputs: Path) -> SweepStatus:
    """Return how far the sweep in a folder is. outputs: for the commands that are named.

    Raises TrackingError if its record cannot be read.
    """
    manifest, parent = read_manifest(folder), read_run(folder)
    if parent is None:
        raise TrackingError(f"{folder}: holds no sweep that has started")
    placement = read_placement(folder)
    where: Mapping[int, str] = {}
    problem = ""
    if placement is not None:
        try:
            where = make_setup(placement.engine, placement.options).where(folder)
        except (CifarSweepsError, OSError) as error:
            problem = f"{placement.engine} does not say where the jobs are: {error}"
    previous = read_previous_jobs(folder)
    is_controlled = journal.is_locked(folder)
    can_run = placement is not None or is_controlled
    queued = queued_jobs(folder, previous) if placement is not None else {}
    if is_controlled:  # the command sees their ends, and decides what comes of them
        where = {number: place for number, place in where.items() if not place.startswith(ENDED)}
    elif placement is not None and not problem:
        numbers = (*(job.number for job in previous), *queued)
        where = {**dict.fromkeys(numbers, f"{ENDED}{placement.engine} does not know it"), **where}
    jobs = [_job_status(job, where, can_run) for job in previous]
    tasks = read_tasks(folder) if queued else {}
    for number in queued:
        place = where.get(number, "")
        state = "running" if place and not place.startswith("queued") else "queued"  # it has begun, and imports
        if place.startswith(ENDED):
            state, place = "ended", _end_text(place)
        values = tasks[number].swept
        name = run_name([f"{key}={value}" for key, value in values.items()], tuple(values))
        jobs.append(JobStatus(number, name, state, 0, None, None, None, place))
    lives = any(job.state in ("queued", "running") for job in jobs)
    planned = int(parent.tag("jobs") or 0)
    state = parent.state.lower()
    if parent.state == "RUNNING" and not is_controlled:
        left = "left to run" if lives or problem else "left"
        state = left if placement is not None else "stopped"
    return SweepStatus(
        sweep=manifest.sweep_id,
        study=manifest.study,
        state=state,
        engine=placement.engine if placement is not None else parent.tag("engine") or "local",
        controller=controller_text(folder) if is_controlled else "",
        jobs=tuple(sorted(jobs, key=lambda job: job.job)),
        not_started=max(0, planned - len(jobs)),
        problem=problem,
        next_commands=tuple(
            shell_command("cifar-sweeps", [name, manifest.sweep_id], store_environment(outputs, None))
            for name in _next_commands(state, placement is not None, is_controlled, lives)
        ),
    )


def _job_status(job: PreviousJob, where: Mapping[int, str], can_run: bool) -> JobStatus:
    entries = journal.read(job.folder)
    params: Mapping[str, str] = next((entry.fields["values"] for entry in entries if entry.op == "params"), {})
    epochs = int(params["trainer.epochs"]) * int(params.get("trainer.parts", 1)) if "trainer.epochs" in params else None
    state = {"RUNNING": "running", "FINISHED": "finished", "PAUSED": "paused", "FAILED": "failed"}.get(
        job.run.state, "killed"
    )
    told = where.get(job.number, "")
    if told.startswith(ENDED):  # a journal that was closed says it better
        state, told = ("ended", _end_text(told)) if state == "running" else (state, "")
    elif told and state != "finished":  # the journal of one that is queued again says how it was stopped, or paused
        state = "queued" if told.startswith("queued") else "running"
    elif state == "running" and not can_run:
        state = "stopped"
    return JobStatus(
        job=job.number,
        name=job.run.name,
        state=state,
        epoch=max(read_curve(job.folder, "train/loss"), default=0),
        epochs=epochs,
        best_val_accuracy=max(read_curve(job.folder, "val/accuracy").values(), default=None),
        seconds=round(time.time() - entries[-1].time / 1000, 1) if entries else None,
        where=told,
    )


def _end_text(place: str) -> str:
    return f"{place.removeprefix(ENDED)}; cifar-sweeps attach retries it"


def _next_commands(state: str, is_placed: bool, is_controlled: bool, lives: bool) -> Iterator[str]:
    if is_controlled:
        yield "stop"
    elif is_placed:
        yield "attach"
        if lives:
            yield "stop"
    elif state != "finished":
        yield "resume"


def status_table(status: SweepStatus) -> TextTable:
    """Return the jobs as a table for the terminal."""
    columns = (
        Column("job", True),
        Column("values", False),
        Column("epoch", True),
        Column("best val acc", True),
        Column("last line", True),
        Column("state", False),
    )
    rows = [
        (
            str(job.job),
            job.name,
            f"{job.epoch}/{'?' if job.epochs is None else job.epochs}",
            "" if job.best_val_accuracy is None else f"{job.best_val_accuracy:.4f}",
            "" if job.seconds is None else f"{_ago(job.seconds)} ago",
            f"{job.state} {job.where}".strip() if not job.where.startswith(job.state) else job.where,
        )
        for job in status.jobs
    ]
    return TextTable("", columns, tuple(rows))


def summary_line(status: SweepStatus) -> str:
    """Return how many jobs there are of each state."""
    counts = Counter(job.state for job in status.jobs)
    parts = [f"{count} {state}" for state, count in counts.items()]
    parts += [f"{status.not_started} not started"] if status.not_started else []
    return ", ".join(parts) or "no jobs yet"


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
