"""What the journals of an outputs folder say of its runs, whether or not a store has heard of it."""

from pathlib import Path

from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import OF_AN_END, delivered
from cifar_sweeps.tracking.store import PREFIX, KnownRun


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
