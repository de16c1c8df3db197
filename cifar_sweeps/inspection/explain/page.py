"""Write an explanation as one self-contained page; small pictures are enlarged by the browser, pixel for pixel."""

import base64
import io
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

import cifar_sweeps
from cifar_sweeps.analysis.explanations import colours
from cifar_sweeps.analysis.pages.html_page import render_template
from cifar_sweeps.inspection.explain.results import Explanation
from cifar_sweeps.inspection.explain.sheets import (
    MOST_CHANNELS,
    MOST_FILTERS,
    cam_pictures,
    map_colours,
    shown_channels,
    verdict,
)

_BARS = 5


@dataclass(frozen=True)
class _Picture:
    """A picture on the page with its title and caption. kind: a class of the style sheet."""

    title: str
    caption: str
    uri: str
    ratio: str
    kind: str = ""


@dataclass(frozen=True)
class _Reading:
    """How to read one kind of picture. scale: a bar of its colours. ends: what they mean."""

    text: str
    ends: str = ""
    scale: str = ""


def render_explanation(found: Explanation, command: str) -> str:
    """Return the page's HTML; every text is escaped. command: makes it again."""
    classes = found.classes
    channels = shown_channels(found)
    subjects = [
        {
            "key": subject.key,
            "name": subject.name,
            "verdict": verdict(subject, classes),
            "changes": subject.changes,
            "image": _picture(subject.image, "image", "" if subject.actual is None else classes[subject.actual]),
            "bars": _bars(found, at),
            "pictures": _pictures(found, at),
            "nearest": _nearest(found, at),
            "layers": [
                {
                    "name": f"{layer.name} ({layer.shape})",
                    "pictures": [
                        _picture(image, str(channel), "")
                        for image, channel in zip(map_colours(found, n, at, channels[n]), channels[n], strict=True)
                    ],
                }
                for n, layer in enumerate(found.layers)
            ],
        }
        for at, subject in enumerate(found.subjects)
    ]
    filters = [] if found.filters is None else list(colours.filter_colours(found.filters[:MOST_FILTERS]))
    values = {
        "title": f"What {found.label} looks at",
        "version": cifar_sweeps.__version__,
        "notes": found.notes,
        "summary": summary(found),
        "readings": _readings(found),
        "subjects": subjects,
        "filters": [_picture(image, str(number), "") for number, image in enumerate(filters)],
        "filters_text": f"{len(filters)} of the {0 if found.filters is None else len(found.filters)} filters of "
        f"{found.filters_of}: their weights of red, green and blue as colours. Grey is 0; the scale is one for all.",
        "command": command,
    }
    return render_template("explain.html.jinja", values, package="cifar_sweeps.inspection.explain")


def summary(found: Explanation) -> str:
    """Return what is explained, and how exact the attributions are, in a few sentences."""
    labelled = [subject for subject in found.subjects if subject.actual is not None]
    files, parts = len(found.subjects) - len(labelled), []
    if labelled:
        wrong = sum(subject.is_wrong for subject in labelled)
        parts.append(f"{_count(len(labelled), 'test image')} of {found.run.images.name}, {wrong} classified wrongly")
    if files:
        parts.append(f"{_count(files, 'picture')} from files, whose class is not known")
    return f"{' and '.join(parts)}. {completeness(found)}".strip()


def completeness(found: Explanation) -> str:
    """Return by how much integrated gradients miss what they must sum to; empty where there are none."""
    if found.shares is None:
        return ""
    errors, differences = found.shares.errors, found.shares.differences.abs()
    worst = int(errors.argmax())
    return (
        "The integrated gradients of an image sum to its logit less that of an empty image within "
        f"{float(errors[worst]):.2g}, at worst: {found.subjects[worst].name}, difference "
        f"{float(differences[worst]):.3g}, {max(found.shares.steps)} steps at most."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _readings(found: Explanation) -> list[_Reading]:
    readings = [
        _Reading(
            "Beside each image are its most probable classes: of test images as recorded when the run was tested, of "
            "pictures from files as cifar-sweeps predict computes them. All else is computed in float32."
        )
    ]
    if found.cam is not None:
        layer = found.cam.layer
        text = (
            f"Grad-CAM: where the maps of {layer.name} speak for a class. They have {layer.width}×{layer.height} "
            "places, and Grad-CAM is shown as so many squares: finer it does not know. Each map is scaled to its own "
            "maximum, so two maps say where, not how much. A wrong image also has that of its actual class."
        )
        readings.append(_Reading(text, "nothing speaks for the class … most", _uri(colours.scale_bar("heat"))))
    if found.covering is not None:
        text = (
            f"Occlusion: how far the predicted class's logit falls when a square of {found.covering.patch} pixels a "
            "side in the training images' mean colour covers the place; the mean over the squares that do, each "
            f"{found.covering.stride} pixels from the next. Integrated gradients: what each pixel adds to that logit "
            "on the way from an image of the mean colour. Each map has a scale of its own."
        )
        readings.append(
            _Reading(text, "speaks against the predicted class … for it", _uri(colours.scale_bar("signed")))
        )
    if found.nearest is not None:
        near = found.nearest
        readings.append(
            _Reading(
                f"Nearest training images: of the {near.searched:,} images that the run was trained on, those that are "
                f"most similar by what {near.layer} receives (cosine similarity, 1 is equal), with their labels."
            )
        )
    if found.layers:
        readings.append(
            _Reading(
                f"Feature maps: what a layer puts out, of each the {MOST_CHANNELS} channels that vary most from place "
                "to place over these images; the number is the channel. Each map in its own range, dark is its lowest."
            )
        )
    return readings


def _bars(found: Explanation, at: int) -> list[dict[str, str]]:
    subject, classes = found.subjects[at], found.classes
    shown = subject.probabilities.sort(descending=True, stable=True).indices[:_BARS].tolist()
    if subject.actual is not None and subject.actual not in shown:
        shown.append(subject.actual)
    bars = []
    for index in shown:
        value = float(subject.probabilities[index])
        kind = "predicted" if index == subject.predicted else ""
        if kind and subject.is_wrong:
            kind = "predicted wrong"
        actual = " (actual)" if index == subject.actual and subject.is_wrong else ""
        bars.append(
            {
                "name": f"{classes[index]}{actual}",
                "value": f"{value:.3f}",
                "percent": f"{value * 100:.1f}",
                "kind": kind,
            }
        )
    return bars


def _pictures(found: Explanation, at: int) -> list[_Picture]:
    subject, classes, pictures = found.subjects[at], found.classes, list[_Picture]()
    if found.cam is not None:
        for target, actual in ((subject.predicted, False), (subject.actual if subject.is_wrong else None, True)):
            if target is None:
                continue
            small, over = cam_pictures(found.cam, at, subject.image, actual=actual)
            role = "actual" if actual else "predicted"
            own = (found.cam.actual if actual else found.cam.predicted)[at]
            size = f"{small.shape[2]}×{small.shape[1]}" if bool(own.any()) else "nothing speaks for it"
            named = f"{classes[target]}, {role if subject.actual is None or subject.is_wrong else 'rightly predicted'}"
            pictures.append(_picture(small, "Grad-CAM", f"{named}; {size}"))
            pictures.append(_picture(over, "over the image", named))
    if found.covering is not None and found.shares is not None:
        fall = float(found.covering.maps[at].amax())
        map_colour = colours.signed(found.covering.maps[at : at + 1])[0]
        pictures.append(_picture(map_colour, "occlusion", f"{classes[subject.predicted]} falls by up to {fall:.2g}"))
        sums = float(found.shares.sums[at])
        map_colour = colours.signed(found.shares.maps[at : at + 1])[0]
        pictures.append(_picture(map_colour, "integrated gradients", f"{classes[subject.predicted]}, sum {sums:+.2f}"))
    return pictures


def _nearest(found: Explanation, at: int) -> list[_Picture]:
    if found.nearest is None:
        return []
    train, near = found.nearest.data.train, found.nearest.found
    pictures = []
    for number, similarity in zip(near.numbers[at].tolist(), near.similarity[at].tolist(), strict=True):
        label = int(train.labels[number])
        kind = "same" if label == found.subjects[at].predicted else "other"
        name = found.classes[label]
        pictures.append(_picture(train.images[number], name, f"{similarity:.3f}; training image {number}", kind))
    return pictures


def _picture(image: Tensor, title: str, caption: str, kind: str = "") -> _Picture:
    return _Picture(title, caption, _uri(image), f"{image.shape[2]} / {image.shape[1]}", kind)


def _uri(image: Tensor) -> str:
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(file, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
