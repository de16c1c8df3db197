"""What the controller itself costs a job, on an engine without processes, for a thousand and for ten thousand jobs."""

import io
import time
from pathlib import Path

from rich.console import Console

from cifar_sweeps.search.scheduler import GridScheduler
from cifar_sweeps.sweeps.controller import Controller
from cifar_sweeps.sweeps.jobs import JobSpec
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
    outcome.notes.append("Each job reports three epochs and returns; nothing is planned, trained, recorded or drawn.")
    return outcome


def _milliseconds(count: int) -> float:
    """Return what a job costs the controller, in milliseconds."""
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
    began = time.perf_counter()
    results = controller.run(Interrupts(engine), Path("/sweep"))
    seconds = time.perf_counter() - began
    assert [result.state for result in results] == ["finished"] * count
    return 1000 * seconds / count
