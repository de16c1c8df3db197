"""torch's optimizers, kept apart from torch's compiler.

Each of their methods imports the compiler, which takes longer than torch itself, in order to tell it to keep off.
Nothing is compiled here, so a run's first step need not wait for that. The arithmetic is the same to the last bit.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

_TORCH = str(Path(torch.__file__).parent)


def bypass_dynamo() -> None:
    """Let the methods of all optimizers be called as they are. May be called again."""
    for method in vars(Optimizer).values():
        itself = getattr(method, "__wrapped__", None)
        if inspect.isfunction(itself):
            itself.__dynamo_disable = itself  # type: ignore[attr-defined]  # what torch looks for ahead of its import


def undecorated_step(optimizer: Optimizer) -> Callable[[], Any]:
    """Return the optimizer's step without what torch wraps around it; it is to be called without gradients."""
    step = inspect.unwrap(type(optimizer).step, stop=lambda layer: not _is_torchs(layer))
    return functools.partial(step, optimizer)


def _is_torchs(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and str(code.co_filename).startswith(_TORCH)
