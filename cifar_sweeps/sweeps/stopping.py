"""Stop a sweep: its command where it has one, else its jobs on other machines; close its record."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.sweeps.controller import STOP_SECONDS
from cifar_sweeps.sweeps.controller_note import controller_text, read_note
from cifar_sweeps.sweeps.engines.base import Engine
from cifar_sweeps.sweeps.engines.setup import make_setup
from cifar_sweeps.sweeps.jobs import JobExit
from cifar_sweeps.sweeps.manifest import read_manifest
from cifar_sweeps.sweeps.tasks import Placement, read_placement, remove_placement
from cifar_sweeps.system.cores import Parallelism
from cifar_sweeps.system.scripts import shell_command, store_environment
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import undelivered_folders
from cifar_sweeps.tracking.delivery_thread import END_PATIENCE, deliver_patiently
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.recovery import append_end
from cifar_sweeps.tracking.store import StoreUnavailableError

_KILL_SECONDS = 15.0
"""Seconds that an engine has to report the end of jobs that were killed."""


def stop_sweep(folder: Path, outputs: Path, report: Callable[[str], object]) -> None:
    """Stop a sweep: its command, or where it has none its jobs on other machines, at safe points; close its record.

    report: called with a line for what is done. Raises TrackingError if it does not run, or cannot be stopped here.
    """
    if journal.is_locked(folder):
        _stop_command(folder, report)
        return
    placement, name = read_placement(folder), read_manifest(folder).sweep_id
    if placement is None:
        run = read_run(folder)
        ended = run is not None and run.state != "RUNNING"
        why = "has ended (its command may still write the report)" if ended else "does not run"
        raise TrackingError(f"{name}: {why}; nothing was stopped")
    try:
        held = journal.Journal(folder)  # so that no command attaches to it meanwhile
    except TrackingError as error:
        raise TrackingError(f"{name}: {controller_text(folder)}; try again") from error
    try:
        _stop_left(folder, name, placement, report)
        held.append("close", state="KILLED", reason="it was stopped")
        held.sync()
    finally:
        held.close()
    remove_placement(folder)
    environment = store_environment(outputs, None)
    _send(folder, report, shell_command("cifar-sweeps", ["sync"], environment))
    report(f"Stopped. What was trained is kept; go on: {shell_command('cifar-sweeps', ['resume', name], environment)}")


def _stop_left(folder: Path, name: str, placement: Placement, report: Callable[[str], object]) -> None:
    engine = make_setup(placement.engine, placement.options).open(folder, Parallelism(1, 1), True)
    try:
        running = {*engine.adopt(folder)}
        if not running and _is_whole(folder):
            raise TrackingError(f"{name}: all of its jobs have finished; cifar-sweeps attach {name} closes it")
        exits = _stop_jobs(engine, running, report)
    finally:
        engine.close()
    for path in journal.folders(folder):
        run = read_run(path)
        if path != folder and run is not None and run.state == "RUNNING":
            job_exit = exits.get(int(run.tag("job") or -1))
            with contextlib.suppress(TrackingError):  # it still writes: its own end comes
                append_end(path, "KILLED", (job_exit.detail if job_exit else "") or "it was stopped", 10.0)


def _is_whole(folder: Path) -> bool:
    """Say whether all jobs that the sweep planned have finished."""
    parent = read_run(folder)
    planned = int((parent and parent.tag("jobs")) or 0)
    runs = [read_run(path) for path in journal.folders(folder) if path != folder]
    return planned > 0 and sum(run is not None and run.state == "FINISHED" for run in runs) >= planned


def _send(folder: Path, report: Callable[[str], object], again: str) -> None:
    """Send to the store what the jobs have recorded, and that they were stopped."""
    problem: TrackingError | None = None
    for path in undelivered_folders(folder):
        try:
            deliver_patiently(path, END_PATIENCE)
        except StoreUnavailableError as error:  # the others would wait for the same store
            problem = error
            break
        except TrackingError as error:
            problem = error
    if problem is not None:
        report(f"{problem}\nNot all is in the store yet; send it: {again}")


def _stop_command(folder: Path, report: Callable[[str], object]) -> None:
    note = read_note(folder)
    if note is None or not note.is_here:
        where = "an unknown machine" if note is None else note.host
        raise TrackingError(
            f"its command runs on {where}: stop it there (Ctrl-C, or cifar-sweeps stop); or wait for it"
        )
    try:
        os.kill(note.process_id, signal.SIGTERM)
    except PermissionError:
        raise TrackingError(f"process {note.process_id} is another user's, who can stop it") from None
    except ProcessLookupError:
        raise TrackingError(f"process {note.process_id}, which controlled it, has just ended") from None
    report(f"Asked its command (process {note.process_id}) to stop; its jobs end at safe points …")
    end = time.monotonic() + 2 * STOP_SECONDS
    while journal.is_locked(folder):
        if time.monotonic() > end:
            raise TrackingError(f"it has not stopped within {2 * STOP_SECONDS:.0f} s; kill process {note.process_id}")
        time.sleep(0.2)
    report("Stopped.")


def _stop_jobs(engine: Engine, running: set[int], report: Callable[[str], object]) -> dict[int, JobExit]:
    exits: dict[int, JobExit] = {}
    report(f"Stopping {len(running)} job{'' if len(running) == 1 else 's'} at safe points …")
    for patience, now in ((STOP_SECONDS, False), (_KILL_SECONDS, True)):
        for job in running:
            engine.stop(job, now=now)
        end = time.monotonic() + patience
        while running and time.monotonic() < end:
            for item in engine.wait(0.5):
                if isinstance(item, JobExit):
                    exits[item.job] = item
                    running.discard(item.job)
        if running and not now:
            report(f"{len(running)} did not stop within {STOP_SECONDS:.0f} s; killed")
    if running:
        raise TrackingError(f"the engine does not say that jobs {sorted(running)} have ended; try again")
    return exits
