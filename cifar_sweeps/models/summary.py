"""What a model is made of: layers, output shapes, parameters and multiply-adds."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerSummary:
    """One layer as one image passes it. ``output_shape`` is without the batch: (C, H, W) or (features,)."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """A model's layers in the order of their calls, and its totals; ``multiply_adds`` are those of one image."""

    layers: tuple[LayerSummary, ...]
    parameters: int
    trainable: int
    multiply_adds: int


def summarize(model: nn.Module, input_shape: tuple[int, ...] = (3, 32, 32)) -> Summary:
    """Pass one blank image through a copy of ``model`` in evaluation mode; the model itself stays as it is.

    input_shape: (C, H, W) of one image.
    Multiply-adds are counted for convolutions (the padding's zeros included) and dense layers; those of biases, norms,
    activations, pooling and additions are not. A layer called twice has two rows, and its multiply-adds count twice,
    but a parameter counts once, however often it is shared.
    """
    shadow = _shadow(model).eval()
    rows: list[LayerSummary] = []
    seen: set[nn.Parameter] = set()

    def record(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, _: object, output: Tensor) -> None:
            fresh = set(module.parameters(recurse=False)) - seen
            seen.update(fresh)
            shape = tuple(output.shape[1:])
            rows.append(LayerSummary(name, type(module).__name__, shape, _count(fresh), _multiply_adds(module, shape)))

        return hook

    for name, module in shadow.named_modules():
        if not list(module.children()):
            module.register_forward_hook(record(name))
    with torch.no_grad():
        # Not on the meta device: its first convolution imports torch's decompositions, which takes over a second.
        shadow(torch.zeros(1, *input_shape, device=next(model.parameters()).device))

    return Summary(
        layers=tuple(rows),
        parameters=_count(model.parameters()),
        trainable=_count(parameter for parameter in model.parameters() if parameter.requires_grad),
        multiply_adds=sum(row.multiply_adds for row in rows),
    )


def _multiply_adds(module: nn.Module, output_shape: tuple[int, ...]) -> int:
    """Multiply-adds of one call of ``module`` on one image; 0 for what is neither a convolution nor a dense layer.

    output_shape: (C, H, W) of a convolution; (…, features) of a dense layer.
    """
    if isinstance(module, nn.Conv2d):
        height, width = output_shape[-2:]
        return module.weight.numel() * height * width
    if isinstance(module, nn.Linear):
        rows = torch.Size(output_shape[:-1]).numel()
        return module.weight.numel() * rows
    return 0


def _shadow(model: nn.Module) -> nn.Module:
    """A copy of ``model`` that shares its weights, with modes, hooks and buffers of its own."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
