"""What a config may have Hydra itself build: launcher, sweeper, callbacks, logging.

A study's file may set these nodes, and Hydra builds them before a job sees its config; its own blocklist lets
``torch.load`` and much else through. So whatever Hydra composes passes here first. Imports neither torch nor mlflow.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from cifar_sweeps.config.allow_list import ALLOW_VARIABLE, allowed_modules, is_in_package
from cifar_sweeps.errors import ConfigError

_CALLBACKS = frozenset(
    {"cifar_sweeps.sweeps.callback.SweepCallback"}
    | {f"hydra.experimental.callbacks.{name}" for name in ("LogJobReturnCallback", "PickleJobInfoCallback")}
)
# Not all of logging: handlers of queues and sockets call, send and unpickle what a config names.
_LOGGING = re.compile(
    r"logging\.((Stream|File|Null)Handler|Formatter|Filter)|logging\.handlers\.(Timed)?RotatingFileHandler"
    r"|colorlog\.ColoredFormatter|rich\.logging\.RichHandler"
)
_BUILT = ("hydra.launcher", "hydra.sweeper", "hydra.callbacks", "hydra.job_logging", "hydra.hydra_logging")
_GROUP = re.compile(r"\$\{(?!hydra\.(job|sweep|run|runtime)\.).*\}", re.DOTALL)
"""An interpolation that may stand for a group: names and folders, as ``${hydra.job.name}``, do not."""
_STREAMS = frozenset({"ext://sys.stdout", "ext://sys.stderr"})


@contextmanager
def only_what_is_known() -> Iterator[None]:
    """Within, every config that Hydra composes is checked before Hydra builds anything of it. Raises ConfigError."""
    load = ConfigLoaderImpl.load_configuration

    def checked(loader: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> DictConfig:  # noqa: ANN401 (Hydra's own)
        config = load(loader, *args, **kwargs)
        faults = list(_faults(config))
        if faults:
            raise ConfigError(faults)
        return config

    ConfigLoaderImpl.load_configuration = checked  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]


def _faults(config: DictConfig) -> Iterator[str]:
    # Unresolved: what an interpolation becomes can depend on what is not known yet.
    hydra = OmegaConf.to_container(config.hydra, resolve=False)
    assert isinstance(hydra, dict)
    for key, value in _entries(hydra, "hydra"):
        word = key.rpartition(".")[2]
        in_logging = key.startswith(("hydra.job_logging.", "hydra.hydra_logging."))
        if word == "_target_":
            known = str(value) in _known() or is_in_package(str(value), allowed_modules())
        elif in_logging and word in ("()", "class"):
            known = _LOGGING.fullmatch(str(value)) is not None
        elif in_logging and isinstance(value, str) and "ext://" in value:
            known = value in _STREAMS
        elif key.startswith(_BUILT) and isinstance(value, str) and _GROUP.fullmatch(value):
            yield f"{key}={value}: could become a group that Hydra builds; write the value itself"
            continue
        else:
            continue
        if not known:
            yield (
                f"{key}={value}: not on the list of what a config may have Hydra build (plugins of hydra_plugins, "
                "Hydra's callbacks, plain log files); leave it out, or, if you trust it, add its module to the "
                f"environment variable {ALLOW_VARIABLE}"
            )
    if hydra["job"]["env_set"]:
        yield f"hydra.job.env_set={hydra['job']['env_set']}: a config sets no environment; set it in your shell"


def _known() -> frozenset[str]:
    plugins = Plugins.instance()
    found = [*plugins.discover(Launcher), *plugins.discover(Sweeper)]
    return _CALLBACKS | {f"{plugin.__module__}.{plugin.__qualname__}" for plugin in found}


def _entries(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield every value that is no group, with the dotted path that leads to it."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _entries(entry, f"{path}.{key}")
    elif isinstance(value, list):
        for entry in value:
            yield from _entries(entry, path)
    else:
        yield path, value
