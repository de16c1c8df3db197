"""Sweeps as a user starts them, the processes that they consist of, and what MLflow's store holds of them."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from mlflow import MlflowClient

SMALL = (
    "data.source.train_images=200",
    "data.source.test_images=60",
    "trainer.precision=fp32",
    "trainer.threads=1",
    "model.blocks=[{filters: [8]}, {filters: [8]}]",
    "model.dense=[16]",
    "analysis.pictures=false",
    "analysis.log_model=false",
    "sweep.report=false",
)
"""Epochs of a tenth of a second."""
SWEEP = ("-m", *SMALL, "trainer.epochs=12", "seed=0,1", "hydra.launcher.n_jobs=2")
ENDLESS = tuple(override.replace("=12", "=100000") for override in SWEEP)
_TIMES = ("epoch_seconds", "images_per_second")
"""Metrics that no two trainings have in common."""
_PATIENCE = 240.0
"""Seconds for what takes two on a quiet machine."""


class Command:
    """``cifar-train`` in a session of its own, so that none of its processes is lost sight of."""

    def __init__(self, overrides: tuple[str, ...], outputs: Path, **environment: str) -> None:
        outputs.mkdir(parents=True, exist_ok=True)
        self._log = outputs / "terminal.log"
        self._offset = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cifar_sweeps", *overrides],
                stdout=log,
                stderr=log,
                start_new_session=True,
                # As in a terminal: what is started in the background of a script ignores Ctrl-C, and so would this.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                env={**_clean_environment(), "COLUMNS": "120", "CIFAR_SWEEPS_OUTPUTS": str(outputs), **environment},
            )

    @property
    def said(self) -> str:
        """What it has printed so far, on both of its streams."""
        with self._log.open("rb") as log:
            log.seek(self._offset)
            return log.read().decode(errors="replace")

    def wait(self) -> int:
        """Return its exit status."""
        return self.process.wait(_PATIENCE)

    def jobs(self) -> list[int]:
        """Return the processes that its jobs are at work in, or will be: the children of its fork server."""
        processes = list(_processes(self.process.pid))
        servers = {
            number
            for number, parent in processes
            if parent == self.process.pid and "multiprocessing.forkserver" in _command_line(number)
        }
        return [number for number, parent in processes if parent in servers]

    def processes(self) -> list[int]:
        """Return all of its processes, itself the first."""
        return sorted((number for number, _ in _processes(self.process.pid)), key=lambda n: n != self.process.pid)

    def wait_until_all_are_gone(self) -> None:
        """Wait for the command and for all of its processes, which end by themselves when it is gone."""
        self.wait()
        wait_until(lambda: not list(_processes(self.process.pid)))

    def end(self) -> None:
        """Leave none of its processes behind."""
        for number, _ in _processes(self.process.pid):
            kill(number, signal.SIGKILL)
        self.process.wait()


def kill(process: int, how: signal.Signals) -> bool:
    """Send a signal, and say whether there was somebody to receive it."""
    try:
        os.kill(process, how)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], object], seconds: float = _PATIENCE) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not happen in time")
        time.sleep(0.01)


def epochs_of(outputs: Path, job: int) -> int:
    """How many epochs a job of the only sweep has written down."""
    journals = list(outputs.glob(f"sweeps/*/{job}/journal.jsonl"))
    return sum(path.read_bytes().count(b'"train/loss"') for path in journals)


@dataclass
class Differences:
    """How far two sweeps are apart that should be one and the same. All zero: they are."""

    runs_lost: int = 0
    """Jobs without a run of their own, or with more than one; sweeps likewise."""
    metrics_off: int = 0
    """Points of a metric's history that are missing, double, or of another value."""
    states_wrong: int = 0
    """Runs that are not FINISHED, or still carry the reason of an earlier end."""
    weights_off: int = 0
    """Checkpoints that are missing or hold other weights."""

    def __bool__(self) -> bool:
        return any(self.counts())

    def __iadd__(self, other: "Differences") -> "Differences":
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self

    def counts(self) -> list[int]:
        """Return the four numbers."""
        return [getattr(self, field.name) for field in fields(self)]


class Stored:
    """What MLflow's store has of the sweeps or runs in an outputs folder."""

    def __init__(self, outputs: Path) -> None:
        self.client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
        experiment = self.client.get_experiment_by_name("cifar_sweeps")
        runs = self.client.search_runs([experiment.experiment_id]) if experiment is not None else []
        self.parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        self.children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]

    def child(self, name: str) -> Any:
        """Return the only run of this name. Raises ValueError if there is none, or more than one."""
        (run,) = (run for run in self.children if run.info.run_name == name)
        return run

    def states(self) -> dict[str, str]:
        """Return the states of the jobs' runs by their names."""
        return {run.info.run_name: run.info.status for run in self.children}

    def left_running(self) -> int:
        """Return how many runs, sweeps included, are said to be at work: none, once their command has ended."""
        return sum(run.info.status == "RUNNING" for run in (*self.parents, *self.children))

    def histories(self, run: Any) -> dict[str, list[tuple[int, float]]]:
        """Return (epoch, value) of each metric. Times have no value: they differ from one training to the next."""
        histories = {}
        for metric in run.data.metrics:
            points = self.client.get_metric_history(run.info.run_id, metric)
            histories[metric] = sorted((int(p.step), 0.0 if metric in _TIMES else float(p.value)) for p in points)
        return histories

    def differences(self, reference: "Stored") -> Differences:
        """Say how far these sweeps are from an uninterrupted one."""
        found = Differences(runs_lost=abs(len(self.parents) - len(reference.parents)))
        named = Counter(run.info.run_name for run in self.children)
        for expected in reference.children:
            name = expected.info.run_name
            if named.pop(name, 0) != 1:
                found.runs_lost += 1
                continue
            found += self._of_run(self.child(name), reference, expected)
        found.runs_lost += sum(named.values())
        found.states_wrong += sum(not _is_truly_finished(run) for run in self.parents)
        return found

    def of_single_run(self, reference: "Stored") -> Differences:
        """Say how far the only run is from the reference's."""
        if len(self.parents) != 1:
            return Differences(runs_lost=1)
        return self._of_run(self.parents[0], reference, reference.parents[0])

    def _of_run(self, run: Any, reference: "Stored", expected: Any) -> Differences:
        mine, theirs = self.histories(run), reference.histories(expected)
        points = [Counter((metric, *point) for metric in h for point in h[metric]) for h in (mine, theirs)]
        off = (points[0] - points[1]) + (points[1] - points[0])
        return Differences(
            metrics_off=off.total(),
            states_wrong=int(not _is_truly_finished(run)),
            weights_off=sum(
                not _same_weights(folder_of(run), folder_of(expected), name) for name in ("last.pt", "best.pt")
            ),
        )


def folder_of(run: Any) -> Path:
    """Return where a run lies."""
    return Path(run.data.tags["cifar_sweeps.folder"])


def weights(path: Path) -> Mapping[str, torch.Tensor]:
    """Return the weights of a ``last.pt`` or of a ``best.pt``."""
    state = torch.load(path, weights_only=True)
    return state["model"] if "optimizer" in state else state


def _is_truly_finished(run: Any) -> bool:
    return run.info.status == "FINISHED" and "cifar_sweeps.failure" not in run.data.tags


def _same_weights(folder: Path, reference: Path, name: str) -> bool:
    paths = [place / "checkpoints" / name for place in (folder, reference)]
    if not paths[0].exists():
        return False
    mine, theirs = (weights(path) for path in paths)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in theirs)


def _clean_environment() -> dict[str, str]:
    mine = ("CIFAR_SWEEPS_MAKE", "HYDRA_FULL_ERROR", "MLFLOW_TRACKING_URI")
    return {key: value for key, value in os.environ.items() if key not in mine} | {"OMP_NUM_THREADS": "1"}


def _processes(session: int) -> Iterator[tuple[int, int]]:
    """Yield (process, its parent) of a session's living processes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent, _, own_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(own_session) == session and state != "Z":
                yield int(entry.name), int(parent)


def _command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
