"""One job as Hydra calls it: from its composed config to a run in the store."""

import logging
import shlex
from collections.abc import Iterable
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from cifar_sweeps.config import RunConfig, parse
from cifar_sweeps.errors import CifarSweepsError
from cifar_sweeps.run import run
from cifar_sweeps.sweeps import current, sweep_file
from cifar_sweeps.sweeps.faults import Refused
from cifar_sweeps.tracking.record import NoRecord, Record
from cifar_sweeps.tracking.store import DEFAULT_EXPERIMENT, PREFIX, Store, tracking_uri
from cifar_sweeps.watching import LogWatcher, TerminalWatcher, Watchers

log = logging.getLogger(__name__)


def job(cfg: DictConfig) -> float | None:
    """Train what ``cfg`` says and return the validation accuracy of the weights that were tested.

    Returns None without validation data: then there is nothing a sweeper may select by.
    """
    hydra = HydraConfig.get()
    try:
        return _job(cfg, hydra)
    except CifarSweepsError as fault:
        log.error("%s: %s", type(fault).__name__, fault)
        if hydra.mode == RunMode.MULTIRUN:
            raise  # this job has failed; the sweep goes on
        raise Refused(fault) from fault
    except Exception:
        log.exception("the run broke off")
        raise


def _job(cfg: DictConfig, hydra: HydraConf) -> float | None:
    config = parse(cfg)
    overrides = [str(override) for override in hydra.overrides.task]
    in_sweep = hydra.mode == RunMode.MULTIRUN
    sweep = sweep_file.read(Path(hydra.sweep.dir)) if in_sweep else None
    name = sweep_file.short_name(overrides, sweep.swept) if sweep else ""
    name = name or _single_name(hydra)
    result = run(
        config,
        name=name,
        folder=Path(hydra.runtime.output_dir),
        open_record=lambda: _open_record(config, name, hydra, sweep),
        watcher=Watchers(LogWatcher(), current.watcher() or TerminalWatcher(Console(highlight=False))),
    )
    return result.val_accuracy


def study_name(config: RunConfig) -> str:
    """Return the MLflow experiment that a config's runs belong to."""
    return config.study_name or DEFAULT_EXPERIMENT


def _open_record(config: RunConfig, name: str, hydra: HydraConf, sweep: sweep_file.SweepFile | None) -> Record:
    if config.tracking.backend == "none":
        return NoRecord()
    study = study_name(config)
    store = Store(tracking_uri(config.tracking.uri, config.outputs), Path(config.outputs))
    tags = {"study": study, "overrides": _as_typed(hydra.overrides.task), "folder": str(hydra.runtime.output_dir)}
    if sweep is not None:
        tags |= {"sweep_id": sweep.sweep_id, "job": str(hydra.job.num)}
    return store.create_run(
        store.prepare(study),
        name,
        {f"{PREFIX}{key}": value for key, value in tags.items()},
        sweep.parent_run_id if sweep is not None else None,
    )


def _as_typed(overrides: Iterable[str]) -> str:
    """Return overrides as one can type them into a shell."""
    return shlex.join(str(override) for override in overrides)


def _single_name(hydra: HydraConf) -> str:
    choices = hydra.runtime.choices
    if choices.get("experiment"):
        return str(choices["experiment"])
    return " ".join(f"{group}={choices[group]}" for group in ("model", "regularization", "kernel_size"))
