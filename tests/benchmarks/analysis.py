"""What the analysis after a run costs, by its level: processor time for 10,000 test images, one thread."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cifar_sweeps.config.compose import compose
from cifar_sweeps.runs.artifacts import log_artifacts
from cifar_sweeps.runs.recording import open_run_logger
from cifar_sweeps.runs.reporters import LogReporter
from cifar_sweeps.runs.setup import build_setup
from cifar_sweeps.training.loop import evaluate, fit
from tests.benchmarks.measuring import Outcome, rounds

THREADS = "1"
_EPOCHS = 12


def measure(quick: bool) -> Outcome:
    """Measure each level on the predictions of one trained net."""
    images = 200 if quick else 10_000
    outcome = Outcome(f"Analysis of {images:,} test images, ten classes, by its level: processor time")
    with tempfile.TemporaryDirectory() as folder:
        levels = {level: _analysis(level, images, Path(folder, level)) for level in ("none", "basic", "full")}
        taken = rounds(levels, 1 if quick else 7)
    for level, seconds in taken.items():
        outcome.add(f"analysis/{level}", f"analysis={level}", seconds, "s")
    outcome.notes = [
        "reports, metrics, test predictions and pictures, as after every run; the model's export, which",
        "analysis.log_model asks for, and what sends the files to the store are left out; matplotlib is",
        "imported already, as in a job of a sweep",
    ]
    return outcome


def _analysis(level: str, images: int, folder: Path) -> Callable[[], float]:
    config = compose(
        [
            f"analysis={level}",
            "analysis.log_model=false",
            "data.train_size=500",
            "data.source.train_images=2000",
            f"data.source.test_images={images}",
            f"trainer.epochs={_EPOCHS}",
            "trainer.threads=1",
            "tracking=none",
            f"outputs={folder}",
        ]
    )
    setup = build_setup(config)
    epochs = fit(
        setup.net,
        setup.train,
        setup.optimizer,
        setup.schedule,
        epochs=_EPOCHS,
        val_batches=setup.val,
        seed=0,
        precision=setup.precision,
    )
    history = [{"epoch": float(metrics.epoch), **metrics.by_name()} for metrics in epochs]
    evaluation = evaluate(setup.net, setup.test_batches(), setup.precision)
    attempt = 0

    def analyse() -> float:
        nonlocal attempt
        attempt += 1
        run = folder / str(attempt)  # metrics are logged once in each run
        run.mkdir(parents=True)
        logger = open_run_logger(config, "a run", run, "identity")
        began = time.process_time()
        log_artifacts(setup, "a run", run, logger, history, evaluation, _EPOCHS, LogReporter())
        seconds = time.process_time() - began
        logger.end_run("FINISHED")
        return seconds

    return analyse
