"""Read a run's state, tags and last metrics from its journal.jsonl."""

import statistics
from pathlib import Path

from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import END_TAGS, read_delivery_state
from cifar_sweeps.tracking.names import Candidate, choose, describe
from cifar_sweeps.tracking.recorded_run import PREFIX, RecordedRun, run_state


def read_run(folder: Path) -> RecordedRun | None:
    """Return the run in a folder's journal; None if there is no journal. ``run_id`` is "" before delivery.

    Its state is PAUSED where early stopping of its sweep ended it. Its metrics are the last values, and
    ``seconds_an_epoch``, the median, as in the tables of results.
    """
    entries = journal.read(folder)
    if not entries:
        return None
    header = entries[0].fields
    state: str = "RUNNING"
    tags, metrics, seconds = dict(header["tags"]), dict[str, float](), list[float]()
    for entry in entries:
        if entry.op == "resume":
            state = "RUNNING"
            tags = {key: value for key, value in tags.items() if key not in END_TAGS}
        elif entry.op == "tags":
            tags |= entry.fields["values"]
        elif entry.op == "metrics":
            metrics |= entry.fields["values"]
            seconds += [value for key, value in entry.fields["values"].items() if key == "epoch_seconds"]
        elif entry.op == "close":
            state = str(entry.fields["state"])
            if entry.fields["reason"]:
                tags[f"{PREFIX}failure"] = str(entry.fields["reason"])
    if seconds:
        metrics["seconds_an_epoch"] = statistics.median(seconds)
    run_id = read_delivery_state(folder).run_id or ""
    return RecordedRun(run_id, str(header["name"]), run_state(state, tags), metrics, tags)


def read_training_hash(folder: Path) -> str | None:
    """Return the training hash in a folder's journal (`runs.identity.training_hash`); None if there is no journal."""
    entries = journal.read(folder)
    return str(entries[0].fields["identity"]) if entries else None


def read_best(folder: Path, metric: str) -> float | None:
    """Return the highest value that a run has recorded of a metric, or None."""
    return max(read_curve(folder, metric).values(), default=None)


def read_curve(folder: Path, metric: str) -> dict[int, float]:
    """Return what a run has recorded of a metric, by epoch."""
    return {
        int(entry.fields["step"]): float(entry.fields["values"][metric])
        for entry in journal.read(folder)
        if entry.op == "metrics" and metric in entry.fields["values"]
    }


def find_folder(name: str, outputs: Path) -> Path:
    """Return the folder in ``outputs`` of the sweep or run with this id, unique beginning of one, or name.

    A sweep's folder holds those of its runs. Raises TrackingError if there is none, or if two could be meant.
    """
    candidates = []
    for folder in journal.folders(outputs):
        run = read_run(folder)
        if run is not None:
            sweep_id, is_sweep = run.tag("sweep_id"), run.tag("role") == "sweep"
            own = sweep_id if is_sweep else None if sweep_id else folder.name
            ids = tuple(one for one in (run.run_id, own) if one)
            shown = describe(run.run_id or folder.name, run.name, run.tags, journal.read(folder)[0].time)
            candidates.append(Candidate(folder, ids, run.name, shown))
    return choose(name, candidates[::-1], "sweep or run", str(outputs))
