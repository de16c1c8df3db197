"""What the controller itself costs a job, on an engine without processes, for a thousand and for ten thousand jobs."""

import gc
import io
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from cifar_sweeps.search.scheduler import GridScheduler
from cifar_sweeps.sweeps.controller import Controller
from cifar_sweeps.sweeps.jobs import JobResult, JobSpec
from cifar_sweeps.sweeps.terminal.progress import JobProgress, SweepProgress
from tests.benchmarks.measuring import Outcome, ratios, rounds
from tests.sweeps.fake_engine import FakeEngine, FakeRecord, Interrupts, planned, trains

THREADS = "1"


def measure(quick: bool) -> Outcome:
    """Measure both in turn."""
    few, many = (100, 1000) if quick else (1000, 10_000)
    outcome = Outcome("Controller")
    taken = rounds({"few": lambda: _milliseconds(few), "many": lambda: _milliseconds(many)}, 1 if quick else 5)
    outcome.add("controller/job/few", f"a job of {few:,}, 16 at once", taken["few"], "ms")
    outcome.add("controller/job/many", f"a job of {many:,}, 16 at once", taken["many"], "ms")
    outcome.add("controller/growth", f"a job of {many:,} / of {few:,}", ratios(taken["many"], taken["few"]), "×")
    for key, jobs in (("few", few), ("many", many)):
        outcome.add(
            f"controller/memory/{key}", f"held of a job of {jobs:,} when all have ended", [_kilobytes(jobs)], "kB"
        )
    outcome.notes.append("Each job reports three epochs and returns; nothing is planned, trained, recorded or drawn.")
    return outcome


def _milliseconds(count: int) -> float:
    """Return what a job costs the controller, in milliseconds."""
    run = _controller(count)
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began) / count


def _kilobytes(count: int) -> float:
    """Return what the command still holds of a job when all have ended, in kB; its lines in the terminal included."""
    run = _controller(count)
    gc.collect()
    tracemalloc.start()
    results = run()
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1000 / len(results)


def _controller(count: int) -> Callable[[], list[JobResult]]:
    """Return what runs so many jobs."""
    jobs = [planned(number) for number in range(count)]
    engine = FakeEngine({number: [trains(number, (0.3, 0.4, 0.5))] for number in range(count)})
    rows = [JobProgress(job.number, job.name, 3) for job in jobs]
    controller = Controller(
        jobs,
        engine,
        GridScheduler(range(count)),
        make_spec=lambda job, gpu, until: JobSpec(job.number, job.folder, job.log_file, b"", 1, gpu=gpu, until=until),
        n_jobs=16,
        gpus=(),
        display=SweepProgress(rows, Console(file=io.StringIO()), 16),
        record=FakeRecord(),
        read_run=lambda _: None,
        read_curve=lambda _: {},
    )

    def run() -> list[JobResult]:
        results = controller.run(Interrupts(engine), Path("/sweep"))
        assert [result.state for result in results] == ["finished"] * count
        return results

    return run
