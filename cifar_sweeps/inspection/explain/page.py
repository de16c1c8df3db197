"""Draw an explanation as figures, and write them as one page and as pictures."""

import math
import shutil
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import cifar_sweeps
from cifar_sweeps.analysis.explanations.grad_cam import scaled
from cifar_sweeps.analysis.figures import save
from cifar_sweeps.analysis.mathtext import escape_mathtext, shortened
from cifar_sweeps.analysis.matplotlib_setup import BLUE, VERMILLION, own_style
from cifar_sweeps.analysis.pages.html_page import PageFigure, Section, render_sections
from cifar_sweeps.inspection.explain.explaining import Explanation
from cifar_sweeps.system.files import file_name, write_text_atomic

FOLDER = "explain"
_MOST_MAPS = 16
_TOP = 5


@own_style()
def write_explanation(found: Explanation, folder: Path, command: str) -> tuple[Path, list[Path]]:
    """Write ``explain.html`` and its pictures into ``folder``, which is made anew; return the page and the pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    images = [_image_figure(found, at) for at in range(len(found.subjects))]
    sections = [Section("Images", texts=[_reading(found)], figures=images, side_by_side=False)]
    maps = [_maps_figure(found, name, values) for name, values in found.maps.items()]
    if maps:
        texts = [
            f"Outputs of three layers for {found.subjects[0].name}. Each map is scaled to its own range; dark is low. "
            f"The {_MOST_MAPS} channels that vary most."
        ]
        sections.append(Section("Feature maps", texts=texts, figures=maps))
    if found.filters is not None:
        sections.append(Section("First convolution", figures=[_filters_figure(*found.filters)]))
    pictures = []
    for figure in (*images, *maps, *(sections[-1].figures if found.filters is not None else ())):
        pictures.append(folder / f"{file_name(figure.title.replace(' ', '_').replace(',', ''))}.png")
        save(figure.figure, pictures[-1])
    page = folder / "explain.html"
    html = render_sections(
        f"What {found.run.label} looks at",
        _summary(found),
        sections,
        version=cifar_sweeps.__version__,
        warnings=found.notes,
        commands=[command],
    )
    write_text_atomic(page, html)
    return page, pictures


def _summary(found: Explanation) -> str:
    wrong = sum(
        s.actual is not None and s.actual != int(p) for s, p in zip(found.subjects, found.predicted, strict=True)
    )
    files = sum(subject.actual is None for subject in found.subjects)
    text = f"{len(found.subjects)} images of {found.run.images.name}, {wrong} of them classified wrongly."
    if files == len(found.subjects):
        text = f"{files} pictures from files."
    elif files:
        text += f" {files} of them from files, whose classes are not known."
    if found.attributions is not None:
        error = float(found.attributions.completeness.max())
        text += f" Integrated gradients sum to the difference of the logits within {error:.1%}."
    return text


def _reading(found: Explanation) -> str:
    text = "In each row: the image; the probabilities of its classes"
    if found.cam is not None:
        size = "×".join(map(str, found.cam.shape[1:]))
        text += f"; Grad-CAM of the layer {found.cam_layer} at its own resolution ({size}), and over the image"
    if found.attributions is not None:
        text += "; occlusion and integrated gradients (blue speaks for the predicted class, orange against it)"
    return f"{text}; below, the nearest training images by the input of {found.features_of} (cosine similarity)."


def _image_figure(found: Explanation, at: int) -> PageFigure:
    subject, classes = found.subjects[at], found.run.classes
    predicted = int(found.predicted[at])
    is_wrong = subject.actual is not None and subject.actual != predicted
    panels = 2 + (2 if found.cam is not None else 0) + (2 if found.cam is not None and is_wrong else 0)
    panels += 2 if found.attributions is not None else 0
    near = found.neighbours.positions[at].tolist()
    columns = max(panels, len(near))
    figure = Figure(figsize=(1.75 * columns, 4.3), layout="constrained")
    grid = figure.subplots(2, columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    row = iter(grid[0])
    pixels = subject.image.permute(1, 2, 0).numpy()
    actual = "a picture" if subject.actual is None else f"actual: {classes[subject.actual]}"
    _show(next(row), pixels, actual)
    _bars(next(row), found.probabilities[at], classes, predicted, is_wrong)
    for maps, target in ((found.cam, predicted), (found.cam_actual if is_wrong else None, subject.actual)):
        if maps is not None and target is not None:
            name = shortened(classes[target], 14)
            cam = scaled(maps[at : at + 1])[0].numpy()
            nothing = "" if cam.any() else "\n(nothing speaks for it)"
            _show(next(row), cam, f"Grad-CAM: {name}{nothing}", cmap="viridis", vmin=0, vmax=1)
            axes = next(row)
            _show(axes, pixels, "over the image")
            height, width = pixels.shape[:2]
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            axes.imshow(cam, cmap="viridis", vmin=0, vmax=1, alpha=0.55, interpolation="nearest", extent=extent)
    if found.attributions is not None:
        for name, values in (
            ("occlusion", found.attributions.occlusion),
            ("integrated gradients", found.attributions.gradients),
        ):
            limit = max(float(values[at].abs().quantile(0.995)), 1e-12)
            _show(next(row), values[at].numpy(), name, cmap=_diverging(), vmin=-limit, vmax=limit)
    for axes, index, similarity in zip(grid[1], near, found.neighbours.similarity[at].tolist(), strict=False):
        train = found.run.images.train
        name = shortened(classes[int(train.labels[index])], 14)
        _show(axes, train.images[index].permute(1, 2, 0).numpy(), f"{name}\n{similarity:.3f}")
    said = "" if subject.actual is None else f", {classes[subject.actual]}"
    verdict = f"{subject.name}{said}: predicted {classes[predicted]} ({found.probabilities[at, predicted]:.2f})"
    return PageFigure(subject.name, f"{verdict}{', wrongly' if is_wrong else ''}.", figure, "png")


def _bars(axes: Axes, probabilities: Tensor, classes: tuple[str, ...], predicted: int, is_wrong: bool) -> None:
    values, order = probabilities.topk(min(_TOP, len(classes)))
    axes.set_axis_on()
    names = [shortened(classes[index], 12) for index in order.tolist()]
    colours = [(VERMILLION if is_wrong else BLUE) if index == predicted else "#999999" for index in order.tolist()]
    axes.barh(range(len(names)), values.numpy(), color=colours)
    axes.set_yticks(range(len(names)), names, fontsize=7.5)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 1])
    axes.tick_params(axis="x", labelsize=7.5)
    axes.set_title("probability", fontsize=8.5)


def _show(axes: Axes, pixels: np.ndarray, title: str, **style: object) -> None:
    axes.imshow(pixels, interpolation="nearest", **style)  # type: ignore[arg-type]
    axes.set_title(escape_mathtext(title) if "\n" not in title else title, fontsize=8.5)


def _diverging() -> object:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("attribution", [VERMILLION, "#ffffff", BLUE])


def _maps_figure(found: Explanation, name: str, values: Tensor) -> PageFigure:
    maps = values[0]
    order = maps.flatten(1).std(dim=1).argsort(descending=True)[:_MOST_MAPS].sort().values.tolist()
    columns = min(8, len(order))
    rows = math.ceil(len(order) / columns)
    figure = Figure(figsize=(0.95 * columns, 1.15 * rows + 0.2), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, channel in zip(grid, order, strict=False):
        axes.imshow(maps[channel].numpy(), cmap="viridis", interpolation="nearest")
        axes.set_title(str(channel), fontsize=7)
    size = "×".join(map(str, maps.shape))
    return PageFigure(f"Layer {name}", f"{size}; the number above a map is its channel.", figure, "png")


def _filters_figure(name: str, weights: Tensor) -> PageFigure:
    columns = min(16, len(weights))
    rows = math.ceil(len(weights) / columns)
    figure = Figure(figsize=(0.6 * columns, 0.62 * rows + 0.1), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    limit = float(weights.abs().max()) or 1.0
    for axes in grid:
        axes.set_axis_off()
    for axes, kernel in zip(grid, weights, strict=False):
        axes.imshow((kernel.permute(1, 2, 0).numpy() / limit + 1) / 2, interpolation="nearest")
    text = (
        f"{len(weights)} filters of {name}, red, green and blue as colours; grey is 0, the scale is the same for all."
    )
    return PageFigure("First filters", text, figure, "png")
