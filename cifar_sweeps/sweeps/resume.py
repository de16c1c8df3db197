"""Resume a sweep or a single run by its id, control one that was left, train paused jobs of a sweep to their ends."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from cifar_sweeps.errors import HIDDEN, TrackingError
from cifar_sweeps.search.decisions import NAME, Decision, DecisionLog
from cifar_sweeps.sweeps.controller_note import controller_text
from cifar_sweeps.sweeps.manifest import RESUME_FOLDER, find_manifests, read_manifest
from cifar_sweeps.sweeps.previous.launches import read_previous_jobs
from cifar_sweeps.sweeps.tasks import read_placement
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.names import Candidate, choose
from cifar_sweeps.tracking.recorded_run import RecordedRun, finish_command


@dataclass(frozen=True)
class ResumableRun:
    """A sweep or a single run that was stopped: its ids, and what to type after ``cifar-train`` in ``typed_in``.

    can_resume: whether anything of it is left to train. environment: variables that the command needs besides.
    """

    names: tuple[str, ...]
    name: str
    command: tuple[str, ...]
    typed_in: Path
    can_resume: bool
    environment: Mapping[str, str]


def resume(name: str, outputs: Path) -> NoReturn:
    """Replace this process by the command that resumes a sweep or a single run.

    name: a sweep's id, a run's id in MLflow or its folder's name, the beginning of one, or a single run's name.
    Raises TrackingError if there is none, if two could be meant, or if it is a single run that has finished.
    """
    found = sorted([*_sweeps(outputs), *_single_runs(outputs)], key=lambda each: each.names[0], reverse=True)
    candidates = [Candidate(each, each.names, each.name, _shown(each)) for each in found]
    try:
        run = choose(name, candidates, "sweep or run", str(outputs))
    except TrackingError:
        for job in _jobs_named(name, outputs):
            command = finish_command(job.run_id, job.tags)
            raise TrackingError(f"{name}: is a job of a sweep, {job.state_text}; finish it: {command}") from None
        raise
    folder = run.environment.get(RESUME_FOLDER)
    if folder is not None and journal.is_locked(Path(folder)) and journal.has_locks(Path(folder)):
        raise TrackingError(f"{name}: {controller_text(Path(folder))}; cifar-sweeps status {run.names[0]} shows it")
    if not run.can_resume:
        raise TrackingError(
            f"{name}: has finished; cifar-sweeps reproduce trains it again, cifar-sweeps extend makes it longer"
        )
    _become(run, outputs)


def attach(name: str, outputs: Path) -> NoReturn:
    """Replace this process by the command that controls a sweep which was left to run on other machines.

    name: as for `resume`. Raises TrackingError if there is no such sweep, if a command controls it, or if it is over.
    """
    folder = find_sweep(name, outputs)
    if journal.is_locked(folder):
        raise TrackingError(f"{name}: {controller_text(folder)}; cifar-sweeps status {folder.name} shows how far it is")
    if read_placement(folder) is None:
        run = read_run(folder)
        if run is not None and run.state == "FINISHED":
            raise TrackingError(f"{name}: has finished; what came out: cifar-sweeps results {folder.name}")
        raise TrackingError(
            f"{name}: no job of it runs on other machines; what is left of it: cifar-sweeps resume {folder.name}"
        )
    [left] = [each for each in _sweeps(outputs) if each.environment[RESUME_FOLDER] == str(folder.absolute())]
    typed = tuple(each for each in left.command if not each.lstrip("+").startswith("sweep.detach="))
    _become(replace(left, command=(*typed, "sweep.detach=false")), outputs)  # which a study or a file may ask for


def find_sweep(name: str, outputs: Path) -> Path:
    """Return the folder of the sweep with this id, its run's id in MLflow, the beginning of one, or this study.

    Raises TrackingError if there is none, or if two could be meant.
    """
    found = [
        Candidate(folder, (manifest.sweep_id, run.run_id), manifest.study, f"{manifest.sweep_id} ({manifest.study})")
        for folder, manifest in find_manifests(outputs)
        if (run := read_run(folder)) is not None
    ]
    found.sort(key=lambda each: each.ids[0], reverse=True)
    return choose(name, found, "sweep", str(outputs))


def _become(run: ResumableRun, outputs: Path) -> NoReturn:
    sys.stdout.write(f"cifar-train {shlex.join(run.command)}\n")
    sys.stdout.flush()
    environment = {**os.environ, "CIFAR_SWEEPS_OUTPUTS": str(outputs.absolute()), **run.environment}
    if run.typed_in.is_dir():
        os.chdir(run.typed_in)
    # In place of this process, so that signals and the exit status are the command's own.
    os.execve(sys.executable, [sys.executable, "-m", "cifar_sweeps", *run.command], environment)  # noqa: S606


def promote(name: str, jobs: Sequence[int], outputs: Path) -> NoReturn:
    """Replace this process by the command that resumes a sweep, and trains these paused jobs of it to their ends.

    name: of the sweep, as for `resume`. jobs: by their numbers. Raises TrackingError if there is no such sweep, if it
    runs, or if one of them is not paused.
    """
    folder = find_sweep(name, outputs)
    if journal.is_locked(folder):
        raise TrackingError(f"{name}: runs; it promotes by itself, or stop it first (Ctrl-C): nothing is lost")
    states = {job.number: job.run for job in read_previous_jobs(folder)}
    wrong = [
        f"job {job} is {states[job].state_text}" if job in states else f"there is no job {job}"
        for job in jobs
        if job not in states or states[job].state != "PAUSED"
    ]
    paused = [str(job) for job, run in states.items() if run.state == "PAUSED"]
    if not jobs:
        shown = f"name some of those that are paused: {', '.join(paused)}" if paused else "none of its jobs is paused"
        raise TrackingError(f"{name}: {shown}")
    if wrong:
        stopped = any(job in states and states[job].state in ("KILLED", "FAILED") for job in jobs)
        way_on = (
            f"; what was stopped goes on with: cifar-sweeps resume {read_manifest(folder).sweep_id}" if stopped else ""
        )
        raise TrackingError(
            f"{name}: {'; '.join(wrong)}; paused by early stopping are {', '.join(paused) or 'none of its jobs'}"
            f"{way_on}"
        )
    log = DecisionLog(folder / NAME)
    for job in dict.fromkeys(jobs):
        log.append(Decision("asked", (job,), None, rung=int(states[job].tag("early_stopped") or 0)))
    resume(read_manifest(folder).sweep_id, outputs)


def _shown(run: ResumableRun) -> str:
    return run.names[0] if run.names[0] in run.name else f"{run.names[0]} ({run.name})"


def _sweeps(outputs: Path) -> Iterator[ResumableRun]:
    for path, manifest in find_manifests(outputs):
        run = read_run(path)
        if run is not None:  # one that is finished has new jobs, or none
            environment = {RESUME_FOLDER: str(path.absolute()), **_own_store(path)}
            names = (manifest.sweep_id, run.run_id)
            yield ResumableRun(names, run.name, manifest.command, Path(manifest.typed_in), True, environment)


def _own_store(folder: Path) -> dict[str, str]:
    """Return the variable that names the store which a run's journal is sent to, unless it is set, or has a login."""
    uri = journal.read(folder)[0].fields["uri"]
    if not uri or HIDDEN in str(uri) or "MLFLOW_TRACKING_URI" in os.environ:
        return {}
    return {"MLFLOW_TRACKING_URI": str(uri)}


def _single_runs(outputs: Path) -> Iterator[ResumableRun]:
    for folder in journal.folders(outputs):
        run = read_run(folder)
        if run is not None and run.tag("overrides") is not None and run.tag("sweep_id") is None:
            quoted = str(folder.absolute()).replace("\\", "\\\\").replace("'", "\\'")
            overrides, config_dir = shlex.split(run.tag("overrides") or ""), run.tag("config_dir")
            own_files = ("--config-dir", config_dir) if config_dir else ()
            # A sweep's job that was reproduced or made longer by itself: its study would start the sweep.
            single = ("hydra.mode=RUN",) if any(each.startswith("study=") for each in overrides) else ()
            command = (*own_files, *overrides, *single, f"hydra.run.dir='{quoted}'")
            typed_in = Path(run.tag("typed_in") or ".")
            yield ResumableRun(
                (folder.name, run.run_id), run.name, command, typed_in, run.state != "FINISHED", _own_store(folder)
            )


def _jobs_named(run_id: str, outputs: Path) -> Iterator[RecordedRun]:
    """Yield the jobs of sweeps whose run's id begins so."""
    for folder in journal.folders(outputs):
        run = read_run(folder)
        if run is not None and run.tag("job") is not None and run.run_id and run.run_id.startswith(run_id):
            yield run
