"""List the sweeps of an outputs folder and of its store: their jobs by state, and the best of them."""

import shlex
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cifar_sweeps.tracking import journal, mlflow_api
from cifar_sweeps.tracking.delivery import count_undelivered_lines
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.recorded_run import RecordedRun, run_state
from cifar_sweeps.tracking.store import Store

_BEST = "best/val_accuracy"


@dataclass(frozen=True)
class ListedSweep:
    """A sweep. started: milliseconds since 1970. state, jobs: as its journals say, which the store may yet lack.

    jobs: numbers by state; ``not started`` are those that its last launch planned and did not reach. best: the highest
    validation accuracy of its finished runs, reached by ``best_run``. unsent: how many journals wait for the store.
    """

    sweep_id: str
    run_id: str
    study: str
    started: int
    state: str
    jobs: dict[str, int]
    best: float | None
    best_run: str | None
    unsent: int
    folder: str | None
    command: str

    @property
    def is_left(self) -> bool:
        """Whether its jobs were placed on other machines, and no command has closed it since."""
        return self.folder is not None and (Path(self.folder) / journal.PLACED).exists()

    def as_json(self) -> dict[str, object]:
        """Return it for ``--json``; the start as local time in ISO 8601."""
        return {**asdict(self), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self.started / 1000))}


def list_sweeps(outputs: Path, store: Store | None) -> list[ListedSweep]:
    """Return the sweeps whose journals lie in the folder, and those that only the store has; the newest first.

    store: None to read the folder alone. Raises MLflow's errors (`tracking.store_errors.store_errors`) if it does not
    answer.
    """
    local = list(_in_folder(outputs))
    known = {sweep.run_id for sweep in local if sweep.run_id}
    remote = [] if store is None else _in_store(store, known)
    return sorted([*local, *remote], key=lambda sweep: sweep.started, reverse=True)


def _in_folder(outputs: Path) -> Iterator[ListedSweep]:
    sweeps: dict[Path, RecordedRun] = {}
    jobs: dict[str, list[tuple[Path, RecordedRun]]] = {}
    for folder in journal.folders(outputs):
        run = read_run(folder)
        if run is not None and run.tag("role") == "sweep":
            sweeps[folder] = run
        elif run is not None and run.tag("sweep_id") is not None:
            jobs.setdefault(str(run.tag("sweep_id")), []).append((folder, run))
    for folder, parent in sweeps.items():
        own = jobs.get(str(parent.tag("sweep_id")), [])
        unsent = sum(count_undelivered_lines(each) > 0 for each in (folder, *(place for place, _ in own)))
        states = [_state(place, run) for place, run in own]
        started = journal.read(folder)[0].time
        yield _listed(parent, started, _state(folder, parent), states, [run for _, run in own], unsent, folder)


def _in_store(store: Store, known: Collection[str]) -> Iterator[ListedSweep]:
    """Yield the sweeps of a store but those whose runs' ids are known; without any other, no job is read."""
    client = store.client()
    experiments = [str(experiment.experiment_id) for experiment in client.search_experiments()]
    found = store.search(experiments, "tags.`cifar_sweeps.role` = 'sweep'")
    parents = [run for run in found if str(run.info.run_id) not in known]
    children: dict[str, list[RecordedRun]] = {}
    if parents:
        for run in store.search(experiments, "tags.`cifar_sweeps.sweep_id` != ''"):
            parent_id = run.data.tags.get("mlflow.parentRunId")
            if parent_id:
                children.setdefault(str(parent_id), []).append(_recorded(run))
    for parent in parents:
        own = children.get(str(parent.info.run_id), [])
        states = [run.state.lower() for run in own]
        state = str(parent.info.status).lower()
        yield _listed(_recorded(parent), int(parent.info.start_time), state, states, own, 0, None)


def _listed(
    parent: RecordedRun,
    started: int,
    state: str,
    states: Sequence[str],
    runs: Sequence[RecordedRun],
    unsent: int,
    folder: Path | None,
) -> ListedSweep:
    jobs = dict(Counter(states).most_common())
    planned = int(parent.tag("jobs") or 0)
    if planned > len(runs):
        jobs["not started"] = planned - len(runs)
    finished = [run for run, its in zip(runs, states, strict=True) if its == "finished" and _BEST in run.metrics]
    best = max(finished, key=lambda run: run.metrics[_BEST], default=None)
    return ListedSweep(
        sweep_id=parent.tag("sweep_id") or parent.name,
        run_id=parent.run_id,
        study=parent.tag("study") or "",
        started=started,
        state=state,
        jobs=jobs,
        best=None if best is None else best.metrics[_BEST],
        best_run=None if best is None else best.run_id,
        unsent=unsent,
        folder=None if folder is None else str(folder),
        command=f"cifar-train {_typed(parent)}".strip(),
    )


def _typed(parent: RecordedRun) -> str:
    """Return what was typed after cifar-train; the overrides are recorded without the flag that makes them a sweep."""
    overrides = parent.tag("overrides") or ""
    is_study = any(part.startswith("study=") for part in shlex.split(overrides))
    return overrides if is_study else f"-m {overrides}"


def _state(folder: Path, run: RecordedRun) -> str:
    """Return the state in lower case; what no process writes any more, and did not end, was killed."""
    return "killed" if run.state == "RUNNING" and not journal.is_locked(folder) else run.state.lower()


def _recorded(run: "mlflow_api.Run") -> RecordedRun:
    info, data = run.info, run.data
    state = run_state(str(info.status), data.tags)
    return RecordedRun(str(info.run_id), str(info.run_name), state, data.metrics, data.tags)
