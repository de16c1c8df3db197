"""What a config may name as a ``_target_``: networks, loaders, augmentations, optimizers and schedules, nothing else.

A name under an allowed package is not enough: such packages hold functions that fetch files and unpickle them, such as
``torchvision.models._api.WeightsEnum.get_state_dict``. So each package says what kind of thing it may give. What the
environment variable ``CIFAR_SWEEPS_ALLOW_TARGETS`` lists (comma-separated modules) is the user's own, and trusted.
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
from cifar_sweeps.config.allow_list import ALLOW_VARIABLE, allowed_modules, is_in_package
from cifar_sweeps.errors import ConfigError, did_you_mean, in_one_line
from cifar_sweeps.training.schedules import Schedule


def resolve(target: object, key: str) -> Callable[..., Any]:
    """Return the class or function that ``target`` names. ``key`` is where it stands in the config, for messages.

    Raises ConfigError if there is no such thing, or if a config may not build it.
    """
    trusted = allowed_modules()
    listed = ", ".join((*(f"{words} of {package}" for package, (words, _) in _KINDS.items()), *trusted))
    refusal = ConfigError(
        f"{key}={target}: not on the list of what a config may build ({listed}); "
        f"if you trust it, add its module to the environment variable {ALLOW_VARIABLE}"
    )
    if not isinstance(target, str) or not is_in_package(target, (*_KINDS, *trusted)):
        raise refusal
    found = _import(target, key)
    if not callable(found):
        raise ConfigError(f"{key}={target}: is a {type(found).__name__}, not a class or a function")
    # An alias such as `cifar_sweeps.data.cache.os.system` starts well and ends elsewhere.
    home = str(getattr(found, "__module__", None) or "")
    kind = next((is_kind for prefix, (_, is_kind) in _KINDS.items() if is_in_package(home, (prefix,))), None)
    if not is_in_package(home, trusted) and (kind is None or not kind(found)):
        raise refusal
    builder: Callable[..., Any] = found
    return builder


def _is_shown(found: object) -> bool:
    return any(found is getattr(data, name) for name in data.__all__)


def _is_network(found: object) -> bool:
    return _is_class_of(found, nn.Module) or (_is_plain_function(found) and _returns(found, nn.Module))


def _is_trainer(found: object) -> bool:
    return _is_class_of(found, Optimizer) or _is_class_of(found, Schedule)


def _is_optimizer(found: object) -> bool:
    return _is_class_of(found, Optimizer)


def _is_classifier(found: object) -> bool:
    """Say whether this is one of torchvision's own functions that build a classifier, untrained unless asked."""
    from torchvision import models  # a second: only for who names it

    name = str(getattr(found, "__name__", ""))
    return name in models.list_models(module=models) and models.get_model_builder(name) is found


_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "cifar_sweeps.data": ("loaders and augmentations", _is_shown),
    "cifar_sweeps.models": ("networks", _is_network),
    "cifar_sweeps.training": ("optimizers and schedules", _is_trainer),
    "torch.optim": ("optimizers", _is_optimizer),
    "torchvision.models": ("classifiers", _is_classifier),
}


def _is_class_of(found: object, kind: type) -> bool:
    return inspect.isclass(found) and issubclass(found, kind) and not found.__name__.startswith("_")


def _is_plain_function(found: object) -> bool:
    """Say whether this is a public function at the top of its module: no method, which could be given any ``self``."""
    return inspect.isfunction(found) and found.__qualname__.isidentifier() and not found.__qualname__.startswith("_")


def _returns(function: object, kind: type) -> bool:
    returned = typing.get_type_hints(function).get("return")
    return inspect.isclass(returned) and issubclass(returned, kind)


def _import(target: str, key: str) -> Any:  # noqa: ANN401
    parts = target.split(".")
    if not all(part.isidentifier() for part in parts):
        raise ConfigError(f"{key}={target!r}: is no name of a class or a function; write it as package.module.Name")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not is_in_package(name, (error.name,)):
                raise ConfigError(f"{key}={target}: cannot be imported: {in_one_line(error)}; install it") from error
            continue
        for i, part in enumerate(parts[length:], start=length):
            if not hasattr(found, part):
                raise ConfigError(f"{key}={target}: {'.'.join(parts[:i])} has no {part!r}{_suggestions(found, part)}")
            found = getattr(found, part)
        return found
    raise ConfigError(f"{key}={target}: there is no module {parts[0]!r}; install it or mend the name")


def _suggestions(module: object, name: str) -> str:
    public = [n for n in dir(module) if not n.startswith("_") and not isinstance(getattr(module, n), ModuleType)]
    return did_you_mean(name, public)
