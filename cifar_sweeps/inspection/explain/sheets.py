"""An explanation as pictures: one of each image, one of its feature maps, and one of the first filters."""

from collections.abc import Iterator

from torch import Tensor

from cifar_sweeps.analysis.explanations import colours
from cifar_sweeps.analysis.explanations.feature_maps import telling_channels
from cifar_sweeps.analysis.explanations.grad_cam import scaled_maps
from cifar_sweeps.analysis.image_sheets import COLUMNS, Tile, image_sheet
from cifar_sweeps.analysis.matplotlib_setup import BLUE, VERMILLION
from cifar_sweeps.analysis.sheet import Sheet
from cifar_sweeps.inspection.explain.results import Cam, Explanation, Subject

MOST_CHANNELS = 16
MOST_FILTERS = 64


def sheets(found: Explanation) -> Iterator[tuple[str, Sheet]]:
    """Yield the pictures, each with a file name without an ending."""
    for at, subject in enumerate(found.subjects):
        yield subject.key, _image_sheet(found, at)
        if found.layers:
            yield f"{subject.key}_maps", _maps_sheet(found, at)
    if found.filters is not None:
        tiles = [Tile(image) for image in colours.enlarged(colours.filter_colours(found.filters[:MOST_FILTERS]))]
        rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
        title = f"{found.label}: {len(tiles)} of {len(found.filters)} filters of {found.filters_of}"
        yield "first_filters", image_sheet(rows, title, note="red, green and blue as colours; grey is 0")


def verdict(subject: Subject, classes: tuple[str, ...]) -> str:
    """Return what was predicted, with its probability, and the actual class where it is known and another."""
    probability = float(subject.probabilities[subject.predicted])
    text = f"{classes[subject.predicted]} ({probability:.2f})"
    if subject.actual is None:
        return f"predicted {text}"
    return f"{classes[subject.actual]}, predicted {text}" if subject.is_wrong else f"{text}, rightly"


def cam_pictures(cam: Cam, at: int, image: Tensor, *, actual: bool = False) -> tuple[Tensor, Tensor]:
    """Return an image's Grad-CAM at the layer's resolution, (3, h, w) uint8, and over the image, enlarged."""
    maps = scaled_maps((cam.actual if actual else cam.predicted)[at : at + 1])
    return colours.heat(maps)[0], colours.over_image(image, maps[0])


def shown_channels(found: Explanation) -> list[list[int]]:
    """Return the channels of each layer that are shown, the same ones of all images."""
    return [telling_channels(maps, MOST_CHANNELS) for maps in found.maps]


def map_colours(found: Explanation, layer: int, at: int, channels: list[int]) -> Tensor:
    """Return the colours of some channels of a layer's maps of an image, each in its own range: (n, 3, h, w) uint8."""
    return colours.heat(colours.own_range(found.maps[layer][at][channels]))


def _image_sheet(found: Explanation, at: int) -> Sheet:
    subject, classes = found.subjects[at], found.classes
    image = colours.enlarged(subject.image[None])[0]
    shape = (image.shape[1], image.shape[2])

    def fitted(picture: Tensor) -> Tensor:
        return colours.enlarged(picture[None], shape)[0]

    first = [Tile(image, ("the image", "" if subject.actual is None else classes[subject.actual]))]
    if found.cam is not None:
        targets = [(subject.predicted, False), *([(subject.actual, True)] if subject.is_wrong else [])]
        for target, actual in targets:
            assert target is not None
            small, over = cam_pictures(found.cam, at, subject.image, actual=actual)
            size = f"{small.shape[2]}×{small.shape[1]}"
            first.append(Tile(fitted(small), (f"Grad-CAM {size}", f"for {classes[target]}")))
            first.append(Tile(fitted(over), ("over the image", classes[target])))
    if found.covering is not None and found.shares is not None:
        named = classes[subject.predicted]
        for name, maps in (("occlusion", found.covering.maps), ("int. gradients", found.shares.maps)):
            first.append(Tile(fitted(colours.signed(maps[at : at + 1])[0]), (name, f"for {named}")))
    rows, names = [first], [f"{subject.name}: {verdict(subject, classes)}"]
    if found.nearest is not None:
        near, train = found.nearest.found, found.nearest.data.train
        tiles = []
        for number, similarity in zip(near.numbers[at].tolist(), near.similarity[at].tolist(), strict=True):
            label = int(train.labels[number])
            colour = BLUE if label == subject.predicted else VERMILLION
            lines = (f"{similarity:.3f}", classes[label])
            tiles.append(Tile(colours.enlarged(train.images[number][None])[0], lines, colour))
        rows.append(tiles)
        names.append("Nearest training images: cosine similarity, label (blue: the predicted class)")
    note = "Grad-CAM: yellow speaks most for the class; then blue speaks for it, orange against it"
    return image_sheet(rows, found.label, names, note if len(first) > 1 else "")


def _maps_sheet(found: Explanation, at: int) -> Sheet:
    subject = found.subjects[at]
    shape = tuple(colours.enlarged(subject.image[None]).shape[2:])
    rows, names = [], []
    for number, (layer, channels) in enumerate(zip(found.layers, shown_channels(found), strict=True)):
        maps = colours.enlarged(map_colours(found, number, at, channels), (shape[0], shape[1]))
        tiles = [Tile(picture, (f"channel {channel}",)) for picture, channel in zip(maps, channels, strict=True)]
        for start in range(0, len(tiles), COLUMNS):
            rows.append(tiles[start : start + COLUMNS])
            names.append(f"{layer.name} ({layer.shape})")
    title = f"{found.label}, {subject.name}"
    return image_sheet(
        rows, title, names, note="the channels that vary most; each in its own range, dark is its lowest"
    )
