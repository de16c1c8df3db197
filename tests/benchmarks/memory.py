"""Proportional set size of 1, 2 and 4 jobs at once on real images: Linux tells it for each process."""

import itertools
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import real_data
from tests.benchmarks.commands import TRAIN, CommandFailedError, environment_of, new_outputs
from tests.benchmarks.measuring import CHECKOUT, Outcome

THREADS = "1"
MIB = 2**20
_EVERY = 0.5  # seconds


@dataclass
class Peak:
    """The most that was seen at one moment, in bytes, while all jobs were there."""

    whole: int = 0
    """The command, its fork server and all jobs."""
    jobs: list[int] = field(default_factory=list)
    images: int = 0
    """What all jobs together hold of the data's cache file, each page counted once."""


def measure(quick: bool) -> Outcome:
    """Measure sweeps of 1, 2 and 4 jobs."""
    images = real_data.overrides()
    held = real_data.cache_file()
    size = 128 if quick else 8_000
    outcome = Outcome("Memory: case_study/model_3 on real images, proportional set size")
    peaks: dict[int, Peak] = {}
    counts = (1, 2) if quick else (1, 2, 4)
    for jobs in counts:
        arm = ["experiment=case_study/model_3", *images, f"data.train_size={size}", "trainer.batch_size=64"]
        arm += ["trainer.epochs=1", "trainer.threads=1", "data.val_size=1000", "sweep.report=false"]
        arm += ["analysis.log_model=false", "analysis.pictures=false"] if quick else []
        seeds = ",".join(str(seed) for seed in range(jobs))
        peaks[jobs] = _peak([*TRAIN, "-m", *arm, f"seed={seeds}", f"hydra.launcher.n_jobs={jobs}"], jobs, held)
        peak = peaks[jobs]
        outcome.add(f"memory/{jobs}/whole", f"{jobs} at once: command, server and jobs", [peak.whole / MIB], "MiB")
        outcome.add(f"memory/{jobs}/job", f"{jobs} at once: each job", [job / MIB for job in peak.jobs], "MiB")
        outcome.add(f"memory/{jobs}/images", f"{jobs} at once: images of all", [peak.images / MIB], "MiB")
    outcome.add("memory/file", "the images' file", [held.stat().st_size / MIB], "MiB")
    shares = [peak.images / held.stat().st_size for peak in peaks.values()]
    outcome.add("memory/images_held", "images of all jobs / their file", [max(shares)], "×")
    further = [(peaks[b].whole - peaks[a].whole) / (b - a) / MIB for a, b in itertools.combinations(counts, 2)]
    outcome.add("memory/further_job", "each further job", further, "MiB")
    outcome.notes = [
        f"the largest sum seen, every {_EVERY} s, over whole jobs of {size:,} images with test, pictures, model export",
        "proportional: a page that several processes share counts for each with its part",
    ]
    return outcome


def _peak(command: list[str], jobs: int, held: Path) -> Peak:
    peak = Peak()
    with new_outputs() as outputs:
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment_of(outputs),
            cwd=CHECKOUT,
        )
        while process.poll() is None:
            time.sleep(_EVERY)
            _look(process.pid, jobs, held, peak)
        if process.returncode:
            assert process.stderr is not None
            raise CommandFailedError(f"{' '.join(command)}: status {process.returncode}\n{process.stderr.read()}")
    if not peak.jobs:
        raise CommandFailedError(f"{' '.join(command)}: its {jobs} jobs were never seen at once; train on more images")
    return peak


def _look(command: int, jobs: int, held: Path, peak: Peak) -> None:
    helpers = _children(command)  # the fork server and multiprocessing's tracker
    workers = [worker for helper in helpers for worker in _children(helper)]
    images = {worker: _pss_of_file(worker, held) for worker in workers}
    own = [_pss(worker) for worker in workers if images[worker]]  # the others wait for a job
    if len(own) < jobs:
        return
    whole = sum(map(_pss, [command, *helpers, *workers]))
    if whole > peak.whole:
        peak.whole, peak.jobs = whole, own
    peak.images = max(peak.images, sum(images.values()))


def _children(process: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:  # it has ended
        pass
    return found


def _pss(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * int(match[1]) if (match := re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)) else 0


def _pss_of_file(process: int, held: Path) -> int:
    """Return what a process has of a file's pages, by the entries of the mappings that name it."""
    total, inside = 0, False
    try:
        lines = Path(f"/proc/{process}/smaps").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        if re.match(r"^[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(str(held))
        elif inside and line.startswith("Pss:"):
            total += 1024 * int(line.split()[1])
    return total
