"""Call torch's optimizers without importing torch._dynamo.

Each of their methods imports torch._dynamo, which takes longer than torch itself, only to disable compilation.
Nothing is compiled here, so a run's first step need not wait for that. The arithmetic is the same to the last bit.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

_TORCH_FOLDER = str(Path(torch.__file__).parent)


def bypass_dynamo() -> None:
    """Mark the methods of all optimizers as already excluded from torch._dynamo. Can be called repeatedly."""
    for method in vars(Optimizer).values():
        wrapped = getattr(method, "__wrapped__", None)
        if inspect.isfunction(wrapped):
            wrapped.__dynamo_disable = wrapped  # type: ignore[attr-defined]  # what torch checks before it imports torch._dynamo


def undecorated_step(optimizer: Optimizer) -> Callable[[], Any]:
    """Return the optimizer's step without torch's wrappers; call it under ``torch.no_grad``."""
    step = inspect.unwrap(type(optimizer).step, stop=lambda function: not _is_from_torch(function))
    return functools.partial(step, optimizer)


def _is_from_torch(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and str(code.co_filename).startswith(_TORCH_FOLDER)
