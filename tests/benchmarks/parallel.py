"""Two jobs at once with one thread each, against the same two one after the other with one thread each."""

import statistics
import subprocess
import sys
from collections.abc import Callable

from tests.benchmarks import real_data
from tests.benchmarks.commands import TRAIN, new_outputs, told
from tests.benchmarks.measuring import CHECKOUT, Outcome, ratios, rounds

THREADS = "1"


def measure(quick: bool) -> Outcome:
    """Measure one sweep of two jobs, and two sweeps of one job each."""
    images, name = (["data=synthetic"], "drawn images") if quick else real_data.overrides_or_drawn()
    size = 256 if quick else 8_000
    outcome = Outcome(f"Two jobs at once: case_study/model_3, one epoch of {size:,} images, one thread each")
    arm = ["experiment=case_study/model_3", *images, f"data.train_size={size}", f"data.val_size={min(size, 2000)}"]
    arm += ["trainer.epochs=1", "trainer.batch_size=64", "trainer.threads=1", "sweep.report=false"]
    arm += ["analysis.log_model=false", "data.source.test_images=200"] if quick else []
    together, alone = _span([*arm, "seed=0,1"], 2), [_span([*arm, f"seed={seed}"], 1) for seed in (0, 1)]
    measures = {"together": together, "in turn": lambda: sum(span() for span in alone)}
    taken = rounds(measures, 1 if quick else 3, warm_ups=0 if quick else 1)
    outcome.add("parallel/together", "both at once: first start to last end", taken["together"], "s")
    outcome.add("parallel/in_turn", "one, then the other: each from its start to its end", taken["in turn"], "s")
    outcome.add("parallel/two_at_once", "times as fast at once", ratios(taken["in turn"], taken["together"]), "×")
    floor = [_bare_gain(1 if quick else 5) for _ in range(1 if quick else 3)]
    outcome.add("parallel/bare_steps", "the machine's limit: bare steps in two processes, of twice one's", floor, "×")
    outcome.notes = [f"on {name}; whole jobs with validation, test, pictures, record; the command's start is left out"]
    return outcome


def _span(arm: list[str], at_once: int) -> Callable[[], float]:
    def measure() -> float:
        with new_outputs() as outputs:
            run = told([*TRAIN, "-m", *arm, f"hydra.launcher.n_jobs={at_once}"], outputs)
        return run.when("job", "finished in")[-1] - run.when("job 0 started")[0]

    return measure


_BARE = """
import sys, time, torch
from cifar_sweeps.system.malloc import retain_freed_memory
from tests.benchmarks.steps import product_steps
torch.set_num_threads(1)
retain_freed_memory()
images = torch.rand(2, 64, 3, 32, 32)
steps = product_steps("case_study/model_3", images, torch.randint(10, (2, 64)))
steps.run(20)
print("ready", flush=True)
sys.stdin.readline()
end, done, began = time.perf_counter() + float(sys.argv[1]), 0, time.perf_counter()
while time.perf_counter() < end:
    steps.run(5)
    done += 5
print(done / (time.perf_counter() - began))
"""


def _bare_gain(seconds: float) -> float:
    """Return how many times as many bare steps two processes take at once as one does alone."""

    def pace(processes: int) -> float:
        command = [sys.executable, "-c", _BARE, str(seconds)]
        pipe = subprocess.PIPE
        running = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=CHECKOUT) for _ in range(processes)
        ]
        for process in running:  # all have imported before any of them begins
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
        for process in running:
            process.stdin.write("\n")
            process.stdin.flush()
        return processes * statistics.mean(float(process.communicate()[0]) for process in running)

    return pace(2) / pace(1)
