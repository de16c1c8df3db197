"""Export a run's network to a file, check the file on the whole test set, and record how far it agrees."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cifar_sweeps.analysis.agreement import MARGIN, TOLERANCE, Agreement, agreement
from cifar_sweeps.data.dataset import LabelledImages
from cifar_sweeps.errors import ConfigError, TrackingError, in_one_line
from cifar_sweeps.inspection.export.formats import INPUT, OUTPUT, ExportFormat, Predict
from cifar_sweeps.runs.trained_run import TrainedRun
from cifar_sweeps.system.files import atomic_write, file_name, write_text_atomic
from cifar_sweeps.tracking.recorded_run import PREFIX
from cifar_sweeps.tracking.store_errors import store_errors

BATCH = 500
"""Images at once in the check."""
BATCH_SIZES = (1, 2, 7)
"""Of the last check: any batch size works."""
FOLDER = "export"
"""Of the run's folder and of its artifacts."""


@dataclass(frozen=True)
class Exported:
    """An exported file. record: its JSON file beside it. notes: lines for the user."""

    path: Path
    record: Path
    agreement: Agreement
    notes: tuple[str, ...]


def export(run: TrainedRun, how: ExportFormat, out: Path | None = None) -> Exported:
    """Write a run's network to a file that maps raw pixels to probabilities, and record how far it agrees.

    The file takes pixels (N, 3, H, W) uint8, in RGB, and gives probabilities (N, C) float32, for any N. It is read
    again and run over all test images; it appears at ``out`` only if it agrees with the run's network there (see
    `Agreement.holds`). out: by default ``export/model.onnx`` or ``.pt2`` in the run's folder. The agreement, the
    classes and the preprocessing are in the file's metadata and in a JSON file beside it; both files are artifacts of
    the run, and the agreement is a tag of it.
    Raises ConfigError if a package is missing or ``out`` cannot be written, DataError if the test images are not at
    hand, TrackingError if the weights were not kept or the file does not agree.
    """
    how.check_installed()
    path = _target(run, how, out)
    images = run.images.test
    expected = in_batches(lambda pixels: network_probabilities(run, pixels), images)
    with tempfile.TemporaryDirectory() as folder:
        # What is refused must not be found under its name, and what was there before stays.
        unchecked = Path(folder, f"model{how.ending}")
        try:
            how.write(run.servable, images.images[:2].contiguous(), unchecked)
            answers = in_batches(how.load(unchecked), images)
            found = agreement(expected, answers)
            description = _description(run, how, found, answers, images)
            how.add_metadata(unchecked, _texts(description))
            small = [_small_batch(how.load(unchecked), images, expected, size) for size in BATCH_SIZES]
        except (OSError, MemoryError):  # a full disk
            raise
        except Exception as error:  # exporters and runtimes raise anything
            raise TrackingError(
                f"{run.label}: cannot be exported as {how.name} ({in_one_line(error)}); nothing was written; "
                f"{_advice(how)}"
            ) from error
        _refuse_if_wrong(run, how, found, small)
        with atomic_write(path) as target, unchecked.open("rb") as source:
            shutil.copyfileobj(source, target)
    record = path.with_name(f"{path.name}.json")
    write_text_atomic(record, json.dumps(description, indent=1, ensure_ascii=False))
    notes = (_accuracy_note(description["test_accuracy"]), *_log(run, how, path, record, found))
    return Exported(path, record, found, notes)


def _target(run: TrainedRun, how: ExportFormat, out: Path | None) -> Path:
    """Return the file to write, in a folder that exists. Raises ConfigError."""
    if out is None:
        beside = run.store.outputs / FOLDER / file_name(run.record.run_id)
        folder = beside if run.folder is None else run.folder / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"model{how.ending}"
    path = out.expanduser()
    if path.is_dir():
        raise ConfigError(f"--out {out}: is a folder; name a file, such as {out / f'model{how.ending}'}")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {path.parent}; make it, or choose another")
    return path


def network_probabilities(run: TrainedRun, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the probabilities of the run's own network, scaled as in training: not by way of what is exported."""
    with torch.no_grad():
        found: npt.NDArray[np.float32] = run.net(run.model_input(torch.from_numpy(pixels))).softmax(dim=1).numpy()
    return found


def in_batches(predict: Predict, images: LabelledImages) -> npt.NDArray[np.float32]:
    """Return the probabilities (N, C) that a function of pixels gives for images, computed in batches."""
    starts = range(0, len(images), BATCH)
    return np.concatenate([predict(images.images[start : start + BATCH].contiguous().numpy()) for start in starts])


def _small_batch(
    predict: Predict, images: LabelledImages, expected: npt.NDArray[np.float32], size: int
) -> tuple[int, Agreement]:
    return size, agreement(expected[:size], predict(images.images[:size].contiguous().numpy()))


def _refuse_if_wrong(
    run: TrainedRun, how: ExportFormat, found: Agreement, small: Sequence[tuple[int, Agreement]]
) -> None:
    """Raise TrackingError if the file does not agree with the network on all images, or in some batch size."""
    wrong = next((f"in a batch of {size}, {one}" for size, one in small if not one.holds), None)
    wrong = wrong if found.holds else str(found)
    if wrong is not None:
        raise TrackingError(
            f"{run.label}: the exported {how.name} file is refused, and was not kept: it does not predict as the run's "
            f"network does on its test images: {wrong}; allowed is {TOLERANCE:g}, and another class only where the two "
            f"likeliest are within {MARGIN:g}; {_advice(how)}"
        )


def _advice(how: ExportFormat) -> str:
    versions = ", ".join(f"{package} {number}" for package, number in how.versions.items())
    return f"try other versions ({versions}){', or --format torch' if how.name == 'onnx' else ''}"


def _description(
    run: TrainedRun,
    how: ExportFormat,
    found: Agreement,
    answers: npt.NDArray[np.float32],
    images: LabelledImages,
) -> dict[str, Any]:
    """Return what a user of the file must know, as plain values."""
    data = run.config.data
    height, width = images.images.shape[2:]
    labels = images.labels.numpy()
    return {
        "classes": list(run.classes),
        "input": {
            "name": INPUT,
            "shape": ["batch", 3, height, width],
            "type": "uint8",
            "meaning": "RGB pixels, 0 to 255, as a viewer shows the picture",
            "fit": data.fit,
            "background": data.background,
        },
        "output": {"name": OUTPUT, "shape": ["batch", len(run.classes)], "type": "float32", "meaning": "softmax"},
        "scaling": {
            "within": "the model",
            "divided_by": 255,
            "mean": data.mean,
            "std": data.std,
            "whitening": data.whitening,
        },
        "run": {"run_id": run.record.run_id, "name": run.record.name, "epoch": run.tested_epoch},
        "agreement": {
            "images": found.images,
            "same_class": found.equal,
            "near_ties": found.ties,
            "largest_difference": found.largest,
            "tolerance": TOLERANCE,
            "margin": MARGIN,
        },
        "test_accuracy": {
            "exported": float((answers.argmax(axis=1) == labels).mean()),
            "recorded": run.record.metrics.get("test/accuracy"),
            "recorded_precision": run.record.tag("precision"),
        },
        "versions": how.versions,
    }


def _accuracy_note(accuracy: Mapping[str, Any]) -> str:
    """Return how the file's test accuracy compares with the recorded one, which may be of another precision."""
    recorded = accuracy["recorded"]
    then = "" if recorded is None else f"; recorded: {recorded:.4f}, computed in {accuracy['recorded_precision']}"
    return f"Its test accuracy is {accuracy['exported']:.4f}, computed in float32{then}."


def _texts(description: dict[str, Any]) -> dict[str, str]:
    """Return the description as texts, for a file's metadata."""
    return {key: json.dumps(value, ensure_ascii=False) for key, value in description.items()}


def _log(run: TrainedRun, how: ExportFormat, path: Path, record: Path, found: Agreement) -> list[str]:
    """Record the file in the run; return a line if the store cannot be written: the file is whole all the same."""
    versions = ", ".join(f"{package} {number}" for package, number in how.versions.items())
    client, run_id = run.store.client(), run.record.run_id
    try:
        for each in (path, record):
            client.log_artifact(run_id, str(each), FOLDER)
        client.set_tag(run_id, f"{PREFIX}export.{how.name}", f"{found}; {versions}")
    except store_errors() as error:
        return [f"The agreement stands in {record.name} alone: the store cannot be written: {in_one_line(error)}"]
    return []
