"""Allow-list of ``_target_``s that a config may build: networks, loaders, augmentations, optimizers and schedules.

An allowed package is not enough: packages also hold functions that download and unpickle files, such as
``torchvision.models._api.WeightsEnum.get_state_dict``. So each package is listed with the kind of object allowed.
Modules in the environment variable ``CIFAR_SWEEPS_ALLOW_TARGETS`` (comma-separated) are trusted as a whole.
"""

import importlib
import inspect
import typing
from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch import nn
from torch.optim import Optimizer

from cifar_sweeps import data
from cifar_sweeps.config.allow_list import ALLOW_VARIABLE, allowed_modules, allowing, is_in_package
from cifar_sweeps.config.upgrades import current_target
from cifar_sweeps.errors import ConfigError, did_you_mean, in_one_line
from cifar_sweeps.training.schedules import Schedule


def resolve(target: object, key: str) -> Callable[..., Any]:
    """Import the class or function that ``target`` names. ``key``: its path in the config, for messages.

    Raises ConfigError if it does not exist, or if a config may not build it.
    """
    trusted = allowed_modules()
    listed = ", ".join((*(f"{label} of {package}" for package, (label, _) in _KINDS.items()), *trusted))
    refusal = ConfigError(
        f"{key}={target}: not on the list of what a config may build ({listed}); "
        f"if you trust it: export {ALLOW_VARIABLE}={allowing(target)}"
    )
    if not isinstance(target, str) or not is_in_package(target, (*_KINDS, *trusted)):
        raise refusal
    obj = _import(current_target(target), key)
    if not callable(obj):
        raise ConfigError(f"{key}={target}: is a {type(obj).__name__}, not a class or a function")
    # Where it is defined: `cifar_sweeps.data.cache.os.system` begins with an allowed package, but is os.system.
    module = str(getattr(obj, "__module__", None) or "")
    is_allowed = next((is_kind for prefix, (_, is_kind) in _KINDS.items() if is_in_package(module, (prefix,))), None)
    if not is_in_package(module, trusted) and (is_allowed is None or not is_allowed(obj)):
        raise refusal
    builder: Callable[..., Any] = obj
    return builder


def _is_exported(obj: object) -> bool:
    return any(obj is getattr(data, name) for name in data.__all__)


def _is_network(obj: object) -> bool:
    return _is_class_of(obj, nn.Module) or (_is_plain_function(obj) and _returns(obj, nn.Module))


def _is_optimizer_or_schedule(obj: object) -> bool:
    return _is_class_of(obj, Optimizer) or _is_class_of(obj, Schedule)


def _is_optimizer(obj: object) -> bool:
    return _is_class_of(obj, Optimizer)


def _is_classifier(obj: object) -> bool:
    """Return whether this is one of torchvision's model builders, which load no weights by default."""
    from torchvision import models  # importing it takes a second: only if it is named

    name = str(getattr(obj, "__name__", ""))
    return name in models.list_models(module=models) and models.get_model_builder(name) is obj


_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "cifar_sweeps.data": ("loaders and augmentations", _is_exported),
    "cifar_sweeps.models": ("networks", _is_network),
    "cifar_sweeps.training": ("optimizers and schedules", _is_optimizer_or_schedule),
    "torch.optim": ("optimizers", _is_optimizer),
    "torchvision.models": ("classifiers", _is_classifier),
}


def _is_class_of(obj: object, kind: type) -> bool:
    return inspect.isclass(obj) and issubclass(obj, kind) and not obj.__name__.startswith("_")


def _is_plain_function(obj: object) -> bool:
    """Return whether this is a public module-level function; a method could be given any ``self``."""
    return inspect.isfunction(obj) and obj.__qualname__.isidentifier() and not obj.__qualname__.startswith("_")


def _returns(function: object, kind: type) -> bool:
    returned = typing.get_type_hints(function).get("return")
    return inspect.isclass(returned) and issubclass(returned, kind)


def _import(target: str, key: str) -> Any:  # noqa: ANN401
    parts = target.split(".")
    if not all(part.isidentifier() for part in parts):
        raise ConfigError(f"{key}={target!r}: is not the name of a class or function; write it as package.module.Name")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            obj: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not is_in_package(name, (error.name,)):
                raise ConfigError(f"{key}={target}: cannot be imported: {in_one_line(error)}; install it") from error
            continue
        for i, part in enumerate(parts[length:], start=length):
            if not hasattr(obj, part):
                raise ConfigError(f"{key}={target}: {'.'.join(parts[:i])} has no {part!r}{_suggestions(obj, part)}")
            obj = getattr(obj, part)
        return obj
    raise ConfigError(f"{key}={target}: there is no module {parts[0]!r}; install it or correct the name")


def _suggestions(module: object, name: str) -> str:
    public = [n for n in dir(module) if not n.startswith("_") and not isinstance(getattr(module, n), ModuleType)]
    return did_you_mean(name, public)
