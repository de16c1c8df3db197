"""Occlusion and integrated gradients of a run's predictions, which captum computes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from cifar_sweeps.analysis.explanations.integrated_gradients import PixelShares, integrated_gradients
from cifar_sweeps.analysis.explanations.occlusion import occlusion, patch_and_stride
from cifar_sweeps.data.dataset import ImageData
from cifar_sweeps.errors import in_one_line
from cifar_sweeps.inspection.explain.results import Covering, Subject
from cifar_sweeps.runs.trained_run import TrainedRun

INSTALL = "pip install 'cifar-sweeps[explain]'"
_AT_ONCE = 512
"""Images that are summed in one call."""


def attributions(
    run: TrainedRun,
    net: nn.Module,
    inputs: Tensor,
    subjects: Sequence[Subject],
    data: ImageData | None,
    say: Callable[[str], None],
    notes: list[str],
) -> tuple[Covering | None, PixelShares | None]:
    """Return occlusion and integrated gradients of the predicted classes; without captum neither, and a note."""
    # As large as an image: whitening mixes all of its pixels.
    baseline = run.model_input(_mean_colour(run, data).expand(1, 3, *run.config.data.image_shape))
    patch, stride = patch_and_stride(*run.config.data.image_shape)
    targets = torch.tensor([subject.predicted for subject in subjects])
    covered: list[Tensor] = []
    shares: list[PixelShares] = []
    try:
        for at, subject in enumerate(subjects):
            say(f"occlusion and integrated gradients of {subject.name}, {at + 1} of {len(subjects)}")
            own = slice(at, at + 1)
            covered.append(occlusion(net, inputs[own], targets[own], baseline, patch, stride))
            shares.append(integrated_gradients(net, inputs[own], targets[own], baseline))
    except ImportError as error:
        notes.append(
            f"Occlusion and integrated gradients are left out, which captum computes: {INSTALL} ({in_one_line(error)})"
        )
        return None, None
    if data is None:
        notes.append("What stands for an empty image, in occlusion and integrated gradients, is grey.")
    joined = PixelShares(
        torch.cat([each.maps for each in shares]),
        torch.cat([each.differences for each in shares]),
        tuple(each.steps[0] for each in shares),
    )
    return Covering(torch.cat(covered), patch, stride), joined


def _mean_colour(run: TrainedRun, data: ImageData | None) -> Tensor:
    """Return the training images' mean colour in 0 to 255, (1, 3, 1, 1); grey without images."""
    if data is None:
        return torch.full((1, 3, 1, 1), 127.5)
    images, train = data.train.images, run.splits.train
    sums = torch.zeros(3, dtype=torch.int64)
    for start in range(0, len(train), _AT_ONCE):
        sums += images[train[start : start + _AT_ONCE]].sum(dim=(0, 2, 3), dtype=torch.int64)
    return (sums.double() / (len(train) * images.shape[2] * images.shape[3])).float().view(1, 3, 1, 1)
