"""Sweeps with early stopping whose command is killed: the same command takes the same decisions, and ends the same."""

import signal
import sys
from pathlib import Path

import pytest

from cifar_sweeps.search.decisions import read_decisions

from .sweeping import SMALL, Command, Stored, epochs_of, kill, wait_until

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


def decisions(outputs: Path):
    (file,) = outputs.glob("sweeps/*/decisions.jsonl")
    return read_decisions(file)


def stands(outputs: Path):
    """Each job's state and the epoch at which it is paused, by its name."""
    runs = Stored(outputs).children
    return {run.info.run_name: (run.info.status, run.data.tags.get("cifar_sweeps.early_stopped")) for run in runs}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("whole")
    command = Command(ASHA, outputs)
    assert command.wait() == 0, command.said
    return outputs


@pytest.mark.parametrize("epochs", [5, 14, 26])
def test_an_asha_sweep_that_is_killed_ends_as_if_it_had_not_been(begin, outputs, whole, epochs):
    """Killed with all of its processes once its jobs have written down so many epochs; and once more when resumed."""
    for seen in (epochs, epochs + 6):
        command = begin(ASHA)
        wait_until(lambda seen=seen: sum(epochs_of(outputs, job) for job in JOBS) >= seen)
        for process in command.processes():
            kill(process, signal.SIGKILL)
        command.wait_until_all_are_gone()
    last = begin(ASHA)
    assert last.wait() == 0, last.said
    assert decisions(outputs) == decisions(whole)
    assert stands(outputs) == stands(whole)
    states = [state for state, _ in stands(outputs).values()]
    assert states == ["FINISHED"] * len(JOBS)
    assert 0 < sum(paused is not None for _, paused in stands(outputs).values()) < len(JOBS)
    assert Stored(outputs).left_running() == 0
    mine, theirs = Stored(outputs), Stored(whole)
    for run in theirs.children:
        found, expected = (each.histories(each.child(run.info.run_name)) for each in (mine, theirs))
        assert found["val/accuracy"] == expected["val/accuracy"]
