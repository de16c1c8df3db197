"""Journals that wait for their store, sent."""

from pathlib import Path

from rich.console import Console

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import deliver, lines_behind
from cifar_sweeps.tracking.journaled import recover


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
    recover(root, say)
    sent, faults = 0, list[TrackingError]()
    for folder in folders:
        lines = lines_behind(folder)
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
