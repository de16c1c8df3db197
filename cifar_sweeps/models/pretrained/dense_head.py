"""The dense layers that stand on a backbone."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from cifar_sweeps.models.argument_checks import (
    ErrorList,
    check_batch_norm,
    check_name,
    check_whole,
    is_list,
    rates_each,
)
from cifar_sweeps.models.dropout import Dropout
from cifar_sweeps.models.weight_init import check_init, initialize_weights

NORMS = ("none", "last", "all")


@dataclass(frozen=True)
class DenseHeadSpec:
    """Hidden dense layers, then one logit a class. Each is: dense, ReLU, batch norm, dropout.

    widths: of the hidden layers; may be empty. dropout: a rate in [0, 1), or a list of one rate a hidden layer.
    batch_norm: after the ``last`` hidden layer, after ``all`` of them, or ``none``; momentum (the new batch's share)
    and epsilon are Keras' by default. init: see ``initialise``.
    """

    widths: Sequence[int] = (512,)
    dropout: float | Sequence[float] = 0.0
    batch_norm: str = "none"
    batch_norm_momentum: float = 0.01
    batch_norm_eps: float = 1e-3
    num_classes: int = 10
    init: str = "glorot_uniform"

    def check(self, faults: ErrorList) -> None:
        """Note every value that cannot be."""
        count = 0
        if is_list(self.widths):
            count = len(self.widths)
            for width in self.widths:
                check_whole("model.dense", width, 1, faults)
        else:
            faults.add("model.dense", self.widths, "must be a list of widths; use e.g. [512], or [] for none")
        self._rates(count, faults)
        check_name("model.batch_norm", self.batch_norm, NORMS, faults)
        if self.batch_norm in ("last", "all") and is_list(self.widths) and not self.widths:
            faults.add("model.batch_norm", self.batch_norm, "stands behind a hidden layer, and there is none; use none")
        check_batch_norm(self.batch_norm_momentum, self.batch_norm_eps, faults)
        check_whole("model.num_classes", self.num_classes, 1, faults)
        check_init(self.init, faults)

    def build(self, features: int) -> nn.Sequential:
        """Return the layers on ``features`` inputs, as `check` found no fault in: (N, features) -> (N, num_classes)."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        rates = self._rates(len(self.widths), ErrorList())
        for number, (width, rate) in enumerate(zip(self.widths, rates, strict=True), start=1):
            layers[f"dense{number}"] = nn.Linear(features, width)
            layers[f"activation{number}"] = nn.ReLU(inplace=True)
            if self.batch_norm == "all" or (self.batch_norm == "last" and number == len(self.widths)):
                layers[f"norm{number}"] = DenseBatchNorm(width, self.batch_norm_eps, self.batch_norm_momentum)
            if rate:
                layers[f"dropout{number}"] = Dropout(rate)
            features = width
        layers["logits"] = nn.Linear(features, self.num_classes)
        head = nn.Sequential(layers)
        initialize_weights(head, self.init)
        return head

    def _rates(self, count: int, faults: ErrorList) -> list[float]:
        return rates_each("regularization.dropout.dense", self.dropout, count, "dense layer", faults)


class DenseBatchNorm(nn.BatchNorm1d):
    """Batch norm that lets a last batch of one image pass: it has no variance, so the running figures serve."""

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, F) float for features (B, F)."""
        if self.training and len(features) == 1:
            return F.batch_norm(features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(features)
