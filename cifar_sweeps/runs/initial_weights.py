"""Find or train the initial weights of a run: ``trainer.init_from``.

A checkpoint file, a recorded run, or an experiment. An experiment is trained first, with the run's own seed, data and
budget, and without being recorded; its weights are cached under its config's hash, so that all jobs of a sweep share
one pretraining. As training is reproducible bit for bit, they equal those of the experiment's own run.
"""

from pathlib import Path

import torch

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.hydra_messages import quote
from cifar_sweeps.config.parse import conf_folder, config_hash, from_dict
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError, TrackingError, in_one_line
from cifar_sweeps.runs.reporters import RunReporter, epoch_line
from cifar_sweeps.runs.setup import build_setup, resolve_threads
from cifar_sweeps.system.files import is_inside
from cifar_sweeps.system.locks import file_lock
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import tracking_uri
from cifar_sweeps.training.checkpoint_file import load_weights, save
from cifar_sweeps.training.loop import fit

CHECKPOINT = "checkpoints/last.pt"


def check_initial_weights(config: RunConfig) -> None:
    """Raise ConfigError or TrainingError if the initial weights are missing, or of another model."""
    source = config.trainer.init_from
    if source is None:
        return
    if _is_experiment(source):
        pretraining_config(config)
    else:
        load_weights(_find_checkpoint(config, source), build.model(config))


def resolve_initial_weights(config: RunConfig, reporter: RunReporter) -> Path | None:
    """Return the checkpoint to start from, or None for random weights; an experiment is trained if necessary.

    The source is reported as a message. Raises ConfigError or TrackingError as `check_initial_weights`, and what the
    pretraining raises; whether a file fits the model is only checked when it is loaded.
    """
    source = config.trainer.init_from
    if source is None:
        return None
    if _is_experiment(source):
        path = _pretrained_weights(pretraining_config(config), source, reporter)
    else:
        path = _find_checkpoint(config, source)
    reporter.on_message(f"starts from the weights of {source} ({path}), with a fresh optimizer")
    return path


def pretraining_config(config: RunConfig) -> RunConfig:
    """Return the config of the experiment that ``config`` starts from, on the same images.

    The run's overrides (``config.overrides``) apply to it as well. Raises ConfigError if it has another model.
    """
    own = config.trainer
    kept = [override for override in config.overrides if not _is_not_shared(override)]
    shared = {
        "seed": config.seed,
        "outputs": quote(config.outputs),
        "data.image_size": config.data.image_size,  # for the model; the data node is replaced below
        "trainer.threads": own.threads,
        "trainer.precision": own.precision,
        "trainer.device": own.device,
    }
    if "num_classes" in config.model:
        count = config.model["num_classes"]
        shared["model.num_classes"] = "null" if count is None else count
    composed = compose([*kept, f"experiment={own.init_from}", *(f"{key}={value}" for key, value in shared.items())])
    config_dict = {**composed.as_dict, "data": config.as_dict["data"]}
    # The budget is already applied to both.
    config_dict["budget"] = {**config_dict["budget"], "full": config_dict["budget"]["full"] or {}}
    pretraining = from_dict(config_dict)
    if pretraining.model != config.model:
        raise ConfigError(
            f"trainer.init_from={own.init_from}: has a different model; use the same model, or other initial weights"
        )
    return pretraining


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
            f"trainer.init_from={source}: no such file or experiment; "
            "give a checkpoint's path, a run's id or name, or an experiment of conf/experiment"
        )
    store = Store(tracking_uri(config.tracking.uri, config.outputs), Path(config.outputs))
    try:
        store.check_exists()
        recorded = store.find_run(source)
        path = Path(recorded.folder_in(Path(config.outputs)) or "", CHECKPOINT)
        if is_inside(path, Path(config.outputs)):  # the record may be another user's
            if path.is_file():
                return path
            best = path.with_name("best.pt")
            if best.is_file():
                raise ConfigError(
                    f"trainer.init_from={source}: the run kept only its best checkpoint (tracking.keep=best); "
                    f"start from it: trainer.init_from={best}"
                )
        folder = _weights_folder(config) / recorded.run_id
        folder.mkdir(parents=True, exist_ok=True)
        return Path(store.client().download_artifacts(recorded.run_id, CHECKPOINT, str(folder)))
    except (TrackingError, mlflow_api.MlflowException, OSError) as error:
        raise ConfigError(
            f"trainer.init_from={source}: no such file or experiment, and it cannot be used as a run: "
            f"{error if isinstance(error, TrackingError) else in_one_line(error)}"
        ) from error


def _weights_folder(config: RunConfig) -> Path:
    return Path(config.outputs) / "data" / "weights"


def _pretrained_weights(config: RunConfig, name: str, reporter: RunReporter) -> Path:
    """Return the checkpoint of a config's final weights, from the cache or by training it now."""
    folder = _weights_folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    computed_with = f"{resolve_threads(config)}-{torch.__version__}"  # these change the result's bits
    images = build.images(config, reporter.on_loading)
    config = build.with_classes_of(config, images)
    path = folder / f"{config_hash(config.as_dict)}-{images.fingerprint}-{computed_with}.pt"
    with file_lock(path.with_suffix(".lock")):  # other jobs wait for the one that trains
        if path.is_file():
            return path
        reporter.on_message(f"training {name} first, for its weights: {config.total_epochs} epochs")
        setup = build_setup(config)
        for metrics in fit(
            setup.net,
            setup.train,
            setup.optimizer,
            setup.schedule,
            epochs=config.total_epochs,
            parts=config.trainer.parts,
            # Its metrics are not used: validated only if the schedule follows the validation loss.
            val_batches=setup.val if setup.schedule.needs_validation else None,
            seed=config.seed,
            precision=setup.precision,
        ):
            reporter.on_message(f"{name}, {epoch_line(metrics, config.total_epochs)}")
        save(path, setup.net.state_dict())
    return path
