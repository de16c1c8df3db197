"""One run again, from what the store has of it, and whether it came out the same."""

import logging
import math
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from cifar_sweeps.compose import compose
from cifar_sweeps.errors import TrackingError
from cifar_sweeps.run import run
from cifar_sweeps.sweeps.records import open_record
from cifar_sweeps.tracking.store import KnownRun, Store
from cifar_sweeps.watching import LogWatcher, TerminalWatcher, Watchers

COMPARED = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")


@dataclass(frozen=True)
class Difference:
    """Where a repeated run departs from the recorded one."""

    metric: str
    epoch: int
    recorded: float
    repeated: float


def overrides_of(known: KnownRun) -> list[str]:
    """Return what to type after ``cifar-train`` to repeat a run: its overrides, its threads and its precision.

    The latter two change sums in their last digits, and the machine may have chosen them. Raises TrackingError if the
    record does not hold them.
    """
    recorded, threads, precision = known.tag("overrides"), known.tag("threads"), known.tag("precision")
    if recorded is None or threads is None or precision is None:
        raise TrackingError(f"{known.run_id} ({known.name}): is not a run that cifar-train recorded; choose another")
    return [*shlex.split(recorded), f"trainer.threads={threads}", f"trainer.precision={precision}"]


def reproduce(known: KnownRun, store: Store, console: Console) -> list[Difference]:
    """Train the run again as a run of its own, and return the figures of recorded epochs that are not the same.

    Raises ConfigError if the config is no longer understood, and what the run raises.
    """
    overrides = overrides_of(known)
    if not store.history(known.run_id, COMPARED[0]):
        raise TrackingError(
            f"{known.run_id} ({known.name}): has no epochs on record to compare with; --show prints how"
        )
    config = compose([*overrides, f"outputs={shlex.quote(str(store.outputs))}"])
    folder = Path(config.outputs) / "runs" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    name = f"{known.name} again"
    folder.mkdir(parents=True)
    with _logged_into(folder / "run.log"):
        result = run(
            config,
            name=name,
            folder=folder,
            open_record=lambda: open_record(config, name, overrides, folder, {"reproduces": known.run_id}),
            watcher=Watchers(LogWatcher(), TerminalWatcher(console)),
        )
    repeated = {
        (metric, epoch.epoch): value
        for epoch in result.history
        for metric, value in epoch.by_name().items()
        if metric in COMPARED
    }
    then = {(metric, epoch): value for metric in COMPARED for epoch, value in store.history(known.run_id, metric)}
    recorded_epochs = max(epoch for _, epoch in then)  # a run that was stopped has fewer than its repetition
    return [
        Difference(metric, epoch, then.get((metric, epoch), math.nan), repeated.get((metric, epoch), math.nan))
        for metric, epoch in sorted(then.keys() | repeated.keys())
        if epoch <= recorded_epochs and then.get((metric, epoch)) != repeated.get((metric, epoch))
    ]


@contextmanager
def _logged_into(path: Path) -> Iterator[None]:
    """Write this project's log into a file and nowhere else: what `cifar-train` has Hydra do."""
    ours, file = logging.getLogger("cifar_sweeps"), logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))
    level, propagates = ours.level, ours.propagate
    ours.addHandler(file)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    try:
        yield
    finally:
        ours.removeHandler(file)
        file.close()
        ours.setLevel(level)
        ours.propagate = propagates
