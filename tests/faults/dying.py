"""One run in a process of its own, which dies at a named moment: forked from a server that has imported everything."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from alembic.runtime.migration import HeadMaintainer

from cifar_sweeps.config.compose import compose
from cifar_sweeps.runs.run import run
from cifar_sweeps.tracking import artifact_files, delivery
from cifar_sweeps.tracking.artifact_files import ArtifactWriter
from cifar_sweeps.tracking.journal import Journal
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.training import checkpoint_manager
from cifar_sweeps.training.checkpoint_manager import CheckpointManager

MOMENTS = {
    "making of the database": (HeadMaintainer, "update_to_step"),
    "journal": (Journal, "append"),
    "fsync of the journal": (Journal, "sync"),
    "checkpoint": (checkpoint_manager, "save_with_sum"),
    "tidying of checkpoints": (CheckpointManager, "_tidy"),
    "naming of the checkpoints": (CheckpointManager, "finish"),
    "removal of the checkpoints": (CheckpointManager, "clear"),
    "making of the run in the store": (Store, "create_run"),
    "call to the store": (delivery, "_send"),
    "values into the store": (delivery, "log_values"),
    "artifact into the store": (ArtifactWriter, "log"),
    "file of an artifact": (artifact_files, "_put"),
    "note of a delivery": (delivery, "_note"),
}
"""What a run does on its way, each in one function."""


def server() -> ForkServerContext:
    """Return the way processes are made; the server imports torch and MLflow once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cifar_sweeps.sweeps.engines.local.preload", "faults.dying"])
    return context


def train(overrides: Sequence[str], folder: Path, moment: tuple[str, str, int] | None = None) -> int:
    """Train a run in ``folder`` and return its process's exit code, -9 if it was killed.

    moment: what it does, "before" or "after" it, and the how manyth time, when it kills itself.
    """
    process = start(overrides, folder, moment)
    process.join(120)
    assert process.exitcode is not None, "it did not end in time"
    return process.exitcode


def start(overrides: Sequence[str], folder: Path, moment: tuple[str, str, int] | None = None) -> ForkServerProcess:
    """Begin what `train` does."""
    process = server().Process(target=_train, args=(list(overrides), folder, moment, dict(os.environ)), daemon=True)
    process.start()
    return process


def _train(
    overrides: Sequence[str], folder: Path, moment: tuple[str, str, int] | None, environment: dict[str, str]
) -> None:
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which the server ignores
    if moment is not None:
        what, when, times = moment
        owner, name = MOMENTS[what]
        setattr(owner, name, _mortal(getattr(owner, name), when, times))
    run(compose(list(overrides)), folder=folder)


def _mortal(function: Callable[..., Any], when: str, times: int) -> Callable[..., Any]:
    calls = 0

    def dies(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == times and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **named)
        if calls == times and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return dies
