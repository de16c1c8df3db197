"""What it costs to begin: commands that train nothing, the way to the first step, a job's cost beyond its training."""

import itertools
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.runs.setup import build_setup
from cifar_sweeps.training.loop import evaluate, fit
from tests.benchmarks import real_data
from tests.benchmarks.commands import TRAIN, Told, environment_of, new_outputs, told
from tests.benchmarks.measuring import CHECKOUT, Outcome, differences, ratios, rounds

THREADS = "1"

TINY = (
    "model=plain_3",
    "data.train_size=64",
    "data.val_fraction=0.02",
    "trainer.epochs=1",
    "trainer.threads=1",
    "analysis.pictures=false",
)
"""A job that takes one step: what is left is the job's own cost."""

COMMANDS = {
    "help": ("cifar-sweeps --help", (sys.executable, "-m", "cifar_sweeps.cli.main", "--help")),
    "cfg_job": ("cifar-train --cfg job", (*TRAIN, "--cfg", "job")),
}

_DRAWN = ("data=synthetic", f"data.source.cache={real_data.CACHE}", "data.source.test_images=100")


def measure(quick: bool) -> Outcome:
    """Measure all of it."""
    outcome = Outcome("Starting")
    pairs = 1 if quick else 7
    for key, (what, command) in COMMANDS.items():
        _command(outcome, key, what, command, pairs)
    outcome.add("start/torch_imported", "of these, commands that import torch", [_importing_torch()])
    _first_step(outcome, 1 if quick else 3)
    _first_epoch_of_a_sweep(outcome, 1 if quick else 3)
    _jobs(outcome, quick)
    return outcome


def _command(outcome: Outcome, key: str, what: str, command: tuple[str, ...], pairs: int) -> None:
    with new_outputs() as outputs:
        taken = rounds(
            {"it": lambda: told(command, outputs).seconds, "python": lambda: told(_python("pass"), outputs).seconds},
            pairs,
        )
    outcome.add(f"start/{key}", f"{what}, start to exit", taken["it"], "s")
    outcome.add(f"start/{key}/python", f"{what} / python that does nothing", ratios(taken["it"], taken["python"]), "×")


def _importing_torch() -> float:
    found = 0
    for _, command in COMMANDS.values():
        with new_outputs() as outputs:
            traced = [command[0], "-X", "importtime", *command[1:]]
            done = subprocess.run(
                traced, capture_output=True, text=True, check=True, env=environment_of(outputs), cwd=CHECKOUT
            )
        found += bool(re.search(r"\|\s+torch$", done.stderr, re.MULTILINE))
    return found


def _first_step(outcome: Outcome, pairs: int) -> None:
    images, name = real_data.overrides_or_drawn()
    with new_outputs() as outputs:
        command = [*TRAIN, *images, *TINY, "data.val_fraction=0"]

        def first_step() -> float:
            # An epoch of one step, unvalidated: its line comes when the step is done.
            return told(command, outputs).when("epoch 1/1")[0]

        def imports() -> float:
            return told(_python("import torch, mlflow; print('imported')"), outputs).when("imported")[0]

        taken = rounds({"command": first_step, "imports": imports}, pairs)
    outcome.add("start/first_step", "command to the end of the first training step", taken["command"], "s")
    outcome.add("start/imports", "python that imports torch and mlflow", taken["imports"], "s")
    beyond = differences(taken["command"], taken["imports"])
    outcome.add("start/first_step_beyond_imports", "first step beyond these imports", beyond, "s")
    config = compose(images)
    loads = [_seconds(lambda: build.images(config)) for _ in range(pairs)]
    outcome.add("start/images", f"of a job's cost: opening {name}, whose cache exists", loads, "s")
    outcome.notes.append(f"first step: data ({name}) and store exist; one step of 64 images, no validation")


def _first_epoch_of_a_sweep(outcome: Outcome, rounds_: int) -> None:
    """Measure from the command to the first step of the first job: its log then has the line before the epochs."""
    images, name = real_data.overrides_or_drawn()
    more = ("model=plain_3", "data.train_size=2000", "trainer.epochs=1", "trainer.threads=1", "sweep.report=false")
    command = [*TRAIN, "-m", *images, *more, "analysis.pictures=false", "seed=0,1"]
    with new_outputs() as outputs:
        told(command, outputs)  # the store and the images' cache exist from now on
        taken = [_under_way(command, outputs) for _ in range(rounds_)]
    what = "command to the first epoch under way, a sweep of two jobs"
    outcome.add("start/sweep_first_epoch", what, taken, "s")
    outcome.notes.append(f"a sweep's first epoch: data ({name}) and store exist; the first job has told what it trains")


def _under_way(command: Sequence[str], outputs: Path) -> float:
    """Return the seconds until a new sweep's first job begins its first epoch: its log says on what it trains."""
    before, began = {*outputs.glob("sweeps/*")}, time.perf_counter()
    with subprocess.Popen(
        [*command, "sweep.rerun=all"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment_of(outputs),
        cwd=CHECKOUT,
    ) as running:
        while running.poll() is None:
            logs = [log for sweep in {*outputs.glob("sweeps/*")} - before for log in sweep.glob("*/run.log")]
            if any(re.search(r"\d threads?$", log.read_text(encoding="utf-8"), re.MULTILINE) for log in logs):
                taken = time.perf_counter() - began
                running.wait()
                return taken
            time.sleep(0.005)
    raise RuntimeError(f"no job of {command} has begun")


def _jobs(outcome: Outcome, quick: bool) -> None:
    few, many = (2, 5) if quick else (10, 300)
    bare = _training_and_evaluation(1 if quick else 7)
    outcome.add("start/job_training", "a job's own training and evaluation, in a warm process", bare, "s")
    first, run = _sweep(few), _sweep(many)
    spans, tenth = _spans(run), max(2, many // 10)
    for key, jobs, found in (("", few, _spans(first)), (f"/{many}", many, spans)):
        costs = [span - statistics.median(bare) for span in found]
        outcome.add(f"start/job_cost{key}", f"a job's cost, {jobs} jobs", costs, "s")
    growth = [statistics.median(spans[-tenth:]) / statistics.median(spans[:tenth])]
    outcome.add("start/job_growth", f"growth: the last {tenth} of {many} / the first {tenth}", growth, "×")
    last = run.when("job", "finished in")[-1]
    outcome.add("start/end", f"after the last of {many} jobs, to the command's exit", [run.seconds - last], "s")
    begins = run.when("job 0 started")[0]
    outcome.add("start/begin", f"before the first of {many} jobs starts", [begins], "s")
    beyond = [(begins - first.when("job 0 started")[0]) / (many - few)]
    outcome.add("start/check", "of that, to compose and check each further job", beyond, "s")
    outcome.notes += [
        "a job's cost: from one job's end to the next one's, from the second on, less its own training and",
        "evaluation: one step of 64 drawn images, validation and test on some hundred; no pictures are drawn;",
        "one trains at a time and, as in any sweep, writes its artifacts while the next one begins",
    ]


def _training_and_evaluation(repeats: int) -> list[float]:
    """Return what an epoch with its validation, and the test, take where everything has been done before."""
    setup = build_setup(compose([*_DRAWN, *TINY]))

    def once() -> None:
        for _ in fit(
            setup.net,
            setup.train,
            setup.optimizer,
            setup.schedule,
            epochs=1,
            val_batches=setup.val,
            seed=0,
            precision=setup.precision,
        ):
            evaluate(setup.net, setup.test_batches(), setup.precision)

    once()
    return [_seconds(once) for _ in range(repeats)]


def _sweep(jobs: int) -> Told:
    seeds = ",".join(str(seed) for seed in range(jobs))
    command = [
        *TRAIN,
        "-m",
        *_DRAWN,
        *TINY,
        f"seed={seeds}",
        "hydra.launcher.n_jobs=1",
        "sweep.report=false",
    ]
    with new_outputs() as outputs:
        return told(command, outputs)


def _spans(run: Told) -> list[float]:
    ends = run.when("job", "finished in")
    return [later - earlier for earlier, later in itertools.pairwise(ends)]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)
