"""Whole commands, timed: in a process of their own, with outputs of their own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measuring import CHECKOUT

TRAIN = (sys.executable, "-m", "cifar_sweeps")
_ALIEN = ("CIFAR_SWEEPS_MAKE", "HYDRA_FULL_ERROR", "MLFLOW_TRACKING_URI", "OMP_NUM_THREADS")


class CommandFailedError(Exception):
    """A command under measurement ended with another status than 0."""


@dataclass(frozen=True)
class Told:
    """A command's lines, each with the seconds from the start until it came, and how long it all took."""

    lines: tuple[tuple[float, str], ...]
    seconds: float

    def when(self, *words: str) -> list[float]:
        """Return when the lines came that have all of these words."""
        return [second for second, line in self.lines if all(word in line for word in words)]


def told(command: Sequence[str], outputs: Path, more: Mapping[str, str] | None = None) -> Told:
    """Run a command to its end, and note when it said what. Raises CommandFailedError."""
    environment = environment_of(outputs, more)
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=CHECKOUT,
    )
    assert process.stdout is not None
    lines = tuple((time.perf_counter() - started, line.rstrip()) for line in process.stdout)
    status = process.wait()
    seconds = time.perf_counter() - started
    if status:
        tail = "\n".join(line for _, line in lines[-15:])
        raise CommandFailedError(f"{' '.join(command)}: ended with status {status}\n{tail}")
    return Told(lines, seconds)


def environment_of(outputs: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a measured command: the user's, less what would change what is measured."""
    kept = {key: value for key, value in os.environ.items() if key not in _ALIEN}
    # Lines must come when they are said; a user's terminal does not hold them back either.
    return {**kept, "CIFAR_SWEEPS_OUTPUTS": str(outputs), "PYTHONUNBUFFERED": "1", "COLUMNS": "120", **(more or {})}


@contextmanager
def new_outputs() -> Iterator[Path]:
    """Give a folder for outputs, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="cifar-sweeps-benchmark-") as folder:
        yield Path(folder)
