"""The worker: run one job from its payload, in whatever process an engine has started for it."""

import io
import os
import sys
import traceback
from functools import partial
from pathlib import Path

import cloudpickle
from hydra.core.utils import JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig

from cifar_sweeps.data import cache
from cifar_sweeps.errors import in_one_line
from cifar_sweeps.hydra_support import get_singleton_state, run_job
from cifar_sweeps.runs.reporters import RunReporter
from cifar_sweeps.sweeps.jobs import ExitCause
from cifar_sweeps.sweeps.train_job import train_job
from cifar_sweeps.system.gpus import CUDA_VISIBLE_DEVICES

Outcome = tuple[ExitCause, float | None, str]
"""Cause, value and detail of a `JobExit`, as plain values: they are unpickled where other classes may be loaded."""


def pack_shared(context: HydraContext) -> bytes:
    """Return what all jobs of a sweep share, for `make_payload`: Hydra's context and its state in this process.

    Once a sweep: to copy the state takes as long as a tenth of a small job.
    """
    shared: bytes = cloudpickle.dumps((context, get_singleton_state()))
    return shared


def make_payload(shared: bytes, node: DictConfig) -> bytes:
    """Return what `run_payload` runs: what jobs share, the job's whole config, and which image files were verified.

    shared: of `pack_shared`.
    """
    payload: bytes = cloudpickle.dumps((shared, node, cache.export_verified()))
    return payload


def run_payload(payload: bytes, reporter: RunReporter, threads: int, gpu: str | None, until: int | None) -> Outcome:
    """Run a job and return cause, value and detail of its `JobExit`; only plain values, which any process can unpickle.

    threads: what ``trainer.threads=auto`` means. gpu, until: see `JobSpec`. Raises KeyboardInterrupt where the job is
    stopped.
    """
    if gpu is not None:
        os.environ[CUDA_VISIBLE_DEVICES] = gpu  # before CUDA is asked for anything in this process
    shared, config, verified = cloudpickle.loads(payload)
    context, state = cloudpickle.loads(shared)
    cache.import_verified(verified)
    try:
        done = run_job(context, config, partial(train_job, reporter=reporter, threads=threads, until=until), state)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (sys.exit in a job must not end the sweep)
        traceback.print_exc()
        return "raised", None, in_one_line(error)
    if done.status == JobStatus.COMPLETED:
        return "returned", done.return_value, ""
    return "raised", None, in_one_line(done._return_value)


def redirect_output(log_file: Path) -> None:
    """Append what this process prints, and what its libraries print and warn of, to the job's log file, in UTF-8."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    for stream in (sys.stdout, sys.stderr):  # None where the descriptor was closed
        if stream is not None:
            stream.flush()
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
