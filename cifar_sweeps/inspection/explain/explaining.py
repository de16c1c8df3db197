"""Compute what a run's network looks at in some images: its test images, or pictures from files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cifar_sweeps.analysis.explanations.attributions import Attributions, attributions
from cifar_sweeps.analysis.explanations.grad_cam import grad_cam
from cifar_sweeps.analysis.explanations.layers import (
    check_layers,
    default_layers,
    first_filters,
    recorded_outputs,
    spatial_layers,
)
from cifar_sweeps.analysis.explanations.neighbours import Neighbours, last_features, nearest
from cifar_sweeps.analysis.mistakes import confident_mistakes
from cifar_sweeps.data.picture_files import Treatment, UnreadableError, parse_colour, read_picture
from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.runs.trained_run import TrainedRun

MISTAKES, RIGHT, NEIGHBOURS = 8, 2, 5
"""Shown where nothing else was asked for: mistakes and images that are right; and neighbours of each image."""
_BATCH = 500


@dataclass(frozen=True)
class Subject:
    """An image to explain. actual: its label; None for a picture from a file. recorded: the class that was tested."""

    name: str
    image: Tensor
    actual: int | None
    recorded: int | None


@dataclass(frozen=True)
class Explanation:
    """All that was computed. Maps are by subject; ``cam`` and ``cam_actual`` (N, h, w) at the layer's resolution.

    probabilities: (N, C) in float32. cam_actual: for the actual class; equal to ``cam`` where that is predicted.
    maps: by layer, (N, channels, h, w). None stands for what this network does not have, or what is not installed.
    """

    run: TrainedRun
    subjects: tuple[Subject, ...]
    probabilities: Tensor
    cam_layer: str | None
    cam: Tensor | None
    cam_actual: Tensor | None
    maps: dict[str, Tensor]
    filters: tuple[str, Tensor] | None
    attributions: Attributions | None
    neighbours: Neighbours
    features_of: str
    notes: tuple[str, ...]

    @property
    def predicted(self) -> Tensor:
        """(N,) int64: the predicted classes."""
        return self.probabilities.argmax(dim=1)


def choose_subjects(
    run: TrainedRun, indices: Sequence[int], mistakes: int | None, files: Sequence[Path]
) -> tuple[Subject, ...]:
    """Return the images to explain: by index, the most confident mistakes, and pictures; some of each by default.

    Raises ConfigError for an index that there is not, DataError for a picture that cannot be read.
    """
    predictions, test = run.predictions, run.images.test
    if mistakes is not None and mistakes < 1:
        raise ConfigError(f"--mistakes {mistakes}: must be at least 1")
    for index in indices:
        if not 0 <= index < len(test):
            raise ConfigError(f"--index {index}: the test images are 0 to {len(test) - 1:,}".replace(",", ""))
    chosen = list(indices)
    if mistakes is not None or not (indices or files):
        wrong = predictions.index[confident_mistakes(predictions, mistakes or MISTAKES)].tolist()
        chosen += wrong
        if mistakes is None:
            surest = np.argsort(-predictions.confidence * predictions.correct, kind="stable")[:RIGHT]
            chosen += predictions.index[surest].tolist()
    place = {int(index): at for at, index in enumerate(predictions.index)}
    subjects = []
    for index in dict.fromkeys(chosen):
        recorded = int(predictions.predicted[place[index]]) if index in place else None
        subjects.append(Subject(f"test image {index}", test.images[index], int(test.labels[index]), recorded))
    return (*subjects, *(_read(path, run) for path in files))


def explain(
    run: TrainedRun, subjects: Sequence[Subject], layers: Sequence[str], say: Callable[[str], None]
) -> Explanation:
    """Compute the explanations of these images. layers: of feature maps; the last of them is that of Grad-CAM.

    say: told what takes a while. Raises ConfigError for a layer that there is not.
    """
    net, notes = run.net.float().requires_grad_(False), list[str]()
    inputs = run.model_input(torch.stack([subject.image for subject in subjects]))
    spatial = spatial_layers(net, inputs[:1])
    check_layers(layers, spatial)
    chosen = list(layers) or default_layers(net, spatial)
    with torch.no_grad(), recorded_outputs(net, chosen) as outputs:
        probabilities = net(inputs).softmax(dim=1)
    predicted = probabilities.argmax(dim=1)
    actual = torch.tensor([int(p) if s.actual is None else s.actual for s, p in zip(subjects, predicted, strict=True)])
    cam = cam_actual = None
    if chosen:
        say("Grad-CAM")
        cam, cam_actual = (grad_cam(net, inputs, targets, chosen[-1]) for targets in (predicted, actual))
    else:
        notes.append("This network has no layer with a map of several pixels: no feature maps, and no Grad-CAM.")
    say("occlusion and integrated gradients")
    found = None
    try:
        grey = torch.full((1, *inputs.shape[1:]), 128, dtype=torch.uint8)
        found = attributions(net, inputs, predicted, run.model_input(grey))
    except ConfigError as missing:
        notes.append(f"Left out: {missing}.")
    notes += _changed_predictions(subjects, predicted, run.classes)
    layer, features = last_features(net)
    train = run.splits.train
    say(f"features of {len(train):,} training images")
    batches = (
        features(run.model_input(run.images.train.images[train[start : start + _BATCH]]))
        for start in range(0, len(train), _BATCH)
    )
    near = nearest(features(inputs), batches, NEIGHBOURS)
    near = Neighbours(train[near.positions], near.similarity)
    maps = {name: outputs[name].detach() for name in chosen}
    cam_layer = chosen[-1] if chosen else None
    return Explanation(
        run,
        tuple(subjects),
        probabilities,
        cam_layer,
        cam,
        cam_actual,
        maps,
        first_filters(net),
        found,
        near,
        layer,
        tuple(notes),
    )


def _changed_predictions(subjects: Sequence[Subject], predicted: Tensor, classes: Sequence[str]) -> list[str]:
    return [
        f"{subject.name}: was tested as {classes[subject.recorded]}; in float32 on this machine it is "
        f"{classes[int(now)]}, which is explained here."
        for subject, now in zip(subjects, predicted, strict=True)
        if subject.recorded is not None and subject.recorded != int(now)
    ]


def _read(path: Path, run: TrainedRun) -> Subject:
    data = run.config.data
    height, width = data.image_shape
    try:
        picture = read_picture(str(path), Treatment(height, width, data.fit, parse_colour(data.background)))
    except UnreadableError as error:
        raise DataError(f"{path}: {error}") from error
    return Subject(path.name, torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1), None, None)
