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
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import CifarSweepsError, ConfigError, hide_secrets
from cifar_sweeps.hydra_support import AbortHydra, task_overrides
from cifar_sweeps.runs.recording import experiment_name
from cifar_sweeps.runs.reporters import LogReporter, ReporterGroup, RunReporter, TerminalReporter
from cifar_sweeps.runs.run import RunResult, run
from cifar_sweeps.sweeps import manifest
from cifar_sweeps.sweeps.checks.resolvers import resolve, resolved_overrides
from cifar_sweeps.sweeps.terminal.where_to_look import mlflow_lines
from cifar_sweeps.system.scripts import shell_command, store_environment
from cifar_sweeps.tracking.page_links import run_page
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import configured_uri, tracking_uri

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
    if hydra.mode != RunMode.MULTIRUN and config.sweep.early_stopping != "none":
        reporter.on_message(
            f"sweep.early_stopping={config.sweep.early_stopping}: is of sweeps; a single run trains to its end"
        )
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
    if hydra.mode != RunMode.MULTIRUN:
        _say_where_to_look(result, config)
    return result.val_accuracy


def _say_where_to_look(result: RunResult, config: RunConfig) -> None:
    """Print the id of a single run, and what can be done with it."""
    console = Console(highlight=False)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    if result.run_id is None:  # tracking=none, or the store did not answer, which was said
        say(f"The run lies in {result.folder}")
        return
    store = Store(tracking_uri(config.tracking.uri, config.outputs), Path(config.outputs))
    environment = store_environment(config.outputs, configured_uri(config.tracking.uri, config.outputs))
    short = result.run_id[:8]
    say(f"Run {short}: {result.folder}")
    say("Look inside it, and at it in MLflow:")
    say(f"  {shell_command('cifar-sweeps', ['explain', short, '--mistakes', '8'], environment)}")
    for line in mlflow_lines(store.uri, environment, run_page(store.prepare(experiment_name(config)), result.run_id)):
        say(f"  {line}")


def _default_run_name(hydra: HydraConf) -> str:
    choices = hydra.runtime.choices
    if choices.get("experiment"):
        return str(choices["experiment"])
    named = {group: choices[group] for group in ("model", "regularization", "kernel_size") if group in choices}
    # A group that was deleted, and given whole by an override (+model={...}), has no name.
    return " ".join(f"{group}={option}" for group, option in named.items())
