"""Instantiate the objects that a validated config names; no other module does.

Targets follow Hydra's convention (``_target_``, ``_args_``, ``_partial_``, nested nodes), but only what
`cifar_sweeps.config.targets` allows is built: a config is data, and data from elsewhere must not run ``os.system``.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.config.targets import resolve
from cifar_sweeps.config.type_checks import Target
from cifar_sweeps.data import load_cifar100
from cifar_sweeps.data.augment import Unchanged
from cifar_sweeps.data.cifar.cifar100 import CLASS_COUNTS as CIFAR100_CLASS_COUNTS
from cifar_sweeps.data.dataset import ImageData, Progress
from cifar_sweeps.errors import CifarSweepsError, ConfigError, DataError, did_you_mean, in_one_line
from cifar_sweeps.models.parameter_groups import conv_kernels, weight_decay_parameters
from cifar_sweeps.models.pretrained.weights_file import Pretrained
from cifar_sweeps.models.summary import Summary, can_train_on_one_image, summarize
from cifar_sweeps.training.optimizer import RegularizedOptimizer, make_optimizer
from cifar_sweeps.training.schedules import Schedule


@dataclasses.dataclass(frozen=True)
class Outline:
    """How many parameters a model has, and whether its pretrained weights must still be downloaded."""

    parameters: int
    needs_download: bool


def images(config: RunConfig, progress: Progress | None = None) -> ImageData:
    """Load the data set, from its cache if there is one. Raises ConfigError or DataError.

    progress: passed to a loader that takes it.
    """
    source = config.data.source
    if progress is not None and "progress" in _parameters(resolve(source["_target_"], "data.source._target_")):
        source = {**source, "progress": progress}
    loaded = build(source, "data.source")
    if not isinstance(loaded, ImageData):
        raise ConfigError(f"data.source._target_={config.data.source['_target_']}: must return ImageData")
    return loaded


def with_classes_of(config: RunConfig, data: ImageData) -> RunConfig:
    """Return the config with the number of classes that ``data`` has, where the config leaves it to the data."""
    return _with_num_classes(config, len(data.classes))


def with_classes_at_hand(config: RunConfig) -> tuple[RunConfig, str]:
    """Return the config as `with_classes_of` does, and a line if its images cannot be had without a download."""
    source = config.data.source
    if "root" not in source or config.data.num_classes is not None:
        return config, ""
    if (count := _count_of_loader(config)) is not None:
        return _with_num_classes(config, count), ""
    offline = {**source, "download": False} if "download" in source else source
    try:
        data = images(dataclasses.replace(config, data=dataclasses.replace(config.data, source=offline)))
    except DataError:
        return config, "The images are not at hand: ten classes are assumed."
    return with_classes_of(config, data), ""


def _count_of_loader(config: RunConfig) -> int | None:
    """Return the number of classes if the loader and its arguments say it, without any file."""
    source = config.data.source
    if resolve(source["_target_"], "data.source._target_") is not load_cifar100:
        return None
    return CIFAR100_CLASS_COUNTS.get(source.get("labels", "fine"))


def _with_num_classes(config: RunConfig, count: int) -> RunConfig:
    nodes = {name: dict(config.as_dict[name]) for name in ("data", "model")}
    for node in nodes.values():
        if node.get("num_classes", count) is None:
            node["num_classes"] = count
    if all(nodes[name] == config.as_dict[name] for name in nodes):
        return config
    data = dataclasses.replace(config.data, num_classes=nodes["data"]["num_classes"])
    return dataclasses.replace(config, data=data, model=nodes["model"], as_dict={**config.as_dict, **nodes})


def model(config: RunConfig) -> nn.Module:
    """Build the model and load its pretrained weights; initialised from torch's global generator (seed it first)."""
    net = _untrained_model(config)
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
    """Build the learning rate schedule."""
    built = build(config.lr_schedule, "lr_schedule")
    if not isinstance(built, Schedule):
        raise ConfigError(f"lr_schedule._target_={config.lr_schedule['_target_']}: must build a Schedule")
    return built


def optimizer(config: RunConfig, net: nn.Module) -> RegularizedOptimizer:
    """Build the optimizer of ``net`` with the penalties and weight decay that each step applies."""
    return RegularizedOptimizer(
        _optimizer(config, list(net.parameters())),
        kernels=conv_kernels(net),
        decayed=weight_decay_parameters(net),
        l2=config.regularization.l2,
        l1=config.regularization.l1,
        weight_decay=config.regularization.weight_decay,
    )


def check_config(config: RunConfig, download: bool = True) -> Summary:
    """Build everything but the data, and return the model's summary.

    download: fetch pretrained weights that are missing; otherwise they stay unchecked.
    Where the number of classes is left to data that is not loaded yet, it is taken as its loader says, or as 10.
    Raises ConfigError with all errors of all parts.
    """
    errors: list[str] = []
    for check in (_check_schedule, _check_augmentation, _check_optimizer, _check_source):
        try:
            check(config)
        except ConfigError as error:
            errors.extend(error.errors)
    try:
        net = _untrained_model(config)
        summary = _summary(net, config)
        if isinstance(net, Pretrained) and config.data.whitening is not None:
            errors.append("data.whitening: the pretrained layers take plain pixels and scale them; leave it out")
        if isinstance(net, Pretrained) and (download or net.has_pretrained()):
            net.check_pretrained()
    except ConfigError as error:
        raise ConfigError([*error.errors, *errors]) from error
    if errors:
        raise ConfigError(errors)
    return summary


def summarize_model(config: RunConfig) -> Summary:
    """Return the layers, parameters and multiply-adds of the model of ``config``; reads no weights."""
    return _summary(_untrained_model(config), config)


def outline_model(config: RunConfig) -> Outline:
    """Return what `summarize_model` and `needs_download` say of the model's size and weights, without running it.

    For commands that train nothing: a class of the user's may keep a tensor that was made here, which has no values.
    """
    try:
        with torch.device("meta"):  # nothing is allocated or drawn
            net = _untrained_model(config)
    except ConfigError:  # a class of the user's may compute with its weights, of which the meta device has no values
        net = _untrained_model(config)
    is_left_open = any(nn.parameter.is_lazy(parameter) for parameter in net.parameters())
    count = summarize_model(config).parameters if is_left_open else sum(each.numel() for each in net.parameters())
    return Outline(count, isinstance(net, Pretrained) and not net.has_pretrained())


def trains_on_one_image(config: RunConfig) -> bool:
    """Return whether the model can train on a batch of one image, which batch norm may not."""
    return can_train_on_one_image(_untrained_model(config), (3, *config.data.image_shape))


def needs_download(config: RunConfig) -> bool:
    """Return whether the model's pretrained weights must still be downloaded. Raises ConfigError as `model` does."""
    net = _untrained_model(config)
    return isinstance(net, Pretrained) and not net.has_pretrained()


def _untrained_model(config: RunConfig) -> nn.Module:
    net = build(_with_num_classes(config, _count_of_loader(config) or 10).model, "model")
    if not isinstance(net, nn.Module):
        raise ConfigError(f"model._target_={config.model['_target_']}: must build a torch.nn.Module")
    return net


def _summary(net: nn.Module, config: RunConfig) -> Summary:
    height, width = config.data.image_shape
    try:
        return summarize(net, (3, height, width))
    except CifarSweepsError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(f"model: does not accept images of {width}×{height} pixels: {error}") from error


def build(node: Target, key: str) -> Any:  # noqa: ANN401 (depends on the node)
    """Build the object that ``node`` names. ``key``: the path of the node in the config, for messages.

    Raises ConfigError if the target is not allowed, does not exist, or rejects its arguments.
    """
    target = node["_target_"]
    builder = resolve(target, f"{key}._target_")
    named = {name: _build_nested(value, f"{key}.{name}") for name, value in node.items() if not _is_directive(name)}
    arguments = node.get("_args_", [])
    if not isinstance(arguments, list):
        raise ConfigError(f"{key}._args_={arguments}: must be a list of arguments; leave it out to give them by name")
    positional = [_build_nested(value, f"{key}._args_") for value in arguments]
    _check_arguments(builder, named, key, target)
    _check_weights(builder, named, positional, key)
    try:
        if node.get("_partial_"):
            return functools.partial(builder, *positional, **named)
        return builder(*positional, **named)
    except CifarSweepsError:
        raise
    except Exception as error:  # an unforeseen argument may raise anything
        raise ConfigError(f"{key}: {target} refuses its arguments: {in_one_line(error)}") from error


def _build_nested(value: object, key: str) -> object:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(dict(value), key)
        return {name: _build_nested(entry, f"{key}.{name}") for name, entry in value.items()}
    if isinstance(value, list):
        return [_build_nested(entry, f"{key}[{i}]") for i, entry in enumerate(value)]
    return value


def _is_directive(name: str) -> bool:
    return name in {"_target_", "_args_", "_partial_", "_convert_", "_recursive_"}


def _check_weights(
    builder: Callable[..., Any], named: Mapping[str, object], positional: list[object], key: str
) -> None:
    """Refuse torchvision's pretrained weights: it would download them and unpickle them, which runs code."""
    if not builder.__module__.startswith("torchvision."):
        return
    requested = [name for name, value in named.items() if name.startswith(("weights", "pretrained")) and value]
    if requested or positional:  # the first positional argument is the old `pretrained`
        raise ConfigError(
            f"{key}.{(requested or ['_args_'])[0]}: torchvision's pretrained weights are not loaded, as they are "
            "pickles; leave it out to train from scratch, or use model=vgg16_block3 or model=efficientnet_lite0"
        )


def _check_arguments(builder: Callable[..., Any], named: Mapping[str, object], key: str, target: str) -> None:
    parameters = _parameters(builder)
    if not parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    errors = [
        f"{key}.{name}: unknown key; {target} takes {', '.join(parameters)}{did_you_mean(name, list(parameters))}"
        for name in named
        if name not in parameters
    ]
    if errors:
        raise ConfigError(errors)


def _parameters(builder: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(builder).parameters
    except ValueError:  # some builtins have no signature; they check their arguments themselves
        return {}


def _optimizer(config: RunConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    optimizer = make_optimizer(build({**config.optimizer, "_partial_": True}, "optimizer"), parameters)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ConfigError(f"optimizer._target_={config.optimizer['_target_']}: must build a torch.optim.Optimizer")
    return optimizer


def _check_optimizer(config: RunConfig) -> None:
    # One dummy parameter instead of the weights: fused optimizers reject the meta device.
    _optimizer(config, [nn.Parameter(torch.zeros(1))])


def _check_schedule(config: RunConfig) -> None:
    needs_validation = schedule(config).needs_validation
    if needs_validation and config.data.split == "test":
        raise ConfigError(
            "lr_schedule: follows the validation loss, which data.split=test takes from the test set; "
            "use lr_schedule=step, or another data.split"
        )
    if needs_validation and config.trainer.validate_every > 1:
        raise ConfigError(
            "lr_schedule: follows the validation loss of every epoch; set trainer.validate_every=1, or use another one"
        )
    if needs_validation and not config.validates:
        raise ConfigError(
            "lr_schedule: follows the validation loss, but data.val_fraction=0; "
            "set data.val_fraction above 0, or use lr_schedule=step"
        )


def _check_augmentation(config: RunConfig) -> None:
    if isinstance(augmentation(config), Unchanged) and config.trainer.test_augmented:
        raise ConfigError("trainer.test_augmented=true: there is no augmentation to test on; choose one, or use false")


def _check_source(config: RunConfig) -> None:
    build({**config.data.source, "_partial_": True}, "data.source")
