"""From a validated config to objects: the only place that instantiates what a config names.

Targets follow Hydra's convention (``_target_``, ``_args_``, ``_partial_``, nested nodes), but only names under an
allow-list are built: a config is data, and data from elsewhere must not run ``os.system`` or ``torch.load``. Names that
the environment variable ``CIFAR_SWEEPS_ALLOW_TARGETS`` lists (comma-separated modules) are allowed as well.
"""

import functools
import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import torch
from torch import nn

from cifar_sweeps.config import RunConfig
from cifar_sweeps.data.augment import Unchanged
from cifar_sweeps.data.images import ImageData
from cifar_sweeps.errors import CifarSweepsError, ConfigError
from cifar_sweeps.models.parameters import conv_kernels, decayed_weights
from cifar_sweeps.models.summary import Summary, summarise
from cifar_sweeps.models.weights import Pretrained
from cifar_sweeps.schema import Target, did_you_mean
from cifar_sweeps.training.optim import Stepper, make_optimizer
from cifar_sweeps.training.schedules import Schedule

ALLOWED = (
    "cifar_sweeps.data",
    "cifar_sweeps.models",
    "cifar_sweeps.training",
    "torch.optim",
    "torchvision.models",
)
ALLOW_VARIABLE = "CIFAR_SWEEPS_ALLOW_TARGETS"


def images(config: RunConfig) -> ImageData:
    """Load the data set, from its cache where there is one. Raises ConfigError or DataError."""
    loaded = build(config.data.source, "data.source")
    if not isinstance(loaded, ImageData):
        raise ConfigError(f"data.source._target_={config.data.source['_target_']}: must return ImageData")
    return loaded


def model(config: RunConfig) -> nn.Module:
    """Build the network, initialised from torch's global generator (seed it first), with its pretrained weights."""
    net = _structure(config)
    if isinstance(net, Pretrained):
        net.load_pretrained()
    return net


def augmentation(config: RunConfig) -> Callable[..., torch.Tensor]:
    """Build the transform of a training batch."""
    transform: Callable[..., torch.Tensor] = build(config.augmentation, "augmentation")
    if not callable(transform):
        raise ConfigError(f"augmentation._target_={config.augmentation['_target_']}: must build something callable")
    return transform


def schedule(config: RunConfig) -> Schedule:
    """Build the learning rate's course over the epochs."""
    course = build(config.lr_schedule, "lr_schedule")
    if not isinstance(course, Schedule):
        raise ConfigError(f"lr_schedule._target_={config.lr_schedule['_target_']}: must build a Schedule")
    return course


def stepper(config: RunConfig, net: nn.Module) -> Stepper:
    """Build the optimizer of ``net`` together with the penalties and the decay that act at each of its steps."""
    return Stepper(
        _optimizer(config, list(net.parameters())),
        kernels=conv_kernels(net),
        decayed=decayed_weights(net),
        l2=config.regularization.l2,
        l1=config.regularization.l1,
        weight_decay=config.regularization.weight_decay,
    )


def check(config: RunConfig) -> Summary:
    """Build everything but the data and return the model's summary. Pretrained weights are fetched if need be.

    Raises ConfigError with all faults of all parts.
    """
    faults: list[str] = []
    for part in (_check_schedule, _check_augmentation, _check_optimizer, _check_source):
        try:
            part(config)
        except ConfigError as error:
            faults.extend(error.faults)
    try:
        net = _structure(config)
        summary = _summary(net, config)
        if isinstance(net, Pretrained):
            net.check_pretrained()
    except ConfigError as error:
        raise ConfigError([*error.faults, *faults]) from error
    if faults:
        raise ConfigError(faults)
    return summary


def describe(config: RunConfig) -> Summary:
    """Return the layers, parameters and multiply-adds of the model that ``config`` names; no weights are read."""
    return _summary(_structure(config), config)


def lacks_weights(config: RunConfig) -> bool:
    """Say whether the model's pretrained weights are still to be fetched. Raises ConfigError as `model`."""
    net = _structure(config)
    return isinstance(net, Pretrained) and not net.has_pretrained()


def _structure(config: RunConfig) -> nn.Module:
    net = build(config.model, "model")
    if not isinstance(net, nn.Module):
        raise ConfigError(f"model._target_={config.model['_target_']}: must build a torch.nn.Module")
    return net


def _summary(net: nn.Module, config: RunConfig) -> Summary:
    size = config.data.image_size
    try:
        return summarise(net, (3, size, size))
    except CifarSweepsError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(f"model: does not accept images of {size}×{size} pixels: {error}") from error


def build(node: Target, key: str) -> Any:  # noqa: ANN401 (whatever the node names)
    """Build what ``node`` names. ``key`` is where the node stands in the config, for messages.

    Raises ConfigError if the target is not allowed, does not exist, or refuses its arguments.
    """
    target = node["_target_"]
    builder = _resolve(target, f"{key}._target_")
    named = {name: _built(value, f"{key}.{name}") for name, value in node.items() if not _is_directive(name)}
    positional = [_built(value, f"{key}._args_") for value in node.get("_args_", [])]
    _refuse_unknown(builder, named, key, target)
    try:
        if node.get("_partial_"):
            return functools.partial(builder, *positional, **named)
        return builder(*positional, **named)
    except CifarSweepsError:
        raise
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ConfigError(f"{key}: {target} refuses its arguments: {error}") from error


def _built(value: object, key: str) -> object:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(dict(value), key)
        return {name: _built(entry, f"{key}.{name}") for name, entry in value.items()}
    if isinstance(value, list):
        return [_built(entry, f"{key}[{i}]") for i, entry in enumerate(value)]
    return value


def _is_directive(name: str) -> bool:
    return name in {"_target_", "_args_", "_partial_", "_convert_", "_recursive_"}


def _allowed() -> tuple[str, ...]:
    added = os.environ.get(ALLOW_VARIABLE, "")
    return (*ALLOWED, *(name.strip() for name in added.split(",") if name.strip()))


def _is_under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _resolve(target: object, key: str) -> Callable[..., Any]:
    allowed = _allowed()
    refusal = (
        f"{key}={target}: not on the list of what a config may build ({', '.join(allowed)}); "
        f"if you trust it, add its module to the environment variable {ALLOW_VARIABLE}"
    )
    if not isinstance(target, str) or not _is_under(target, allowed):
        raise ConfigError(refusal)
    found = _import(target, key)
    if not callable(found):
        raise ConfigError(f"{key}={target}: is a {type(found).__name__}, not a class or a function")
    # An alias such as `cifar_sweeps.data.cache.os.system` starts well and ends elsewhere.
    if not _is_under(getattr(found, "__module__", None) or "", allowed):
        raise ConfigError(refusal)
    builder: Callable[..., Any] = found
    return builder


def _import(target: str, key: str) -> Any:  # noqa: ANN401
    parts = target.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not _is_under(name, (error.name,)):
                raise  # the module is there; what it imports is not
            continue
        for i, part in enumerate(parts[length:], start=length):
            if not hasattr(found, part):
                raise ConfigError(f"{key}={target}: {'.'.join(parts[:i])} has no {part!r}{_near(found, part)}")
            found = getattr(found, part)
        return found
    raise ConfigError(f"{key}={target}: there is no module {parts[0]!r}; install it or mend the name")


def _near(module: object, name: str) -> str:
    public = [n for n in dir(module) if not n.startswith("_") and not isinstance(getattr(module, n), ModuleType)]
    return did_you_mean(name, public)


def _refuse_unknown(builder: Callable[..., Any], named: Mapping[str, object], key: str, target: str) -> None:
    try:
        parameters = inspect.signature(builder).parameters
    except ValueError:  # some builtins tell no signature; they refuse by themselves
        return
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    faults = [
        f"{key}.{name}: unknown key; {target} takes {', '.join(parameters)}{did_you_mean(name, list(parameters))}"
        for name in named
        if name not in parameters
    ]
    if faults:
        raise ConfigError(faults)


def _optimizer(config: RunConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    optimizer = make_optimizer(build({**config.optimizer, "_partial_": True}, "optimizer"), parameters)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ConfigError(f"optimizer._target_={config.optimizer['_target_']}: must build a torch.optim.Optimizer")
    return optimizer


def _check_optimizer(config: RunConfig) -> None:
    # One number stands for the weights: fused optimizers refuse the meta device.
    _optimizer(config, [nn.Parameter(torch.zeros(1))])


def _check_schedule(config: RunConfig) -> None:
    follows = schedule(config).needs_validation
    if follows and config.data.split == "test":
        raise ConfigError(
            "lr_schedule: follows the validation loss, which data.split=test takes from the test set; "
            "use lr_schedule=step, or another data.split"
        )
    if follows and config.trainer.validate_every > 1:
        raise ConfigError(
            "lr_schedule: follows the validation loss of every epoch; set trainer.validate_every=1, or use another one"
        )
    if follows and not config.validates:
        raise ConfigError(
            "lr_schedule: follows the validation loss, but data.val_fraction=0; "
            "set data.val_fraction above 0, or use lr_schedule=step"
        )


def _check_augmentation(config: RunConfig) -> None:
    if isinstance(augmentation(config), Unchanged) and config.trainer.test_augmented:
        raise ConfigError("trainer.test_augmented=true: there is no augmentation to test on; choose one, or use false")


def _check_source(config: RunConfig) -> None:
    build({**config.data.source, "_partial_": True}, "data.source")
