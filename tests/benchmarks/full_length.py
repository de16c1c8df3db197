"""A study's arm at its full length: two seeds by one command, against two plain PyTorch scripts one after the other."""

from tests.benchmarks import real_data
from tests.benchmarks.measuring import RESULTS, Outcome
from tests.benchmarks.peers.export_npz import export
from tests.benchmarks.sweep import peer, product

THREADS = "auto (the product's rule); plain PyTorch: all cores"
EXPERIMENT, NET, EPOCHS, BATCH, SEEDS = "case_study/model_3", "model_3", 15, 32, 2
"""Document 001, model 3, as its file in conf/experiment/ has it: the last tenth of the images is for validation."""


def measure(quick: bool) -> Outcome:
    """Measure once: a pair takes half an hour, beside which the start and the end are small."""
    epochs = 1 if quick else EPOCHS
    drawn = ["data=synthetic", "data.source.train_images=1000", "data.source.test_images=200"]
    arm = [f"experiment={EXPERIMENT}", *(drawn if quick else real_data.overrides()), f"trainer.epochs={epochs}"]
    data = RESULTS / "data" / f"full_length{'-quick' if quick else ''}.npz"
    export(data, arm)
    script = ["--data", str(data), "--net", NET, "--batch-size", str(BATCH)]
    more = {"OMP_NUM_THREADS": "1"} if quick else {}
    counts = {
        count: peer("plain_torch", [*script, "--epochs", "1", "--workers", str(count)], more, runs=1)()
        for count in (0, 2)
    }
    best = min(counts, key=lambda count: counts[count])
    here = product(arm, more, SEEDS)()
    plain = peer("plain_torch", [*script, "--epochs", str(epochs), "--workers", str(best)], more, runs=SEEDS)()
    outcome = Outcome(f"{EXPERIMENT} at its full length: {SEEDS} seeds of {epochs} epochs, batch {BATCH}")
    outcome.add("full_length/product", f"cifar-train -m seed=0,1 experiment={EXPERIMENT}", [here], "s")
    outcome.add("full_length/plain", f"plain_torch ({best} workers), {SEEDS} scripts", [plain], "s")
    outcome.add("full_length/against_plain", "times as fast as plain_torch", [plain / here], "×")
    outcome.notes = [
        f"one script is timed, and counted {SEEDS} times; workers: the better of 0 and 2 in one epoch",
        "all of the training images but the last tenth, on which all validate each epoch; test at the end",
    ]
    return outcome
