"""Journals that wait for their store, sent."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import count_undelivered_lines, deliver, read_delivery_state
from cifar_sweeps.tracking.journal import Journal, State

ABANDONED = "its process ended without a word: it was killed, or the machine stopped"


def sync(root: Path) -> bool:
    """Send what the stores lack of all journals under ``root``, print what was sent, and say whether all of it was.

    Raises TrackingError if there are no journals.
    """
    console = Console(highlight=False)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    folders = list(journal.folders(root))
    if not folders:
        raise TrackingError(f"{root}: holds no runs; name an outputs folder, or set CIFAR_SWEEPS_OUTPUTS to it")
    recover_abandoned_runs(root, say)
    sent, faults = 0, list[TrackingError]()
    for folder in folders:
        lines = count_undelivered_lines(folder)
        if lines:
            try:
                deliver(folder)
            except TrackingError as error:
                faults.append(error)
                continue
            sent += 1
            say(f"sent {lines} lines of {folder}")
    say(f"Of {len(folders)} runs and sweeps {sent} had something to send, {len(faults)} could not be sent.")
    for fault in faults:
        say(str(fault))
    return not faults


def append_end(folder: Path, state: State, reason: str, patience: float = 0.2) -> None:
    """Write into a journal whose process is gone how its run ended.

    patience: seconds that it may take to go. Raises TrackingError if it is still at work then.
    """
    ended = Journal(folder, patience)
    try:
        ended.append("close", state=state, reason=reason)
        ended.sync()
    finally:
        ended.close()


def recover_abandoned_runs(root: Path, say: Callable[[str], None]) -> None:
    """Mark what killed processes left RUNNING under ``root``, and send what they had no time to send.

    say: is told what was found, and what stands against sending it.
    """
    for folder in mark_abandoned(root):
        say(f"{folder}: was left running by a process that is gone; it is marked as killed")
    for folder in journal.folders(root):
        # Counting lines is quick, and tells of nearly all that there is nothing to send.
        if journal.count_lines(folder) != read_delivery_state(folder).lines and not journal.is_locked(folder):
            try:
                deliver(folder)
            except TrackingError as error:  # the others would wait for the same store
                say(f"{error}; cifar-sweeps sync sends what is missing there")
                return


def mark_abandoned(root: Path) -> list[Path]:
    """Mark as KILLED what a killed process left RUNNING under ``root``, and return its folders."""
    left = []
    for folder in journal.folders(root):
        if not journal.is_closed(folder) and journal.read(folder) and not journal.is_locked(folder):
            try:
                append_end(folder, "KILLED", ABANDONED)
            except (TrackingError, OSError):  # somebody has just taken it up, or it is another user's
                continue
            left.append(folder)
    return left
