"""Dense layers that classify a backbone's features."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from cifar_sweeps.models.argument_checks import (
    ErrorList,
    check_batch_norm,
    check_choice,
    check_integer,
    expand_dropout_rates,
    is_list,
)
from cifar_sweeps.models.dropout import Dropout
from cifar_sweeps.models.weight_init import check_init, initialize_weights

NORMS = ("none", "last", "all")


@dataclass(frozen=True)
class DenseHeadSpec:
    """Arguments of a dense head: hidden layers (dense, ReLU, batch norm, dropout), then one logit a class.

    widths: of the hidden layers; may be empty. dropout: a rate in [0, 1), or a list of one rate a hidden layer.
    batch_norm: after the ``last`` hidden layer, after ``all`` of them, or ``none``; momentum (the weight of the
    new batch) and epsilon default to Keras' values. init: see `initialize_weights`.
    """

    widths: Sequence[int] = (512,)
    dropout: float | Sequence[float] = 0.0
    batch_norm: str = "none"
    batch_norm_momentum: float = 0.01
    batch_norm_eps: float = 1e-3
    num_classes: int = 10
    init: str = "glorot_uniform"

    def check(self, errors: ErrorList) -> None:
        """Add an error for each invalid value."""
        count = 0
        if is_list(self.widths):
            count = len(self.widths)
            for width in self.widths:
                check_integer("model.dense", width, 1, errors)
        else:
            errors.add("model.dense", self.widths, "must be a list of widths; use e.g. [512], or [] for none")
        self._dropout_rates(count, errors)
        check_choice("model.batch_norm", self.batch_norm, NORMS, errors)
        if self.batch_norm in ("last", "all") and is_list(self.widths) and not self.widths:
            errors.add("model.batch_norm", self.batch_norm, "needs a hidden layer, and there is none; use none")
        check_batch_norm(self.batch_norm_momentum, self.batch_norm_eps, errors)
        check_integer("model.num_classes", self.num_classes, 1, errors)
        check_init(self.init, errors)

    def build(self, features: int) -> nn.Sequential:
        """Build the layers, (N, features) -> (N, num_classes), from values that `check` accepts."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        rates = self._dropout_rates(len(self.widths), ErrorList())
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

    def _dropout_rates(self, count: int, errors: ErrorList) -> list[float]:
        return expand_dropout_rates("regularization.dropout.dense", self.dropout, count, "dense layer", errors)


class DenseBatchNorm(nn.BatchNorm1d):
    """Batch norm that uses its running statistics for a batch of one image, which has no variance."""

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, F) float for features (B, F)."""
        if self.training and len(features) == 1:
            return F.batch_norm(features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(features)
