"""What the journals of an outputs folder say of its runs, whether or not a store has heard of it."""

from collections.abc import Callable
from pathlib import Path

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import OF_AN_END, deliver, delivered
from cifar_sweeps.tracking.journal import Journal, State
from cifar_sweeps.tracking.store import PREFIX, KnownRun

ABANDONED = "its process ended without a word: it was killed, or the machine stopped"


def journaled_run(folder: Path) -> KnownRun | None:
    """Return what a folder's journal says of its run; None if there is no journal. ``run_id`` is "" before delivery."""
    entries = journal.read(folder)
    if not entries:
        return None
    opening = entries[0].facts
    state: str = "RUNNING"
    tags, metrics = dict(opening["tags"]), dict[str, float]()
    for entry in entries:
        if entry.op == "resume":
            state = "RUNNING"
            tags = {key: value for key, value in tags.items() if key not in OF_AN_END}
        elif entry.op == "tags":
            tags |= entry.facts["values"]
        elif entry.op == "metrics":
            metrics |= entry.facts["values"]
        elif entry.op == "close":
            state = str(entry.facts["state"])
            if entry.facts["reason"]:
                tags[f"{PREFIX}failure"] = str(entry.facts["reason"])
    return KnownRun(delivered(folder).run_id or "", str(opening["name"]), state, metrics, tags)


def identity_of(folder: Path) -> str | None:
    """Return what a folder's run has in common with any run of the same training; None if there is no journal."""
    entries = journal.read(folder)
    return str(entries[0].facts["identity"]) if entries else None


def note_end(folder: Path, state: State, reason: str, patience: float = 0.2) -> None:
    """Write into a journal whose process is gone how its run ended.

    patience: seconds that it may take to go. Raises TrackingError if it is still at work then.
    """
    ended = Journal(folder, patience)
    try:
        ended.append("close", state=state, reason=reason)
        ended.sync()
    finally:
        ended.close()


def recover(root: Path, say: Callable[[str], None]) -> None:
    """Mark what killed processes left RUNNING under ``root``, and send what they had no time to send.

    say: is told what was found, and what stands against sending it.
    """
    for folder in close_abandoned(root):
        say(f"{folder}: was left running by a process that is gone; it is marked as killed")
    for folder in journal.folders(root):
        # Counting lines is quick, and tells of nearly all that there is nothing to send.
        if journal.lines(folder) != delivered(folder).lines and not journal.is_being_written(folder):
            try:
                deliver(folder)
            except TrackingError as error:  # the others would wait for the same store
                say(f"{error}; cifar-sweeps sync sends what is missing there")
                return


def close_abandoned(root: Path) -> list[Path]:
    """Mark as KILLED what a killed process left RUNNING under ``root``, and return its folders."""
    left = []
    for folder in journal.folders(root):
        if not journal.is_closed(folder) and journal.read(folder) and not journal.is_being_written(folder):
            try:
                note_end(folder, "KILLED", ABANDONED)
            except (TrackingError, OSError):  # somebody has just taken it up, or it is another user's
                continue
            left.append(folder)
    return left
