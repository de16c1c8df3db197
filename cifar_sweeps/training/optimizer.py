"""Wrap a torch optimizer with L2/L1 penalties and decoupled weight decay, which work the same for all optimizers."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.training.dynamo import bypass_dynamo, undecorated_step

bypass_dynamo()


class RegularizedOptimizer:
    """A torch optimizer together with Keras' penalties and decoupled weight decay.

    - ``l2``, ``l1``: Keras' ``kernel_regularizer`` on ``kernels``: the penalty l2·Σw² + l1·Σ|w| belongs to the loss, so
      2·l2·w + l1·sign(w) is added to the gradient, and the optimizer scales it with the rest of the gradient.
    - ``weight_decay``: decoupled (Loshchilov & Hutter 2019, as in torch.optim.AdamW): w ← w − lr·weight_decay·w on
      ``decayed``, before the optimizer's step and not scaled by it.

    Neither changes weights that are frozen when this object is created.
    Raises ConfigError if the optimizer has a weight decay of its own.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        kernels: Sequence[Parameter] = (),
        decayed: Sequence[Parameter] = (),
        l2: float = 0.0,
        l1: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        own_decays = [group["weight_decay"] for group in optimizer.param_groups if group.get("weight_decay")]
        if own_decays:
            raise ConfigError(
                f"optimizer.weight_decay={own_decays[0]}: must be 0, or two weight decays would add up; "
                "set optimizer.weight_decay=0.0 and use regularization.weight_decay (decoupled) or regularization.l2"
            )
        self.optimizer = optimizer
        self._step = undecorated_step(optimizer)
        self.base_lr: float = optimizer.param_groups[0]["lr"]
        """Learning rate from the config, which the schedule multiplies."""
        self.l2, self.l1, self.weight_decay = l2, l1, weight_decay
        self._kernels: list[Tensor] = [w for w in kernels if w.requires_grad]
        self._decayed: list[Tensor] = [w for w in decayed if w.requires_grad]

    @property
    def lr(self) -> float:
        """Learning rate of the next step."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    @lr.setter
    def lr(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def penalty(self) -> Tensor | None:
        """Return l2·Σw² + l1·Σ|w| of the current weights, a scalar on their device; None if both are 0."""
        if not self._kernels or not (self.l2 or self.l1):
            return None
        with torch.no_grad():
            penalty = torch.zeros((), device=self._kernels[0].device)
            if self.l2:
                penalty += self.l2 * torch.stack(torch._foreach_norm(self._kernels)).square().sum()
            if self.l1:
                penalty += self.l1 * torch.stack(torch._foreach_norm(self._kernels, ord=1)).sum()
            return penalty

    @torch.no_grad()
    def step(self) -> None:
        """Add the penalties' gradient, decay the weights, and run the optimizer's step."""
        if self.l2 or self.l1:
            self._add_penalty_gradient()
        if self.weight_decay and self._decayed:
            torch._foreach_mul_(self._decayed, 1 - self.lr * self.weight_decay)
        self._step()

    def _add_penalty_gradient(self) -> None:
        pairs = [(w, w.grad) for w in self._kernels if w.grad is not None]
        if not pairs:
            return
        weights, gradients = [w for w, _ in pairs], [gradient for _, gradient in pairs]
        if self.l2:
            torch._foreach_add_(gradients, weights, alpha=2 * self.l2)
        if self.l1:
            torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=self.l1)

    def zero_grad(self) -> None:
        """Set all gradients to None; the next backward pass writes new ones rather than adding to zeros."""
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state; penalties and weight decay are constants of the config and have none."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state from `state_dict`. ``base_lr`` keeps the config's value."""
        self.optimizer.load_state_dict(state)


def make_optimizer(factory: Callable[..., Optimizer], parameters: Iterable[Parameter]) -> Optimizer:
    """Build an optimizer over the parameters that are not frozen.

    factory: the class with its arguments bound, as Hydra's ``_partial_: true`` gives it.
    Raises ConfigError if the class rejects its arguments, or if every parameter is frozen.
    """
    trainable = [w for w in parameters if w.requires_grad]
    if not trainable:
        raise ConfigError("model: every parameter is frozen, so there is nothing to train; unfreeze at least the head")
    try:
        return factory(trainable)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"optimizer: {error}; see conf/optimizer/ for what each optimizer takes") from error
