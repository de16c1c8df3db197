"""The task function: train one job, from the config that Hydra composed to a recorded run."""

import dataclasses
import json
import logging
import os
import traceback
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from cifar_sweeps.config.parse import parse_config
from cifar_sweeps.errors import CifarSweepsError, ConfigError, hide_secrets
from cifar_sweeps.hydra_support import AbortHydra, task_overrides
from cifar_sweeps.runs.reporters import LogReporter, ReporterGroup, RunReporter, TerminalReporter
from cifar_sweeps.runs.run import run
from cifar_sweeps.sweeps import manifest
from cifar_sweeps.sweeps.checks.resolvers import resolve, resolved_overrides

log = logging.getLogger(__name__)


def train_job(
    cfg: DictConfig,
    reporter: RunReporter | None = None,
    threads: int | None = None,
    until: int | None = None,
) -> float | None:
    """Train what ``cfg`` says and return the validation accuracy of the weights that were tested.

    reporter: receives the run's progress, as the log file does; None: the terminal. threads: what
    ``trainer.threads=auto`` means; None: all cores. until: the epoch after which the run is paused.
    Returns None without validation data: then there is nothing that a sweeper may select by.
    """
    hydra = HydraConfig.get()
    os.chdir(hydra.runtime.cwd)  # Hydra may have left it (hydra.job.chdir), and every relative place means this folder
    try:
        return _train(cfg, hydra, reporter or TerminalReporter(Console(highlight=False)), threads, until)
    except CifarSweepsError as error:
        log.error("%s: %s", type(error).__name__, error)
        if hydra.mode == RunMode.MULTIRUN:
            raise  # this job has failed; the sweep continues
        raise AbortHydra(error) from error
    except Exception:
        log.error("the run failed\n%s", hide_secrets(traceback.format_exc()))
        raise


def _train(
    cfg: DictConfig, hydra: HydraConf, reporter: RunReporter, threads: int | None, until: int | None
) -> float | None:
    task = resolve(cfg)
    overrides = resolved_overrides(task_overrides(hydra), cfg, task)
    config = dataclasses.replace(parse_config(task), overrides=tuple(overrides))
    folder = Path(hydra.runtime.output_dir)
    name, tags, sweep_folder = _default_run_name(hydra), {}, None
    if config.sweep.dry_run:
        raise ConfigError("sweep.dry_run=true: shows the jobs of a sweep; add -m or study=NAME, or leave it out")
    if hydra.mode == RunMode.MULTIRUN:
        sweep_folder = Path(hydra.sweep.dir)
        sweep = manifest.read_manifest(sweep_folder)
        name = manifest.run_name(overrides, sweep.swept) or name
        swept = manifest.swept_values(overrides, sweep.swept)
        tags = {"sweep_id": sweep.sweep_id, "job": str(hydra.job.num), "swept": json.dumps(swept)}
    config_dir = next((each.path for each in hydra.runtime.config_sources if each.provider == "command-line"), None)
    if config_dir:
        tags["config_dir"] = str(Path(config_dir).absolute())
    result = run(
        config,
        name=name,
        folder=folder,
        tags=tags,
        sweep=sweep_folder,
        threads=threads,
        until=until,
        reporter=ReporterGroup(LogReporter(), reporter),
    )
    return result.val_accuracy


def _default_run_name(hydra: HydraConf) -> str:
    choices = hydra.runtime.choices
    if choices.get("experiment"):
        return str(choices["experiment"])
    named = {group: choices[group] for group in ("model", "regularization", "kernel_size") if group in choices}
    # A group that was deleted, and given whole by an override (+model={...}), has no name.
    return " ".join(f"{group}={option}" for group, option in named.items())
