"""A model, a schedule and batches that are small enough to train in milliseconds."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from cifar_sweeps.training.adamax import Adamax
from cifar_sweeps.training.optimizer import RegularizedOptimizer, make_optimizer
from cifar_sweeps.training.rmsprop import KerasRMSprop

OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.05, momentum=0.9, fused=True),
    "adam": partial(torch.optim.Adam, lr=0.01, eps=1e-7, fused=True),
    "adamax": partial(Adamax, lr=0.01),
    "rmsprop": partial(KerasRMSprop, lr=0.01),
    "adamw": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.0, fused=True),
}


class ToyBatches:
    """Twenty images in batches of eight (the last holds four), in an order that derives from the epoch alone."""

    def __init__(self, images: Tensor | None = None, labels: Tensor | None = None, batch_size: int = 8) -> None:
        generator = torch.Generator().manual_seed(3)
        self.images = torch.rand(20, 3, 8, 8, generator=generator) if images is None else images
        self.labels = torch.arange(len(self.images)) % 4 if labels is None else labels
        self.batch_size = batch_size

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(epoch))
        for chosen in order.split(self.batch_size):
            yield self.images[chosen], self.labels[chosen]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(self.images.split(self.batch_size), self.labels.split(self.batch_size), strict=True)

    def steps(self, epoch: int) -> int:
        return -(-len(self.labels) // self.batch_size)


def toy_model(seed: int = 0, dropout: float = 0.25) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 4),
    )


def toy_optimizer(model: nn.Module, optimizer: str = "sgd", **decays: float) -> RegularizedOptimizer:
    kernels = [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    decayed = [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    made = make_optimizer(OPTIMIZERS[optimizer], model.parameters())
    return RegularizedOptimizer(made, kernels=kernels, decayed=decayed, **decays)


def clone_state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def identical(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
