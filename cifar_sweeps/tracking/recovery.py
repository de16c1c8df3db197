"""Put a store and its journals in order: send what is undelivered, mark runs that died, restore deleted ones."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from cifar_sweeps.errors import TrackingError, in_one_line
from cifar_sweeps.system.scripts import sync_command
from cifar_sweeps.tracking import journal, mlflow_api
from cifar_sweeps.tracking.delivery import (
    count_undelivered_lines,
    deliver,
    give_up,
    read_delivery_state,
    say,
    send_anew,
    store_of,
)
from cifar_sweeps.tracking.journal import Journal, State
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_errors import store_errors

ABANDONED = "its process was killed, or the machine stopped"


def sync(root: Path, gives_up: bool = False) -> bool:
    """Send the undelivered lines of all journals under ``root``, print what was sent, and return whether all was.

    gives_up: do not try again what cannot be sent now, as its store is gone for good; the journals keep it. What was
    sent and then deleted in MLflow stays deleted. Raises TrackingError if there are no journals.
    """
    console = Console(highlight=False)

    def report(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    folders = list(journal.folders(root))
    if not folders:
        raise TrackingError(f"{root}: holds no runs; give an outputs folder, or set CIFAR_SWEEPS_OUTPUTS to it")
    for folder in mark_abandoned(root):
        report(f"{folder}: its process is gone; marked as KILLED")
    sent, failures = 0, list[TrackingError]()
    for folder in folders:
        lines = count_undelivered_lines(folder)
        if lines:
            try:
                deliver(folder)
            except TrackingError as error:
                if gives_up:
                    report(f"given up: {give_up(folder)} lines of {folder} ({error})")
                else:
                    failures.append(error)
                continue
            sent += 1
            report(f"sent {lines} lines of {folder}")
    complete = sum(not count_undelivered_lines(folder) for folder in folders) - sent
    report(f"{len(folders)} runs and sweeps: {sent} sent, {len(failures)} failed, {complete} up to date.")
    for failure in failures:
        report(str(failure))
    if failures:
        report("If the store is gone for good: cifar-sweeps sync --give-up; the journals keep all of it.")
    return not failures


def append_end(folder: Path, state: State, reason: str, timeout: float = 0.2) -> None:
    """Close the journal of a process that is gone with its run's final state.

    timeout: seconds to wait for the process to exit. Raises TrackingError if it is still writing then.
    """
    journal_file = Journal(folder, timeout)
    try:
        journal_file.append("close", state=state, reason=reason)
        journal_file.sync()
    finally:
        journal_file.close()


def recover_abandoned_runs(root: Path, report: Callable[[str], None]) -> None:
    """Mark runs under ``root`` whose process died as KILLED, and send journals that were not fully delivered.

    report: called with a line for each run that was marked, and for an error of the store.
    """
    for folder in mark_abandoned(root):
        report(f"{folder}: its process is gone; marked as KILLED")
    away = set[str]()
    for folder in journal.folders(root):
        # Counting lines is fast, and enough to skip nearly all of them.
        if journal.count_lines(folder) != read_delivery_state(folder).lines and not journal.is_locked(folder):
            uri = store_of(folder, journal.read(folder)[0]).uri
            if uri in away:  # it has just not answered
                continue
            try:
                deliver(folder)
            except TrackingError as error:
                away.add(uri)
                report(f"{error}; send the rest later: {sync_command(root)}")


def mark_abandoned(root: Path) -> list[Path]:
    """Mark the runs under ``root`` that a dead process left RUNNING as KILLED, and return their folders.

    Not those of a sweep that was left to run elsewhere: of them the sweep's own command knows.
    """
    marked, placed = [], list[Path]()
    for folder in journal.folders(root):  # a sweep's own before its runs'
        if (folder / journal.PLACED).exists():
            placed.append(folder)
        if any(folder.is_relative_to(sweep) for sweep in placed):
            continue
        if not journal.is_closed(folder) and journal.read(folder) and not journal.is_locked(folder):
            try:
                append_end(folder, "KILLED", ABANDONED)
            except (TrackingError, OSError):  # it has just been resumed, or is another user's
                continue
            marked.append(folder)
    return marked


def restore_deleted(folder: Path, study: str) -> None:
    """Put back what was deleted in MLflow of the sweep in ``folder``, and say so, a line each.

    What is in MLflow's trash is taken out of it; what is gone for good is sent anew from its journal.
    """
    entries = journal.read(folder)
    if not entries or entries[0].fields["backend"] == "none" or read_delivery_state(folder).run_id is None:
        return
    try:
        _restore_deleted(folder, study, store_of(folder, entries[0]))
    except TrackingError as error:
        say(f"Whether runs of this sweep were deleted cannot be told now: {error}")
    except store_errors() as error:
        say(f"Whether runs of this sweep were deleted cannot be told now: {in_one_line(error)}")


def _restore_deleted(folder: Path, study: str, store: Store) -> None:
    client = store.client()
    before = client.get_experiment_by_name(study)
    if before is not None and before.lifecycle_stage == mlflow_api.LifecycleStage.DELETED:
        say(f"The experiment {study} had been deleted in MLflow; it is restored.")
    runs = store.sweep_runs(store.prepare(study), folder.name, mlflow_api.ViewType.ALL)
    parent = None
    for path in [folder, *(each for each in journal.folders(folder) if each != folder)]:
        run_id = read_delivery_state(path).run_id
        if run_id is None:  # it is sent when its journal is next looked at
            continue
        found = runs.get(run_id)
        if found is None:
            send_anew(path)
        elif found.info.lifecycle_stage == mlflow_api.LifecycleStage.DELETED:
            client.restore_run(run_id)
            say(f"The run {found.info.run_name} had been deleted in MLflow; it is restored.")
        if path == folder:
            parent = read_delivery_state(folder).run_id
        elif found is not None and parent is not None and found.data.tags.get("mlflow.parentRunId") != parent:
            client.set_tag(run_id, "mlflow.parentRunId", parent)
