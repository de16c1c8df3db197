"""What an explanation consists of: its images, and what was computed for them."""

from dataclasses import dataclass

from torch import Tensor

from cifar_sweeps.analysis.explanations.integrated_gradients import PixelShares
from cifar_sweeps.analysis.explanations.layers import MapLayer
from cifar_sweeps.analysis.explanations.neighbours import Neighbours
from cifar_sweeps.data.dataset import ImageData
from cifar_sweeps.data.folder_layout import show
from cifar_sweeps.runs.trained_run import TrainedRun


@dataclass(frozen=True)
class Subject:
    """An image that is explained.

    key: names its pictures. image: (3, H, W) uint8. actual: its label; None of a picture from a file. predicted: the
    class that is explained. probabilities: (C,), as recorded when the run was tested, or of a file in float32.
    changes: what was done to a picture from a file.
    """

    key: str
    name: str
    image: Tensor
    actual: int | None
    predicted: int
    probabilities: Tensor
    changes: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether it has a label, which is not predicted."""
        return self.actual is not None and self.actual != self.predicted


@dataclass(frozen=True)
class Cam:
    """Grad-CAM of N subjects at a layer's resolution: (N, h, w) for the predicted and for the actual class."""

    layer: MapLayer
    predicted: Tensor
    actual: Tensor


@dataclass(frozen=True)
class Covering:
    """Occlusion of N subjects: (N, H, W) logits, and the patch's side and stride in pixels."""

    maps: Tensor
    patch: int
    stride: int


@dataclass(frozen=True)
class NearestImages:
    """Training images nearest to N subjects by what ``layer`` receives; ``numbers`` are into ``data.train``."""

    found: Neighbours
    layer: str
    searched: int
    seconds: float
    data: ImageData


@dataclass(frozen=True)
class Explanation:
    """All that was computed for N subjects. None stands for what does not apply or was left out, which notes say.

    maps: of the chosen layers, (N, channels, h, w) each. filters: (filters, 3, h, w) of ``filters_of``.
    """

    run: TrainedRun
    subjects: tuple[Subject, ...]
    layers: tuple[MapLayer, ...]
    maps: tuple[Tensor, ...]
    filters_of: str
    filters: Tensor | None
    cam: Cam | None
    covering: Covering | None
    shares: PixelShares | None
    nearest: NearestImages | None
    notes: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes as printable text: the record may be another user's, with anything in it."""
        return tuple(map(show, self.run.predictions.classes))

    @property
    def label(self) -> str:
        """The run's name and the beginning of its id, as printable text."""
        return show(self.run.label)
