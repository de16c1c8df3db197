"""RMSprop as Keras computes it, with epsilon inside the square root."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


class KerasRMSprop(Optimizer):
    """w ← w − lr·g / √(v + eps), where v ← alpha·v + (1 − alpha)·g² (Keras' ``RMSprop``; its ``rho`` is ``alpha``).

    torch.optim.RMSprop adds eps outside the root: a gradient near zero is then divided by 1e-7, and here by 3e-4.
    There is no momentum, as in Keras' default, and no weight decay: `RegularizedOptimizer` applies it.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, alpha: float = 0.9, eps: float = 1e-7) -> None:
        if not 0 <= alpha < 1:
            raise ValueError(f"alpha={alpha}: must be at least 0 and below 1")
        if not eps >= 0:
            raise ValueError(f"eps={eps}: must not be negative")
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient. Raises TypeError for a closure, which is not supported."""
        if closure is not None:
            raise TypeError("KerasRMSprop.step takes no closure")
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            if not weights:
                continue
            gradients = [w.grad for w in weights]
            for w in weights:
                if w not in self.state:
                    self.state[w]["square_avg"] = torch.zeros_like(w)
            averages = [self.state[w]["square_avg"] for w in weights]
            torch._foreach_mul_(averages, group["alpha"])
            torch._foreach_addcmul_(averages, gradients, gradients, value=1 - group["alpha"])
            roots = torch._foreach_add(averages, group["eps"])
            torch._foreach_sqrt_(roots)
            torch._foreach_addcdiv_(weights, gradients, roots, value=-group["lr"])
