"""Adamax with fewer passes over the weights than torch's, which is a sixth faster on a CPU."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


class Adamax(Optimizer):
    """w ← w − lr/(1 − β₁ᵗ) · m/u, where m ← β₁·m + (1 − β₁)·g and u ← max(β₂·u, |g| + eps) (torch.optim.Adamax).

    There is no weight decay: `RegularizedOptimizer` applies it.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-7
    ) -> None:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={list(betas)}: must be at least 0 and below 1")
        if not lr >= 0:
            raise ValueError(f"lr={lr}: must not be negative")
        if not eps >= 0:
            raise ValueError(f"eps={eps}: must not be negative")
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "step": 0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient. Raises TypeError for a closure, which is not supported."""
        if closure is not None:
            raise TypeError("Adamax.step takes no closure")
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            if not weights:
                continue
            group["step"] += 1
            gradients = [w.grad for w in weights]
            for w in weights:
                if w not in self.state:
                    self.state[w] = {"average": torch.zeros_like(w), "norm": torch.zeros_like(w)}
            averages, norms = ([self.state[w][name] for w in weights] for name in ("average", "norm"))
            beta1, beta2 = group["betas"]
            torch._foreach_lerp_(averages, gradients, 1 - beta1)
            torch._foreach_mul_(norms, beta2)
            sizes = torch._foreach_abs(gradients)
            torch._foreach_add_(sizes, group["eps"])
            torch._foreach_maximum_(norms, sizes)
            torch._foreach_addcdiv_(weights, averages, norms, value=-group["lr"] / (1 - beta1 ** group["step"]))
