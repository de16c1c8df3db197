"""A sweep of a thousand jobs: planning it, its end, what the commands take that read it, and a run's disk."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import real_data
from tests.benchmarks.commands import TRAIN, new_outputs, told
from tests.benchmarks.measuring import Outcome

THREADS = "1"
_TOOL = (sys.executable, "-m", "cifar_sweeps.cli.main")
_TINY = (
    "data=synthetic",
    f"data.source.cache={real_data.CACHE}",
    "data.source.train_images=200",
    "data.source.test_images=60",
    "data.train_size=64",
    "data.val_fraction=0.2",
    "model=plain_3",
    "trainer.epochs=2",
    "trainer.threads=1",
    "analysis.pictures=false",
    "analysis.log_model=false",
    "study_name=thousand",
)
"""A job of two steps, whose record is as large as any other's."""
READERS = {
    "results": ("results", "thousand"),
    "arms": ("results", "thousand", "--arms"),
    "sweeps": ("sweeps",),
    "status": ("status",),
    "report": ("report", "thousand"),
}


def measure(quick: bool) -> Outcome:
    """Train a sweep of tiny jobs, and read it."""
    jobs = 20 if quick else 1000
    outcome = Outcome(f"A sweep of {jobs:,} jobs")
    _planning(outcome, 10, jobs)
    with new_outputs() as outputs:
        rates, seeds = (2, jobs // 2) if quick else (20, jobs // 20)
        swept = ",".join(f"{0.0005 * (number + 1):.4f}" for number in range(rates))
        command = [*TRAIN, "-m", *_TINY, f"optimizer.lr={swept}", f"seed=range({seeds})", "hydra.launcher.n_jobs=2"]
        run = told(command, outputs)
        ends = run.when("job", "finished in")
        report = run.when("Report:")[-1]
        outcome.add(
            "thousand/end", "after the last job: table, parent run, view", [_table_end(run.lines) - ends[-1]], "s"
        )
        outcome.add("thousand/end_report", "and then the report", [report - _table_end(run.lines)], "s")
        tenth = max(1, len(ends) // 10)
        pace = [(part[-1] - part[0]) / (len(part) - 1) for part in (ends[: tenth + 1], ends[-tenth - 1 :])]
        outcome.add("thousand/growth", f"a job of the last {tenth} / of the first {tenth}", [pace[1] / pace[0]], "×")
        sweep = next((outputs / "sweeps").iterdir()).name
        for key, words in READERS.items():
            arguments = [*words, sweep] if key == "status" else words
            seconds = [told([*_TOOL, *arguments], outputs).seconds for _ in range(1 if quick else 3)]
            outcome.add(f"thousand/{key}", f"cifar-sweeps {' '.join(words)}", seconds, "s")
    _disk(outcome, quick)
    return outcome


def _planning(outcome: Outcome, few: int, many: int) -> None:
    with new_outputs() as outputs:
        seconds = {
            count: told([*TRAIN, "-m", f"seed=range({count})", "sweep.dry_run=true"], outputs).seconds
            for count in (few, many)
        }
    outcome.add("thousand/planning", f"cifar-train -m 'seed=range({many})' sweep.dry_run=true", [seconds[many]], "s")
    further = 1000 * (seconds[many] - seconds[few]) / (many - few)
    outcome.add("thousand/planning_job", "of that, a further job", [further], "ms")


def _table_end(lines: tuple[tuple[float, str], ...]) -> float:
    return next(second for second, line in lines if line.startswith("Folders, logs and checkpoints:"))


def _disk(outcome: Outcome, quick: bool) -> None:
    """Measure what runs of a document's net leave, as those of a large sweep, and what the dry run says of it."""
    images, name = real_data.overrides_or_drawn()
    arm = ["experiment=case_study/model_3", *images, "trainer.threads=1", "tracking.keep=tested"]
    arm += ["data.train_size=128", "analysis.log_model=false", "sweep.report=false", "study_name=disk"]
    arm += ["data.val_size=100"] if quick else []
    jobs = 2
    with new_outputs() as outputs:
        # The store's own tables, and the images, are there before.
        told([*TRAIN, "-m", *_TINY, "seed=0"], outputs)
        said = told([*TRAIN, "-m", *arm, f"seed=range({jobs})", "sweep.dry_run=true"], outputs)
        before, results_before = _bytes(outputs), _bytes(outputs, _is_result)
        told([*TRAIN, "-m", *arm, f"seed=range({jobs})"], outputs)
        megabytes = (_bytes(outputs) - before) / 1e6 / jobs
        of_results = (_bytes(outputs, _is_result) - results_before) / 1e6 / jobs
    promised = next(found for _, line in said.lines if (found := re.search(r"about ([\d,.]+) MB of disk", line)))
    outcome.add("thousand/disk", "disk of a run of case_study/model_3: weights and analysis", [of_results], "MB")
    outcome.add("thousand/disk_whole", "with its journal, its configs and its rows in the store", [megabytes], "MB")
    error = 100 * abs(float(promised[1].replace(",", "")) / jobs / megabytes - 1)
    outcome.add("thousand/disk_error", "what the dry run says of it is off by", [error], "%")
    outcome.notes.append(
        f"disk: {name}, all epochs of the document, the weights that were tested, as large sweeps keep them, "
        "analysis=basic; 1 MB: 10^6 bytes"
    )


def _bytes(folder: Path, is_counted: Callable[[Path], bool] = lambda _: True) -> int:
    """Return the bytes of all files, each once however many names it has; those of decoded images are left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and folder / "data" not in path.parents)
    found = (path.lstat() for path in files if is_counted(path))
    return sum({each.st_ino: each.st_size for each in found}.values())


def _is_result(path: Path) -> bool:
    """Return whether a run's checkpoint or analysis is in this file: what the goal for the disk is about."""
    is_table = path.stem in ("analysis", "classification_report")
    return is_table or path.suffix in (".pt", ".npz", ".png")
