"""An epoch through the product's own loop over bare steps on resident batches, one thread, for each augmentation."""

from collections.abc import Callable

import torch

from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.runs.setup import TrainingSetup, build_setup
from cifar_sweeps.training.loop import fit
from tests.benchmarks import real_data
from tests.benchmarks.measuring import Outcome, ratios, rounds
from tests.benchmarks.steps import BATCH, EXPERIMENTS, Steps, product_steps

THREADS = "1"
_RESIDENT = 8  # batches, taken in turn


def measure(quick: bool) -> Outcome:
    """Measure all augmentations on one net."""
    name = "case_study/model_3"
    steps = 4 if quick else 60
    outcome = Outcome(f"An epoch through the loop / bare steps: {name}, {steps} batches of {BATCH}, one thread")
    images = real_data.overrides()
    augmentations = sorted(path.stem for path in (conf_folder() / "augmentation").glob("*.yaml"))
    scenes = {augmentation: build_setup(_config(name, augmentation, steps, images)) for augmentation in augmentations}
    bare = _bare(name, scenes["none"])
    for augmentation in sorted(scenes, key=lambda known: known != "none"):
        taken = rounds({"loop": _epochs(scenes[augmentation]), "bare": lambda: bare.run(steps)}, 3)
        what = f"{augmentation}: epoch / bare steps"
        outcome.add(f"loop/{augmentation}", what, ratios(taken["loop"], taken["bare"]), "×")
        per_step = [(loop - steady) / steps * 1e3 for loop, steady in zip(taken["loop"], taken["bare"], strict=True)]
        outcome.add(f"loop/{augmentation}/ms", f"{augmentation}: beyond the bare step, a step", per_step, "ms")
    outcome.notes = [
        "the loop shuffles, picks, augments, scales, steps and keeps the metrics; validation is left out",
        f"bare: the same number of steps on {_RESIDENT} batches that are ready in memory",
    ]
    return outcome


def _config(name: str, augmentation: str, steps: int, images: list[str]) -> RunConfig:
    return compose(
        [
            f"experiment={EXPERIMENTS[name]}",
            *images,
            f"augmentation={augmentation}",
            f"data.train_size={steps * BATCH}",
            f"trainer.batch_size={BATCH}",
            "trainer.threads=1",
            "trainer.epochs=100000",
            "tracking=none",
        ]
    )


def _epochs(setup: TrainingSetup) -> Callable[[], float]:
    epochs = fit(
        setup.net,
        setup.train,
        setup.optimizer,
        setup.schedule,
        epochs=setup.config.total_epochs,
        seed=0,
        precision=setup.precision,
    )
    return lambda: next(epochs).epoch_seconds


def _bare(name: str, setup: TrainingSetup) -> Steps:
    pairs = [pair for pair, _ in zip(setup.train.epoch(1), range(_RESIDENT), strict=False)]
    return product_steps(
        name, torch.stack([images for images, _ in pairs]), torch.stack([labels for _, labels in pairs])
    )
