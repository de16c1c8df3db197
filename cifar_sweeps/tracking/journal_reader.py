"""What the journals of an outputs folder say of its runs, whether or not a store has heard of it."""

from pathlib import Path

from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import END_TAGS, read_delivery_state
from cifar_sweeps.tracking.store import PREFIX, RecordedRun


def read_run(folder: Path) -> RecordedRun | None:
    """Return what a folder's journal says of its run; None if there is no journal. ``run_id`` is "" before delivery."""
    entries = journal.read(folder)
    if not entries:
        return None
    opening = entries[0].fields
    state: str = "RUNNING"
    tags, metrics = dict(opening["tags"]), dict[str, float]()
    for entry in entries:
        if entry.op == "resume":
            state = "RUNNING"
            tags = {key: value for key, value in tags.items() if key not in END_TAGS}
        elif entry.op == "tags":
            tags |= entry.fields["values"]
        elif entry.op == "metrics":
            metrics |= entry.fields["values"]
        elif entry.op == "close":
            state = str(entry.fields["state"])
            if entry.fields["reason"]:
                tags[f"{PREFIX}failure"] = str(entry.fields["reason"])
    return RecordedRun(read_delivery_state(folder).run_id or "", str(opening["name"]), state, metrics, tags)


def read_training_hash(folder: Path) -> str | None:
    """Return what a folder's run has in common with any run of the same training; None if there is no journal."""
    entries = journal.read(folder)
    return str(entries[0].fields["identity"]) if entries else None
