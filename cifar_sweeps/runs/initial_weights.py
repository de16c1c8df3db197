"""The weights that a training starts from when they are not drawn anew: ``trainer.init_from``.

A checkpoint file, a recorded run, or an experiment. An experiment is trained first, with the run's own seed, data and
budget, and without a record; its weights are kept by its config's hash, so that all jobs of a sweep that start from it
share one training. As a training repeats bit for bit, they are the weights of that experiment's own run.
"""

from pathlib import Path

import torch
from filelock import FileLock
from mlflow.exceptions import MlflowException

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose, quote
from cifar_sweeps.config.parse import conf_folder, config_hash, from_dict
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError, TrackingError, in_one_line
from cifar_sweeps.runs.reporters import RunReporter, epoch_line
from cifar_sweeps.runs.setup import build_setup, resolve_threads
from cifar_sweeps.system.files import is_inside
from cifar_sweeps.tracking.store import Store, tracking_uri
from cifar_sweeps.training.checkpoint_file import load_weights, save
from cifar_sweeps.training.loop import fit

CHECKPOINT = "checkpoints/last.pt"


def check_initial_weights(config: RunConfig) -> None:
    """Raise ConfigError or TrainingError if there are no weights to start from, or they are another model's."""
    source = config.trainer.init_from
    if source is None:
        return
    if _is_experiment(source):
        pretraining_config(config)
    else:
        load_weights(_find_checkpoint(config, source), build.model(config))


def resolve_initial_weights(config: RunConfig, watcher: RunReporter) -> Path | None:
    """Return the checkpoint to start from, or None to start anew; an experiment that has not been trained is trained.

    The watcher is told what the run starts from. Raises ConfigError or TrackingError as `check_starting_weights`, and
    what the first training raises; whether a file fits the model is seen when it is loaded.
    """
    source = config.trainer.init_from
    if source is None:
        return None
    if _is_experiment(source):
        path = _pretrained_weights(pretraining_config(config), source, watcher)
    else:
        path = _find_checkpoint(config, source)
    watcher.on_message(f"starts from the weights of {source} ({path}), with a fresh optimizer")
    return path


def pretraining_config(config: RunConfig) -> RunConfig:
    """Return the config of the experiment that ``config`` starts from, on the same images.

    What was typed for the run (``config.overrides``) holds for it, too. Raises ConfigError if it has another model.
    """
    own = config.trainer
    kept = [override for override in config.overrides if not _is_not_shared(override)]
    shared = {
        "seed": config.seed,
        "outputs": quote(config.outputs),
        "data.image_size": config.data.image_size,  # for the model; the data follow below
        "trainer.threads": own.threads,
        "trainer.precision": own.precision,
        "trainer.device": own.device,
    }
    first = compose([*kept, f"experiment={own.init_from}", *(f"{key}={value}" for key, value in shared.items())])
    plain = {**first.as_dict, "data": config.as_dict["data"]}
    plain["budget"] = {**plain["budget"], "full": plain["budget"]["full"] or {}}  # both have been cut
    config_of_first = from_dict(plain)
    if config_of_first.model != config.model:
        raise ConfigError(
            f"trainer.init_from={own.init_from}: has another model than this run; choose its model, or another start"
        )
    return config_of_first


def _is_not_shared(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return key in ("experiment", "trainer.init_from") or key.partition(".")[0] in ("augmentation", "data", "hydra")


def _is_experiment(source: str) -> bool:
    return (conf_folder() / "experiment" / f"{source}.yaml").is_file()


def _find_checkpoint(config: RunConfig, source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if path.suffix == ".pt" or path.is_absolute():
        raise ConfigError(
            f"trainer.init_from={source}: there is no such file, nor such an experiment; "
            "give a checkpoint's path, a run's id or name, or a name of conf/experiment"
        )
    store = Store(tracking_uri(config.tracking.uri, config.outputs), Path(config.outputs))
    try:
        store.check_exists()
        known = store.find_run(source)
        kept = Path(known.tag("folder") or "", CHECKPOINT)
        if is_inside(kept, Path(config.outputs)):  # the record may be another person's
            if kept.is_file():
                return kept
            best = kept.with_name("best.pt")
            if best.is_file():
                raise ConfigError(
                    f"trainer.init_from={source}: the run kept its best checkpoint alone (tracking.keep=best); "
                    f"start from that one: trainer.init_from={best}"
                )
        folder = _weights_folder(config) / known.run_id
        folder.mkdir(parents=True, exist_ok=True)
        return Path(store.client().download_artifacts(known.run_id, CHECKPOINT, str(folder)))
    except (TrackingError, MlflowException, OSError) as error:
        raise ConfigError(
            f"trainer.init_from={source}: there is no such file and no such experiment, and as a run it cannot be had: "
            f"{error if isinstance(error, TrackingError) else in_one_line(error)}"
        ) from error


def _weights_folder(config: RunConfig) -> Path:
    return Path(config.outputs) / "data" / "weights"


def _pretrained_weights(config: RunConfig, name: str, watcher: RunReporter) -> Path:
    """Return the weights of a config's training, from the file where they are kept or by training now."""
    folder = _weights_folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    made_with = f"{resolve_threads(config)}-{torch.__version__}"  # the same config gives other bits with others
    path = folder / f"{config_hash(config.as_dict)}-{build.images(config).fingerprint}-{made_with}.pt"
    with FileLock(path.with_suffix(".lock")):  # the jobs that come while one trains wait for it
        if path.is_file():
            return path
        watcher.on_message(f"trains {name} first, for its weights: {config.total_epochs} epochs")
        setup = build_setup(config)
        for metrics in fit(
            setup.net,
            setup.train,
            setup.optimizer,
            setup.schedule,
            epochs=config.total_epochs,
            parts=config.trainer.parts,
            # Its figures are nobody's: validated only where the rate follows the validation loss.
            val_batches=setup.val if setup.schedule.needs_validation else None,
            seed=config.seed,
            precision=setup.precision,
        ):
            watcher.on_message(f"{name}, {epoch_line(metrics, config.total_epochs)}")
        save(path, setup.net.state_dict())
    return path
