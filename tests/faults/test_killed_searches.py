"""Searches and sweeps with early stopping whose command is killed: the same command decides and ends the same."""

import signal
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from cifar_sweeps.search.decisions import read_decisions

from .sweeping import SMALL, Command, Differences, Stored, epochs_of, kill, wait_until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.slow_fault,
]

RATES = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
ASHA = (
    "-m",
    *SMALL,
    "trainer.epochs=16",
    f"optimizer.lr={','.join(map(str, RATES))}",
    "seed=0,1",
    "hydra.launcher.n_jobs=1",
    "sweep.early_stopping=asha",
    "sweep.eta=2",
    "sweep.grace_epochs=2",
)
JOBS = range(2 * len(RATES))
TRIALS = 14
SEARCH = (
    "-m",
    *SMALL,
    "trainer.epochs=6",
    "hydra/sweeper=optuna",
    f"hydra.sweeper.n_trials={TRIALS}",
    "optimizer=adam,sgd",
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "optimizer.momentum=interval(0.1,0.9)",
    'hydra.sweeper.conditions=["optimizer.momentum if optimizer=sgd"]',
    "hydra.launcher.n_jobs=1",
)
STOPPED_SEARCH = (
    *(each for each in SEARCH if "epochs" not in each),
    "trainer.epochs=8",
    "sweep.early_stopping=asha",
    "sweep.eta=2",
    "sweep.grace_epochs=1",
)


def decisions(outputs: Path):
    (file,) = outputs.glob("sweeps/*/decisions.jsonl")
    return read_decisions(file)


def kill_after(epochs: int, command: Command, outputs: Path, jobs: Iterable[int]) -> None:
    """Kill a command with all of its processes once its jobs have written down so many epochs."""
    wait_until(lambda: sum(epochs_of(outputs, job) for job in jobs) >= epochs)
    for process in command.processes():
        kill(process, signal.SIGKILL)
    command.wait_until_all_are_gone()


def stands(outputs: Path):
    """Each job's state and the epoch at which it is paused, by its name."""
    runs = Stored(outputs).children
    return {run.info.run_name: (run.info.status, run.data.tags.get("cifar_sweeps.early_stopped")) for run in runs}


def kill_twice(begin, overrides: tuple[str, ...], outputs: Path, whole: Path, epochs: tuple[int, int]) -> None:
    """Kill a sweep with early stopping twice; resumed, it decides as the one in ``whole`` and stands as it does."""
    for seen in epochs:
        kill_after(seen, begin(overrides), outputs, range(max(len(JOBS), TRIALS)))
    last = begin(overrides)
    assert last.wait() == 0, last.said
    assert decisions(outputs) == decisions(whole)
    assert stands(outputs) == stands(whole)
    assert Stored(outputs).left_running() == 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("whole")
    command = Command(ASHA, outputs)
    assert command.wait() == 0, command.said
    return outputs


@pytest.mark.parametrize("epochs", [5, 14, 26])
def test_an_asha_sweep_that_is_killed_ends_as_if_it_had_not_been(begin, outputs, whole, epochs):
    """Killed with all of its processes once its jobs have written down so many epochs; and once more when resumed."""
    kill_twice(begin, ASHA, outputs, whole, (epochs, epochs + 6))
    states = [state for state, _ in stands(outputs).values()]
    assert states == ["FINISHED"] * len(JOBS)
    assert 0 < sum(paused is not None for _, paused in stands(outputs).values()) < len(JOBS)
    mine, theirs = Stored(outputs), Stored(whole)
    for run in theirs.children:
        found, expected = (each.histories(each.child(run.info.run_name)) for each in (mine, theirs))
        assert found["val/accuracy"] == expected["val/accuracy"]


@pytest.fixture(scope="module")
def whole_search(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("whole_search")
    command = Command(SEARCH, outputs)
    assert command.wait() == 0, command.said
    return outputs


@pytest.mark.parametrize("epochs", [3, 20, 68])
def test_a_search_that_is_killed_proposes_and_trains_what_it_would_have(begin, outputs, whole_search, epochs):
    """Killed among its random first trials, and once TPE proposes; its study file is lost besides."""
    kill_after(epochs, begin(SEARCH), outputs, range(TRIALS))
    (study,) = outputs.glob("sweeps/*/optuna.journal")
    if epochs == 20:
        study.unlink()
    last = begin(SEARCH)
    assert last.wait() == 0, last.said
    mine, theirs = Stored(outputs), Stored(whole_search)
    assert sorted(mine.states()) == sorted(theirs.states())
    assert len(mine.children) == TRIALS
    assert mine.differences(theirs) == Differences()
    found, expected = (_trials(each) for each in (outputs, whole_search))
    assert found == expected
    assert len(found) == TRIALS


@pytest.mark.parametrize("epochs", [4, 12, 25])
def test_a_search_with_early_stopping_that_is_killed_ends_as_if_it_had_not_been(
    begin, outputs, whole_stopped_search, epochs
):
    kill_twice(begin, STOPPED_SEARCH, outputs, whole_stopped_search, (epochs, epochs + 3))
    paused = [epoch for _, epoch in stands(outputs).values() if epoch is not None]
    assert 0 < len(paused) < TRIALS
    found, expected = (_trials(each) for each in (outputs, whole_stopped_search))
    assert found == expected
    assert len(found) == TRIALS


@pytest.fixture(scope="module")
def whole_stopped_search(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("whole_stopped_search")
    command = Command(STOPPED_SEARCH, outputs)
    assert command.wait() == 0, command.said
    return outputs


def _trials(outputs: Path):
    """Optuna's own view of the study, from its file."""
    from optuna import load_study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    (path,) = outputs.glob("sweeps/*/optuna.journal")
    study = load_study(study_name=path.parent.name, storage=JournalStorage(JournalFileBackend(str(path))))
    return {trial.user_attrs["job"]: (trial.state.name, trial.params, trial.values) for trial in study.trials}
