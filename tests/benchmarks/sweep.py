"""A whole command, start to exit: 4 runs of a net with validation, test, checkpoints and MLflow, against plain PyTorch.

The peers that need an environment of their own are measured in turn where ``BENCHMARK_LIGHTNING_PYTHON`` or
``BENCHMARK_KERAS_PYTHON`` names that environment's python. ``BENCHMARK_SWEEP_ROUNDS`` is how often all are measured:
once by default, as a round takes minutes.
"""

import itertools
import os
import sys
from collections.abc import Callable, Mapping

from tests.benchmarks import real_data
from tests.benchmarks.commands import TRAIN, new_outputs, told
from tests.benchmarks.measuring import CHECKOUT, RESULTS, Outcome, ratios, rounds
from tests.benchmarks.peers.export_npz import export

THREADS = "auto (the product's rule); peers: all cores"
RUNS, EPOCHS, IMAGES, VALIDATION = 4, 2, 12_000, 2_000
NETS = {"case_study/model_3": ("model_3", "case_study/model_3"), "lenet_3": ("lenet_3", "lenet_report/model_3")}
PEERS = CHECKOUT / "tests" / "benchmarks" / "peers"
BY_HAND = {"lightning_mlflow": "BENCHMARK_LIGHTNING_PYTHON", "keras_tf": "BENCHMARK_KERAS_PYTHON"}


def measure(quick: bool) -> Outcome:
    """Measure both nets."""
    epochs, images = (1, 256) if quick else (EPOCHS, IMAGES)
    outcome = Outcome(f"A whole sweep, start to exit: {RUNS} runs of {epochs} epochs of {images:,} images, batch 64")
    # Drawn images are as good where nothing is compared, and fewer can be tested on.
    data_of = ["data=synthetic", "data.source.train_images=1000", "data.source.test_images=200"]
    chosen = data_of if quick else real_data.overrides()
    for name, (net, experiment) in NETS.items():
        sizes = [f"data.train_size={images}", f"data.val_size={100 if quick else VALIDATION}", "trainer.parts=1"]
        arm = [f"experiment={experiment}", *chosen, *sizes, f"trainer.epochs={epochs}", "trainer.batch_size=64"]
        data = RESULTS / "data" / f"{net}{'-quick' if quick else ''}.npz"
        export(data, arm)
        script = ["--data", str(data), "--net", net, "--epochs", str(epochs)]
        _one_net(outcome, name, arm, script, quick)
    outcome.notes = [
        "plain_torch: the same net, split and optimizer as the documents' PyTorch code is: PIL transforms, DataLoader",
        f"with 0 or 2 workers (the better counts), eager fp32, all cores, {RUNS} scripts one after the other;",
        f"in each pair one script is timed, of another seed, and counted {RUNS} times, for they do the same work",
        f"rounds: {os.environ.get('BENCHMARK_SWEEP_ROUNDS', '1')}, each a whole sweep; after the probes",
        f"all validate on the same {VALIDATION:,} images each epoch and test on 10,000; decoded images exist for both",
    ]
    return outcome


def _one_net(outcome: Outcome, name: str, arm: list[str], script: list[str], quick: bool) -> None:
    # Tiny sizes are tried where the cores may be busy: threads that spin for one another would take minutes there.
    more = {"TF_CPP_MIN_LOG_LEVEL": "2", **({"OMP_NUM_THREADS": "1"} if quick else {})}
    probe = [*script, "--epochs", "1"]  # one is enough to see which is the faster
    workers = {count: peer("plain_torch", [*probe, "--workers", str(count)], more)() for count in (0, 2)}
    best = min(workers, key=lambda count: workers[count])
    loaders = ["--workers", str(best)]
    measures = {"product": product(arm, more), "plain_torch": peer("plain_torch", [*script, *loaders], more)}
    for other, variable in BY_HAND.items():
        if os.environ.get(variable):
            arguments = script if other == "keras_tf" else [*script, *loaders]
            measures[other] = peer(other, arguments, more, os.environ[variable])
    # The probes above have warmed up what lasts beyond a process: the files in the page cache.
    taken = rounds(measures, 1 if quick else int(os.environ.get("BENCHMARK_SWEEP_ROUNDS", "1")), warm_ups=0)
    outcome.add(f"sweep/{name}/product", f"{name}: cifar-train -m seed=0,1,2,3", taken["product"], "s")
    for other in list(taken)[1:]:
        detail = f" ({best} workers)" if other != "keras_tf" else ""
        outcome.add(f"sweep/{name}/{other}/seconds", f"{name}: {other}{detail}, {RUNS} scripts", taken[other], "s")
        against = ratios(taken[other], taken["product"])
        outcome.add(f"sweep/{name}/{other}", f"{name}: times as fast as {other}", against, "×")
    for count, seconds in workers.items():
        outcome.add(
            f"sweep/{name}/workers_{count}",
            f"{name}: plain_torch with {count} workers, one script of one epoch",
            [seconds / RUNS],
            "s",
        )


def product(arm: list[str], more: Mapping[str, str], runs: int = RUNS) -> Callable[[], float]:
    """Return what measures one sweep of so many seeds, in seconds."""
    command = [*TRAIN, "-m", *arm, "seed=" + ",".join(map(str, range(runs)))]

    def measure() -> float:
        with new_outputs() as outputs:
            return told(command, outputs, more).seconds

    return measure


def peer(
    name: str, arguments: list[str], more: Mapping[str, str], python: str = sys.executable, runs: int = RUNS
) -> Callable[[], float]:
    """Return what times one script of a peer, another seed each time, and counts it ``runs`` times: seconds."""
    seeds = itertools.cycle(range(runs))
    command = [python, str(PEERS / f"{name}.py"), *arguments]

    def measure() -> float:
        with new_outputs() as outputs:
            its_own = ["--seed", str(next(seeds)), "--out", str(outputs)]
            return runs * told([*command, *its_own], outputs, more).seconds

    return measure
