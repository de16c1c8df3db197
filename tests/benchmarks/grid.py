"""Seconds to the same decision: a grid of 32 arms trained whole by plain PyTorch, whole by the product, and by asha.

The plain scripts of four learning rates do the same work: one of them is timed, for each of the eight kinds of arm,
over one epoch and over three; what an epoch takes and what a script takes besides is counted for all arms and epochs.
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks import real_data
from tests.benchmarks.commands import TRAIN, environment_of, new_outputs, told
from tests.benchmarks.measuring import CHECKOUT, RESULTS, Outcome
from tests.benchmarks.peers.export_npz import export

THREADS = "auto (the product's rule); plain PyTorch: all cores"
GRID = {
    "model": ("plain_3", "quick_3"),
    "optimizer": ("adam", "sgd"),
    "optimizer.lr": ("0.1", "0.01", "0.001", "0.0001"),
    "regularization": ("none", "dropout"),
}
EPOCHS, IMAGES, VALIDATION = 40, 2_000, 1_000
ASHA = ("sweep.early_stopping=asha", "sweep.metric=val/loss")
_TIMED_EPOCHS = (1, 3)


def measure(quick: bool) -> Outcome:
    """Train the grid whole and by asha, and time what plain scripts of it take."""
    grid = {key: values[:1] for key, values in GRID.items()} if quick else GRID
    epochs, images = (2, 200) if quick else (EPOCHS, IMAGES)
    chosen = ["data=synthetic", "data.source.train_images=1000", "data.source.test_images=200"]
    chosen = chosen if quick else real_data.overrides()
    sizes = [f"data.train_size={images}", f"data.val_size={100 if quick else VALIDATION}", "trainer.batch_size=64"]
    own = [*chosen, *sizes, f"trainer.epochs={epochs}", "sweep.report=false"]
    swept = [f"{key}={','.join(values)}" for key, values in grid.items()]
    arms = len(list(itertools.product(*grid.values())))
    outcome = Outcome(f"Seconds to a decision: {arms} arms, {epochs} epochs of {images:,} images, batch 64")
    whole, whole_arms = _sweep([*own, *swept])
    stopped, stopped_arms = _sweep([*own, *swept, *ASHA])
    data = RESULTS / "data" / f"grid{'-quick' if quick else ''}.npz"
    export(data, [*chosen, *sizes, "model=plain_3"])
    plain = sum(
        len(grid["optimizer.lr"]) * _plain(data, f"{net}/{optimizer}/{grid['optimizer.lr'][0]}/{rule}", epochs)
        for net, optimizer, rule in itertools.product(grid["model"], grid["optimizer"], grid["regularization"])
    )
    outcome.add("grid/plain", "the whole grid by plain PyTorch scripts, one after the other", [plain], "s")
    outcome.add("grid/whole", "the whole grid by cifar-train -m", [whole], "s")
    outcome.add("grid/asha", f"the same with {' '.join(ASHA)}", [stopped], "s")
    outcome.add("grid/whole_against_plain", "whole: times as fast as plain PyTorch", [plain / whole], "×")
    outcome.add("grid/asha_against_plain", "asha: times as fast as plain PyTorch", [plain / stopped], "×")
    outcome.add("grid/asha_against_whole", "asha: times as fast as the whole grid here", [whole / stopped], "×")
    best, picked = _best(whole_arms), _best(stopped_arms)
    regret = whole_arms[best] - whole_arms[picked]
    outcome.add("grid/regret", "validation accuracy of asha's arm below that of the whole grid's best", [regret])
    outcome.notes = [
        f"picked by the whole grid: {best}; by asha: {picked}; accuracies after the last epoch",
        f"plain PyTorch: {', '.join(map(str, _TIMED_EPOCHS))} epochs of one script of each kind are timed, and counted "
        f"for {epochs} epochs and {len(grid['optimizer.lr'])} learning rates",
        f"all validate on {100 if quick else VALIDATION:,} images each epoch; what is trained to its end is tested",
    ]
    return outcome


def _sweep(overrides: list[str]) -> tuple[float, dict[str, float]]:
    """Return a sweep's seconds, and the last validation accuracy of each arm that was trained to its end."""
    with new_outputs() as outputs:
        seconds = told([*TRAIN, "-m", *overrides], outputs).seconds
        return seconds, {
            row["arm"]: row["final/val_accuracy"] for row in _results(outputs) if row["state"] == "finished"
        }


def _results(outputs: Path) -> list[dict[str, Any]]:
    (sweep,) = (outputs / "sweeps").iterdir()
    command = [sys.executable, "-m", "cifar_sweeps.cli.main", "results", sweep.name, "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment_of(outputs), cwd=CHECKOUT
    )
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def _plain(data: Path, arm: str, epochs: int) -> float:
    """Return what a plain script of an arm would take for so many epochs."""
    taken = []
    for count in _TIMED_EPOCHS:
        with new_outputs() as outputs:
            script = [sys.executable, str(CHECKOUT / "tests/benchmarks/peers/plain_torch.py"), "--data", str(data)]
            command = [*script, "--net", arm, "--epochs", str(count), "--out", str(outputs)]
            taken.append(told(command, outputs).seconds)
    an_epoch = (taken[1] - taken[0]) / (_TIMED_EPOCHS[1] - _TIMED_EPOCHS[0])
    return taken[0] + (epochs - _TIMED_EPOCHS[0]) * an_epoch


def _best(arms: dict[str, float]) -> str:
    return max(arms, key=lambda arm: arms[arm])
