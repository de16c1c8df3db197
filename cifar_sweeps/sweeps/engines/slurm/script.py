"""Write the batch script of an array of jobs."""

import os
import shlex
import sys
from pathlib import Path

from cifar_sweeps.sweeps.engines.slurm.settings import SlurmSettings
from cifar_sweeps.system.gpus import CUDA_VISIBLE_DEVICES

_MODULE = "cifar_sweeps.sweeps.engines.slurm.task_of_array"


def write_script(path: Path, settings: SlurmSettings, code: Path | None = None) -> Path:
    """Write the script that runs the tasks of the submission whose record lies beside it, and return its path.

    code: the folder of the package's copy that it runs; None: the package that is installed.
    """
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in sbatch_options(settings)), *_body(path, settings, code)]
    path.write_bytes(b"".join(os.fsencode(line) + b"\n" for line in lines))
    return path


def sbatch_options(settings: SlurmSettings) -> list[str]:
    """Return what a job asks of Slurm; each array adds its size and its name."""
    options = ["--nodes=1", "--ntasks=1", f"--cpus-per-task={settings.cpus}"]
    optional = {
        "partition": settings.partition,
        "account": settings.account,
        "time": settings.time,
        "mem": settings.memory,
        "gres": None if settings.gpus is None else f"gpu:{settings.gpus}",
    }
    options += [f"--{name}={value}" for name, value in optional.items() if value is not None]
    # B: to the script alone, which is the job's Python by then. A job that is queued again appends to its log.
    options += [f"--signal=B:USR1@{settings.signal_seconds}", "--requeue", "--open-mode=append"]
    return [*options, *settings.extra]


def overruling_variables(settings: SlurmSettings) -> list[str]:
    """Return the environment variables by which sbatch would overrule the script's own lines."""
    names = [
        *("SBATCH_ARRAY_INX", "SBATCH_JOB_NAME", "SBATCH_OUTPUT", "SBATCH_ERROR", "SBATCH_SIGNAL", "SBATCH_WAIT"),
        *("SBATCH_REQUEUE", "SBATCH_NO_REQUEUE", "SBATCH_OPEN_MODE", "SBATCH_EXPORT"),
    ]
    configured = {
        "SBATCH_PARTITION": settings.partition,
        "SBATCH_ACCOUNT": settings.account,
        "SBATCH_TIMELIMIT": settings.time,
        "SBATCH_MEM_PER_NODE": settings.memory,
        "SBATCH_MEM_PER_CPU": settings.memory,
        "SBATCH_GRES": settings.gpus,
    }
    for line in settings.extra:
        name = line.lstrip("-").split("=")[0].split()[0]
        configured[f"SBATCH_{name.upper().replace('-', '_')}"] = name
    return [*names, *(name for name, value in configured.items() if value is not None)]


def _body(path: Path, settings: SlurmSettings, code: Path | None) -> list[str]:
    lines = ["trap '' USR1 USR2  # until Python can handle them"]
    if settings.gpus is None and not any("gpu" in line.lower() for line in settings.extra):
        # Some nodes may have GPUs that Slurm does not keep from a job: it was planned for a CPU, and trains on one.
        lines.append(f"export {CUDA_VISIBLE_DEVICES}=")
    if settings.setup:
        failed = 'echo "hydra.launcher.setup: status $?: $BASH_COMMAND" >&2'
        lines += ["set -e", f"trap '{failed}' ERR", *settings.setup, "trap - ERR"]
    if code is not None:
        # The folder of a module that is run is the first from which Python imports.
        lines += ["unset PYTHONSAFEPATH", f"cd -- {shlex.quote(str(code))} || exit"]
    command = [sys.executable, "-m", _MODULE, str(path.with_suffix(".json")), str(Path.cwd())]
    return [*lines, f"exec {shlex.join(command)}"]
