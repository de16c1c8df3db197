"""Summarize a model: layers, output shapes, parameters and multiply-adds."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerSummary:
    """One call of a layer on one image. ``output_shape`` is without the batch: (C, H, W) or (features,)."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """A model's layers in the order of their calls, and its totals; ``multiply_adds`` are for one image."""

    layers: tuple[LayerSummary, ...]
    parameters: int
    trainable: int
    multiply_adds: int


def summarize(model: nn.Module, input_shape: tuple[int, ...] = (3, 32, 32)) -> Summary:
    """Summarize ``model`` by running a copy of it on one blank image in evaluation mode.

    input_shape: (C, H, W) of one image.
    The model itself does not change.
    Multiply-adds are counted for convolutions (padding included) and dense layers, not for biases, norms, activations,
    pooling and additions. A layer called twice has two rows, and its multiply-adds count twice,
    but a parameter counts once, however often it is shared.
    """
    probe = _copy_sharing_parameters(model).eval()
    rows: list[LayerSummary] = []
    seen: set[nn.Parameter] = set()

    def record(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, _: object, output: Tensor) -> None:
            new = set(module.parameters(recurse=False)) - seen
            seen.update(new)
            shape = tuple(output.shape[1:])
            rows.append(
                LayerSummary(name, type(module).__name__, shape, _count_elements(new), _multiply_adds(module, shape))
            )

        return hook

    for name, module in probe.named_modules():
        if not list(module.children()):
            module.register_forward_hook(record(name))
    with torch.no_grad():
        # Not on the meta device: its first convolution imports torch's decompositions, which takes over a second.
        probe(torch.zeros(1, *input_shape, device=next(model.parameters()).device))

    return Summary(
        layers=tuple(rows),
        parameters=_count_elements(model.parameters()),
        trainable=_count_elements(parameter for parameter in model.parameters() if parameter.requires_grad),
        multiply_adds=sum(row.multiply_adds for row in rows),
    )


def can_train_on_one_image(model: nn.Module, input_shape: tuple[int, ...]) -> bool:
    """Return whether a copy of ``model`` can train on a batch of one blank image (C, H, W).

    Batch norm cannot where its maps are one pixel, or its input is features: one number has no variance.
    """
    probe = copy.deepcopy(model).train()
    image = torch.zeros(1, *input_shape, device=next(model.parameters()).device)
    state = torch.get_rng_state()
    try:
        with torch.no_grad():
            probe(image)
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            return False
        raise
    finally:
        torch.set_rng_state(state)  # dropout draws from it
    return True


def _multiply_adds(module: nn.Module, output_shape: tuple[int, ...]) -> int:
    """Return the multiply-adds of one call on one image; 0 unless ``module`` is a convolution or a dense layer.

    output_shape: (C, H, W) of a convolution; (…, features) of a dense layer.
    """
    if isinstance(module, nn.Conv2d):
        height, width = output_shape[-2:]
        return module.weight.numel() * height * width
    if isinstance(module, nn.Linear):
        rows = torch.Size(output_shape[:-1]).numel()
        return module.weight.numel() * rows
    return 0


def _copy_sharing_parameters(model: nn.Module) -> nn.Module:
    """Copy ``model`` with its modes, hooks and buffers, but share its parameters."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})


def _count_elements(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
