"""From a validated config to objects: the only place that instantiates what a config names.

Targets follow Hydra's convention (``_target_``, ``_args_``, ``_partial_``, nested nodes), but only what
`cifar_sweeps.config.targets` allows is built: a config is data, and data from elsewhere must not run ``os.system``.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.config.targets import resolve
from cifar_sweeps.config.type_checks import Target
from cifar_sweeps.data.augment import Unchanged
from cifar_sweeps.data.dataset import ImageData
from cifar_sweeps.errors import CifarSweepsError, ConfigError, did_you_mean, in_one_line
from cifar_sweeps.models.parameter_groups import conv_kernels, weight_decay_parameters
from cifar_sweeps.models.pretrained.weights_file import Pretrained
from cifar_sweeps.models.summary import Summary, summarize
from cifar_sweeps.training.optimizer import RegularizedOptimizer, make_optimizer
from cifar_sweeps.training.schedules import Schedule


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


def optimizer(config: RunConfig, net: nn.Module) -> RegularizedOptimizer:
    """Build the optimizer of ``net`` together with the penalties and the decay that act at each of its steps."""
    return RegularizedOptimizer(
        _optimizer(config, list(net.parameters())),
        kernels=conv_kernels(net),
        decayed=weight_decay_parameters(net),
        l2=config.regularization.l2,
        l1=config.regularization.l1,
        weight_decay=config.regularization.weight_decay,
    )


def check_config(config: RunConfig) -> Summary:
    """Build everything but the data and return the model's summary. Pretrained weights are fetched if need be.

    Raises ConfigError with all faults of all parts.
    """
    faults: list[str] = []
    for part in (_check_schedule, _check_augmentation, _check_optimizer, _check_source):
        try:
            part(config)
        except ConfigError as error:
            faults.extend(error.errors)
    try:
        net = _structure(config)
        summary = _summary(net, config)
        if isinstance(net, Pretrained):
            net.check_pretrained()
    except ConfigError as error:
        raise ConfigError([*error.errors, *faults]) from error
    if faults:
        raise ConfigError(faults)
    return summary


def summarize_model(config: RunConfig) -> Summary:
    """Return the layers, parameters and multiply-adds of the model that ``config`` names; no weights are read."""
    return _summary(_structure(config), config)


def needs_download(config: RunConfig) -> bool:
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
        return summarize(net, (3, size, size))
    except CifarSweepsError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(f"model: does not accept images of {size}×{size} pixels: {error}") from error


def build(node: Target, key: str) -> Any:  # noqa: ANN401 (whatever the node names)
    """Build what ``node`` names. ``key`` is where the node stands in the config, for messages.

    Raises ConfigError if the target is not allowed, does not exist, or refuses its arguments.
    """
    target = node["_target_"]
    builder = resolve(target, f"{key}._target_")
    named = {name: _built(value, f"{key}.{name}") for name, value in node.items() if not _is_directive(name)}
    arguments = node.get("_args_", [])
    if not isinstance(arguments, list):
        raise ConfigError(f"{key}._args_={arguments}: must be a list of arguments; leave it out to give them by name")
    positional = [_built(value, f"{key}._args_") for value in arguments]
    _check_arguments(builder, named, key, target)
    _check_weights(builder, named, positional, key)
    try:
        if node.get("_partial_"):
            return functools.partial(builder, *positional, **named)
        return builder(*positional, **named)
    except CifarSweepsError:
        raise
    except Exception as error:  # an argument that nobody foresaw may raise anything
        raise ConfigError(f"{key}: {target} refuses its arguments: {in_one_line(error)}") from error


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


def _check_weights(
    builder: Callable[..., Any], named: Mapping[str, object], positional: list[object], key: str
) -> None:
    """torchvision's own functions would fetch weights, and run what their pickle says."""
    if not builder.__module__.startswith("torchvision."):
        return
    asked = [name for name, value in named.items() if name.startswith(("weights", "pretrained")) and value]
    if asked or positional:  # the first positional argument is the old `pretrained`
        raise ConfigError(
            f"{key}.{(asked or ['_args_'])[0]}: torchvision's pretrained weights are not loaded, for they are pickles; "
            "leave it out to train from scratch, or use model=vgg16_block3 or model=efficientnet_lite0"
        )


def _check_arguments(builder: Callable[..., Any], named: Mapping[str, object], key: str, target: str) -> None:
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
