"""Choose the images to explain: test images by number, the most confident mistakes, or pictures from files."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cifar_sweeps.analysis.mistakes import confident_mistakes
from cifar_sweeps.analysis.predictions import Predictions
from cifar_sweeps.config.schema import DataConfig
from cifar_sweeps.data.folder_layout import show
from cifar_sweeps.data.picture_files import Treatment
from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.inspection.predict.reading import ReadPicture, describe_changes, read_pictures, treatment
from cifar_sweeps.inspection.predict.sources import PictureFile

MISTAKES, RIGHT = 8, 3
"""Images that are explained where none are named: mistakes, and images that are right."""
MOST = 100


@dataclass(frozen=True)
class Selection:
    """What was asked for. indices: test images by number. mistakes: how many; None: a few, if nothing else is named."""

    indices: tuple[int, ...] = ()
    mistakes: int | None = None
    files: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.mistakes is not None and not 1 <= self.mistakes <= MOST:
            raise ConfigError(f"--mistakes {self.mistakes}: must be from 1 to {MOST}, which are explained at once")
        count = len(self.indices) + (self.mistakes or 0) + len(self.files)
        if count > MOST:
            raise ConfigError(f"{count} images are named: at most {MOST} are explained at once; name fewer")


@dataclass(frozen=True)
class PictureSubject:
    """A picture from a file, as the network takes it: (3, H, W) uint8. changes: what was done to it, or empty."""

    name: str
    image: Tensor
    changes: str


def choose_test_images(selection: Selection, predictions: Predictions) -> tuple[list[int], list[str]]:
    """Return positions in the predictions, and lines on what could not be chosen as asked.

    Raises ConfigError for a number that no test image has.
    """
    position = {int(number): at for at, number in enumerate(predictions.index)}
    unknown = [number for number in selection.indices if number not in position]
    if unknown:
        named = ", ".join(map(str, unknown))
        raise ConfigError(
            f"--index {named}: no test image has this number; there are {len(position):,}, from "
            f"{predictions.index.min()} to {predictions.index.max()}"
        )
    chosen, notes = [position[number] for number in selection.indices], []
    if selection.mistakes is not None:
        wrong = confident_mistakes(predictions, selection.mistakes).tolist()
        chosen += wrong
        if len(wrong) < selection.mistakes:
            notes.append(f"Only {len(wrong)} of the {len(predictions):,} test images are classified wrongly.")
        if not wrong and not selection.indices and not selection.files:
            chosen += _surest_right(predictions, [])
    elif not selection.indices and not selection.files:
        wrong = confident_mistakes(predictions, MISTAKES).tolist()
        chosen += [*wrong, *_surest_right(predictions, wrong)]
        if not wrong:
            notes.append(f"None of the {len(predictions):,} test images is classified wrongly.")
    return list(dict.fromkeys(chosen)), notes


def _surest_right(predictions: Predictions, mistakes: Sequence[int]) -> list[int]:
    """Return the surest right image of three classes: first of those that the mistakes were taken for."""
    right = np.flatnonzero(predictions.correct)
    order = right[np.argsort(-predictions.confidence[right], kind="stable")]
    surest: dict[int, int] = {}
    for at in order:
        surest.setdefault(int(predictions.predicted[at]), int(at))
    wanted = [int(predictions.predicted[at]) for at in mistakes]
    return [surest[each] for each in dict.fromkeys([*wanted, *surest]) if each in surest][:RIGHT]


def open_pictures(files: Sequence[Path], data: DataConfig) -> list[PictureSubject]:
    """Read pictures as `cifar-sweeps predict` does: as the run's training images were read.

    Raises DataError for all that cannot be read.
    """
    how = treatment(data, None, None)
    named = [PictureFile(str(file.expanduser())) for file in files]
    with ThreadPoolExecutor(1) as pool:
        pixels, contents = read_pictures(named, how, pool)
    problems = [
        f"--image {file.shown}: {why.removeprefix('left out, ')}"
        for file, why in zip(named, contents, strict=True)
        if isinstance(why, str)
    ]
    if problems:
        raise DataError("\n  ".join(problems))
    return [
        PictureSubject(show(Path(file.path).name), torch.from_numpy(image), _changes(picture, how))
        for file, image, picture in zip(named, pixels, contents, strict=True)
        if isinstance(picture, ReadPicture)
    ]


def _changes(picture: ReadPicture, how: Treatment) -> str:
    changed = describe_changes(picture, how)
    is_resized = picture.size != (how.width, how.height)
    return f"{changed}; brought to {how.width}×{how.height} pixels (data.fit={how.fit})" if is_resized else changed
