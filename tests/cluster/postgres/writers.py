"""Many processes that record runs at once, as the jobs of sweeps do: each through `RunLogger`, its journal first."""

import hashlib
import math
import multiprocessing
import random
import time
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger

METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr")
STUDY = "team"


@dataclass(frozen=True)
class Load:
    """What the writers record: ``runs`` runs each, of ``lines`` lines of metrics with ``values`` of `METRICS`.

    seconds: how long a writer takes for its lines, at least; it is over sooner for none.
    """

    writers: int
    runs: int
    lines: int
    values: int = 1
    seconds: float = 0.0

    @property
    def all_lines(self) -> int:
        """Lines of metrics of all runs."""
        return self.writers * self.runs * self.lines

    def folder(self, outputs: Path, writer: int, run: int) -> Path:
        """Return a run's folder."""
        return outputs / "sweeps" / f"writer-{writer}" / str(run)

    def values_of(self, writer: int, run: int, line: int) -> dict[str, float]:
        """Return the metrics of a line, at step ``line``; one in a hundred is infinite or not a number."""
        first = line if self.values == 1 else 0
        drawn = random.Random(f"{writer} {run} {line}")
        odd = {17: math.nan, 51: math.inf}.get(line % 100)
        chosen = [METRICS[(first + offset) % len(METRICS)] for offset in range(self.values)]
        return {name: drawn.random() if odd is None else odd for name in reversed(chosen)}


def start_writers(outputs: Path, uri: str, load: Load) -> list[multiprocessing.process.BaseProcess]:
    """Start all writers, each in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cifar_sweeps.tracking.run_logger"])
    processes = [
        context.Process(target=write_runs, args=(outputs, uri, load, writer)) for writer in range(load.writers)
    ]
    for process in processes:
        process.start()
    return processes


def write_runs(outputs: Path, uri: str, load: Load, writer: int) -> None:
    """Record a sweep of ``load.runs`` runs, one after the other, with metrics, parameters, tags and artifacts."""
    folder = outputs / "sweeps" / f"writer-{writer}"
    sweep = _open(folder, outputs, uri, f"writer {writer}", None)
    for run in range(load.runs):
        job = load.folder(outputs, writer, run)
        logger = _open(job, outputs, uri, f"writer {writer} run {run}", folder)
        logger.log_params({f"key.{number}": f"{writer} {run} {number}" for number in reversed(range(40))})
        (job / "config.yaml").write_text(f"writer: {writer}\nrun: {run}\n")
        logger.log_artifact(job / "config.yaml")
        _write_files(job, writer, run)
        began = time.monotonic()
        for line in range(1, load.lines + 1):
            logger.log_metrics(load.values_of(writer, run, line), step=line)
            if line == load.lines // 2:
                logger.log_artifact(job / "weights.bin", "checkpoints")
                logger.set_tags({"z": "1", "cifar_sweeps.half": f"{writer} {run}", "a": "1"})
            behind = began + load.seconds / load.runs * line / load.lines - time.monotonic()
            if behind > 0.05:
                time.sleep(behind)
        logger.log_artifact(job / "figures")
        logger.end_run("FINISHED")
    sweep.end_run("FINISHED")


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of each file under a folder, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _open(folder: Path, outputs: Path, uri: str, name: str, parent: Path | None) -> RunLogger:
    folder.mkdir(parents=True)
    return RunLogger(RunHeader(folder, outputs, "mlflow", uri, STUDY, name, {"who": name}, name, parent))


def _write_files(job: Path, writer: int, run: int) -> None:
    drawn = random.Random(f"{writer} {run}")
    (job / "weights.bin").write_bytes(drawn.randbytes(500_000))
    (job / "figures").mkdir()
    for number in range(3):
        (job / "figures" / f"{number}.png").write_bytes(drawn.randbytes(20_000))
