"""Find the training images that a run's network takes for the most similar."""

import time
from collections.abc import Callable, Iterator

from torch import Tensor, nn

from cifar_sweeps.analysis.explanations.batching import MOST_IMAGES, groups
from cifar_sweeps.analysis.explanations.neighbours import Neighbours, last_features, last_layer, nearest
from cifar_sweeps.data.dataset import ImageData
from cifar_sweeps.inspection.explain.results import NearestImages
from cifar_sweeps.runs.trained_run import TrainedRun

NEIGHBOURS = 5


def nearest_images(
    run: TrainedRun, net: nn.Module, inputs: Tensor, data: ImageData, say: Callable[[str], None]
) -> NearestImages:
    """Return the training images nearest to inputs (N, 3, H, W) by what the network's last layer receives.

    All images that the run was trained on are searched, unaugmented. say: told how far that is.
    """
    started, train = time.perf_counter(), run.splits.train
    layer = last_layer(net, inputs[:1])
    images = data.train.images

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(train), MOST_IMAGES):
            say(f"the nearest of {len(train):,} training images, {start:,} seen")
            batch = images[train[start : start + MOST_IMAGES]]
            for group in groups(batch):
                yield last_features(net, run.model_input(batch[group]), layer)

    near = nearest(last_features(net, inputs, layer), batches(), NEIGHBOURS)
    numbers = Neighbours(train[near.numbers], near.similarity)
    return NearestImages(numbers, layer, len(train), time.perf_counter() - started, data)
