"""Open a finished run: its config, its trained network, its images and its test predictions."""

import atexit
import dataclasses
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from cifar_sweeps.analysis.mlflow_model import ServableClassifier
from cifar_sweeps.analysis.predictions import FILE, Predictions, from_logits, load_predictions
from cifar_sweeps.config import build
from cifar_sweeps.config.parse import from_dict
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.data.batches import EvalBatches
from cifar_sweeps.data.dataset import ImageData, LabelledImages, Progress
from cifar_sweeps.data.splits import Splits
from cifar_sweeps.data.whitening import Whitening
from cifar_sweeps.errors import TrackingError
from cifar_sweeps.runs.recorded import localized_config, recorded_config, recorded_images, recorded_overrides
from cifar_sweeps.runs.setup import check_data, fitted_whitening
from cifar_sweeps.system.files import is_inside
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.recorded_run import RecordedRun, finish_command
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.training.checkpoint_file import load_weights
from cifar_sweeps.training.loop import evaluate
from cifar_sweeps.training.precision import resolve_device, resolve_precision


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, to look inside. Its network and images are loaded when they are first asked for.

    config: as recorded, with this machine's places. record: from the store.
    """

    record: RecordedRun
    config: RunConfig
    store: Store
    progress: Progress | None = None

    @property
    def label(self) -> str:
        """The run's name and the beginning of its id."""
        return f"{self.record.name} ({self.record.run_id[:8]})"

    @property
    def folder(self) -> Path | None:
        """The run's folder if it lies in this outputs folder; the record may be another user's, and name any."""
        return own_folder(self.record, self.store)

    @cached_property
    def images(self) -> ImageData:
        """The images that it was trained on. Raises DataError if they are not at hand, or others now."""
        return recorded_images(self.config, self.record, self.progress)

    @cached_property
    def splits(self) -> Splits:
        """Which of the images it was trained and validated on."""
        return check_data(self.config, build.summarize_model(self.config), self.images)

    @cached_property
    def whitening(self) -> Whitening | None:
        """The whitening of its images, if it has one: from its file, or fitted again on the images, as `images`."""
        if self.config.data.whitening is None:
            return None
        return fitted_whitening(self.config, self.images, self.splits, self.progress)

    @property
    def validation(self) -> LabelledImages:
        """The images that it was validated on; none if it was not. In the order of ``splits.val``."""
        data, splits = self.images, self.splits
        source = {"train": data.train, "test": data.test, "val": data.val}[splits.val_from]
        assert source is not None
        return LabelledImages(source.images[splits.val], source.labels[splits.val])

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes, in the order of its logits."""
        return self.images.classes

    @cached_property
    def tested_epoch(self) -> int | None:
        """The epoch of the weights that were tested last; None if that is not recorded."""
        points = self.store.history(self.record.run_id, "test/accuracy")
        return points[-1][0] if points else None

    @cached_property
    def net(self) -> nn.Module:
        """The network with the weights that were tested, on the CPU, in evaluation mode.

        Raises TrackingError if they were not kept.
        """
        net = build.model(self.config)
        load_weights(self._checkpoint(), net)
        return net.eval()

    @property
    def servable(self) -> ServableClassifier:
        """Maps raw pixels (N, 3, H, W) in 0 to 255 to probabilities (N, C), in float32 on the CPU."""
        return ServableClassifier(self.net, self.config.data.mean, self.config.data.std, self.whitening)

    def predict(self, images: LabelledImages) -> Predictions:
        """Return the predictions for images of its size, as they were made when it was tested."""
        device = resolve_device(self.config.trainer.device)
        trainer, data = self.config.trainer, self.config.data
        batches = EvalBatches(
            images,
            torch.arange(len(images)),
            trainer.eval_batch_size,
            augmentation=None,
            mean=data.mean,
            std=data.std,
            whitening=self.whitening,
            device=device,
            channels_last=trainer.channels_last,
        )
        layout = torch.channels_last if trainer.channels_last else torch.contiguous_format
        net = self.net.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        try:
            evaluation = evaluate(net, batches, resolve_precision(trainer.precision, device))
        finally:
            self.net.to("cpu")
        return from_logits(evaluation.logits, evaluation.labels, self.classes)

    @cached_property
    def predictions(self) -> Predictions:
        """The test predictions, as recorded; of a run that recorded none, they are made now."""
        path = self.artifact(FILE)
        return self.predict(self.images.test) if path is None else load_predictions(path)

    def model_input(self, images: Tensor) -> Tensor:
        """Return raw pixels (N, 3, H, W) uint8 as the network takes them: float32, scaled as in training."""
        mean, std = self.config.data.mean or [0.0] * 3, self.config.data.std or [1.0] * 3
        scaled = images.float() / 255
        if self.whitening is not None:
            return self.whitening(scaled)
        return (scaled - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    def artifact(self, name: str) -> Path | None:
        """Return an artifact's file: the one in its folder, or a copy from the store; None if it has none."""
        return find_artifact(self.record, self.store, name, self.folder)

    def _checkpoint(self) -> Path:
        has_best = self.config.trainer.select == "best" and "best/epoch" in self.record.metrics
        wanted = "best" if has_best else "last"
        path = self.artifact(f"checkpoints/{wanted}.pt")
        if path is None and self.record.metrics.get("best/epoch") == self.config.total_epochs:
            path = self.artifact(f"checkpoints/{'last' if has_best else 'best'}.pt")  # of the same epoch
        if path is None:
            raise TrackingError(
                f"{self.label}: its {wanted} checkpoint, which was tested, was not kept, or is not on this machine "
                f"(tracking.keep={self.config.tracking.keep}); train it again: cifar-sweeps reproduce "
                f"{self.record.run_id[:8]}"
            )
        return path


def own_folder(record: RecordedRun, store: Store) -> Path | None:
    """Return a run's folder if it lies in this outputs folder; the record may be another user's, and name any."""
    found = record.folder_in(store.outputs)
    return found if found is not None and is_inside(found, store.outputs) and found.is_dir() else None


def find_artifact(record: RecordedRun, store: Store, name: str, folder: Path | None) -> Path | None:
    """Return an artifact's file: the one in the run's ``folder``, or a copy from the store; None if it has none.

    The copy is removed when the command ends.
    """
    if folder is not None and (folder / name).is_file():
        return folder / name
    target = Path(tempfile.mkdtemp(prefix="cifar-sweeps-"))
    atexit.register(
        shutil.rmtree, target, ignore_errors=True
    )  # a checkpoint may be large, and is read again until then
    try:
        return Path(store.client().download_artifacts(record.run_id, name, str(target)))
    except (mlflow_api.MlflowException, OSError):
        return None


def open_trained_run(
    run: str | RecordedRun, store: Store, progress: Progress | None = None, own_cache: str | None = None
) -> TrainedRun:
    """Return a finished run by its id, the beginning of that, or its name.

    progress: told what is loaded. own_cache: see `localized_config`.
    Raises TrackingError if there is none, or if it has not finished, ConfigError if its recorded config is not valid
    any more.
    """
    record = store.find_run(run) if isinstance(run, str) else run
    if record.state != "FINISHED":
        raise TrackingError(
            f"{record.run_id[:8]} ({record.name}): is {record.state_text}, and has no trained model to look at; "
            f"finish it: {finish_command(record.run_id, record.tags)}"
        )
    config = from_dict(localized_config(recorded_config(record, store), record, store, own_cache))
    return TrainedRun(record, dataclasses.replace(config, overrides=tuple(recorded_overrides(record))), store, progress)
