"""Compute what a run's network looks at: maps by layer, Grad-CAM, attributions, and the nearest training images."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from cifar_sweeps.analysis.explanations.batching import PIXELS, groups
from cifar_sweeps.analysis.explanations.feature_maps import feature_maps
from cifar_sweeps.analysis.explanations.filters import first_filters
from cifar_sweeps.analysis.explanations.grad_cam import grad_cam, scaled_maps
from cifar_sweeps.analysis.explanations.layers import MapLayer, choose_layers, default_layers, last_map, map_layers
from cifar_sweeps.analysis.predictions import FILE
from cifar_sweeps.data.dataset import ImageData
from cifar_sweeps.data.folder_layout import show
from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.inspection.explain.attributions import attributions
from cifar_sweeps.inspection.explain.nearest_images import nearest_images
from cifar_sweeps.inspection.explain.results import Cam, Explanation, Subject
from cifar_sweeps.inspection.explain.subjects import PictureSubject, Selection, choose_test_images, open_pictures
from cifar_sweeps.models.pretrained.transfer_net import TransferNet
from cifar_sweeps.runs.trained_run import TrainedRun
from cifar_sweeps.system.files import file_name


def explain(
    run: TrainedRun, selection: Selection, layer_names: Sequence[str], say: Callable[[str], None]
) -> Explanation:
    """Explain some images by a run's network, in float32 on the CPU. No parameter is changed.

    layer_names: of feature maps, the last also of Grad-CAM; three are chosen if there is none. say: told what takes a
    while. Raises ConfigError for an image or a layer that there is not, DataError if a picture cannot be read, or if
    the run's images are not at hand and test images are asked for.
    """
    net, notes = run.net.eval(), list[str]()
    pictures = open_pictures(selection.files, run.config.data)
    blank = run.model_input(torch.zeros(1, 3, *run.config.data.image_shape, dtype=torch.uint8))
    all_layers = map_layers(net, blank)
    named = choose_layers(layer_names, all_layers)
    positions, said = choose_test_images(selection, run.predictions)
    notes += said
    if positions and run.artifact(FILE) is None:
        notes.append("The run kept no test predictions (analysis=none): they were made anew.")
    say("the images")
    data = _images(run, notes, needed=bool(positions))
    subjects = _test_subjects(run, positions, data) if data is not None else []
    subjects += _picture_subjects(run, pictures)
    inputs = run.model_input(torch.stack([subject.image for subject in subjects]))
    notes += _float32_notes(subjects, net, inputs, tuple(map(show, run.predictions.classes)))
    layers = named or default_layers(all_layers)
    notes += _layer_notes(layers, all_layers, is_default=not named)
    names = [layer.name for layer in layers]
    say("feature maps and Grad-CAM")
    parts = [feature_maps(net, inputs[group], names) for group in groups(inputs)]
    cam = _cam(net, inputs, subjects, layers)
    first = next((layer.name for layer in all_layers if layer.is_convolution), "")
    is_bgr = isinstance(net, TransferNet) and net.backbone.input_transform.channels == "bgr"
    covering, shares = attributions(run, net, inputs, subjects, data, say, notes)
    return Explanation(
        run,
        tuple(subjects),
        layers,
        tuple(torch.cat([part[name] for part in parts]) for name in names),
        first,
        first_filters(net, first, is_bgr=is_bgr) if first else None,
        cam,
        covering,
        shares,
        nearest_images(run, net, inputs, data, say) if data is not None else None,
        tuple(notes),
    )


def class_maps(run: TrainedRun, images: Tensor, classes: Tensor) -> Tensor:
    """Return Grad-CAM of the run's default layer: (N, h, w) in [0, 1], each map divided by its maximum.

    images: (N, 3, H, W) uint8. classes: (N,) int64, one an image. Raises ConfigError if the network has no convolution
    whose maps have several pixels.
    """
    inputs = run.model_input(images)
    layer = last_map(map_layers(run.net, inputs[:1]))
    if layer is None:
        raise ConfigError(f"{run.label}: {_NO_MAPS}")
    return scaled_maps(_grad_cam(run.net, inputs, classes, layer.name))


_NO_MAPS = "its network has no convolution whose maps have several pixels, so feature maps and Grad-CAM do not apply"


def _images(run: TrainedRun, notes: list[str], *, needed: bool) -> ImageData | None:
    try:
        data = run.images
    except DataError as error:
        if needed:
            raise
        notes.append(f"The nearest training images are left out, as the run's images are not at hand: {error}")
        return None
    recorded = run.predictions
    if recorded.classes != data.classes or recorded.index.min() < 0 or recorded.index.max() >= len(data.test):
        raise DataError(
            f"{run.label}: its recorded predictions are of other images ({len(recorded):,} of "
            f"{len(recorded.classes)} classes) than {data.name}; train it again: cifar-sweeps reproduce "
            f"{run.record.run_id[:8]}"
        )
    return data


def _test_subjects(run: TrainedRun, positions: Sequence[int], data: ImageData) -> list[Subject]:
    recorded, subjects = run.predictions, []
    for at in positions:
        number = int(recorded.index[at])
        subjects.append(
            Subject(
                f"test_{number}",
                f"test image {number}",
                data.test.images[number],
                int(recorded.labels[at]),
                int(recorded.predicted[at]),
                torch.from_numpy(recorded.probabilities[at]),
            )
        )
    return subjects


def _picture_subjects(run: TrainedRun, pictures: Sequence[PictureSubject]) -> list[Subject]:
    subjects: dict[str, Subject] = {}
    for picture in pictures:
        probabilities = run.servable(picture.image[None])[0]
        key = file_name(f"picture_{picture.name}")
        while key in subjects:  # of the same name in another folder
            key += "_"
        found = Subject(key, picture.name, picture.image, None, int(probabilities.argmax()), probabilities)
        subjects[key] = replace(found, changes=picture.changes)
    return list(subjects.values())


def _float32_notes(subjects: Sequence[Subject], net: nn.Module, inputs: Tensor, classes: Sequence[str]) -> list[str]:
    """Return a line for each subject whose class in float32 is not the recorded one."""
    with torch.no_grad():
        probabilities = torch.cat([net(inputs[group]) for group in groups(inputs)]).softmax(dim=1)
    notes = []
    for subject, found in zip(subjects, probabilities, strict=True):
        now = int(found.argmax())
        if now != subject.predicted:
            notes.append(
                f"{subject.name}: was tested as {classes[subject.predicted]} "
                f"({float(subject.probabilities[subject.predicted]):.3f}), which is explained here; in float32 on this "
                f"machine it is {classes[now]} ({float(found[now]):.3f})."
            )
    return notes


def _layer_notes(layers: Sequence[MapLayer], all_layers: Sequence[MapLayer], *, is_default: bool) -> list[str]:
    if not layers:
        return [f"{_NO_MAPS[0].upper()}{_NO_MAPS[1:]}."]
    notes = [
        f"An image passes {layer.calls} times through {layer.name}; what it puts out the last time is shown."
        for layer in layers
        if layer.calls > 1
    ]
    last = [layer for layer in all_layers if layer.is_convolution][-1:]
    if is_default and last and last[0].height * last[0].width == 1:
        notes.append(
            f"The last convolution, {last[0].name}, puts out maps of one pixel, which say nothing of places: Grad-CAM "
            f"is of {layers[-1].name} ({layers[-1].shape})."
        )
    return notes


def _cam(net: nn.Module, inputs: Tensor, subjects: Sequence[Subject], layers: Sequence[MapLayer]) -> Cam | None:
    if not layers:
        return None
    predicted = torch.tensor([subject.predicted for subject in subjects])
    actual = torch.tensor([subject.predicted if subject.actual is None else subject.actual for subject in subjects])
    layer = layers[-1]
    return Cam(layer, *(_grad_cam(net, inputs, targets, layer.name) for targets in (predicted, actual)))


def _grad_cam(net: nn.Module, inputs: Tensor, targets: Tensor, layer: str) -> Tensor:
    parts = groups(inputs, PIXELS // 4)
    return torch.cat([grad_cam(net, inputs[part], targets[part], layer) for part in parts])
