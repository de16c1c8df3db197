"""Check what a config may have Hydra itself build: launcher, sweeper, callbacks, logging.

A study's file may set these nodes, and Hydra builds them before a job sees its config; 1.3's blocklist lets
``torch.load`` and much else through. So every config that Hydra composes is checked here first. Hydra 1.4 has an
allow-list of its own, which is given the same names. Imports neither torch nor mlflow.
"""

import re
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from cifar_sweeps.config.allow_list import ALLOW_VARIABLE, allowed_modules, is_in_package
from cifar_sweeps.errors import ConfigError, hide_secrets
from cifar_sweeps.hydra_support import installed_plugins

_SWEEP_CALLBACK = "cifar_sweeps.sweeps.callback.SweepCallback"
_CALLBACKS = frozenset(
    {_SWEEP_CALLBACK}
    | {f"hydra.experimental.callbacks.{name}" for name in ("LogJobReturnCallback", "PickleJobInfoCallback")}
)
# Not all of logging: handlers of queues and sockets call, send and unpickle what a config names.
_LOGGING = frozenset(
    {f"logging.{name}" for name in ("StreamHandler", "FileHandler", "NullHandler", "Filter")}
    | {f"logging.handlers.{name}" for name in ("RotatingFileHandler", "TimedRotatingFileHandler")}
    | {"colorlog.ColoredFormatter", "rich.logging.RichHandler"}
)
_BUILT = ("hydra.launcher", "hydra.sweeper", "hydra.callbacks", "hydra.job_logging", "hydra.hydra_logging")
_GROUP = re.compile(r"\$\{(?!hydra\.(job|sweep|run|runtime)\.).*\}", re.DOTALL)
"""An interpolation that may stand for a group: names and folders, as ``${hydra.job.name}``, do not."""
_STREAMS = frozenset({"ext://sys.stdout", "ext://sys.stderr"})


def check_hydra_targets(config: DictConfig) -> None:
    """Refuse a composed config that would have Hydra build what is not allowed. Raises ConfigError with all of it."""
    errors = list(_errors(config))
    if errors:
        raise ConfigError(errors)


def hydra_allow_list() -> list[str]:
    """Return the names that Hydra may build besides its plugins, as Hydra 1.4's allow-list takes them."""
    allowed = [name for name in allowed_modules() if all(part.isidentifier() for part in name.split("."))]
    return [*sorted(_CALLBACKS | _LOGGING), *allowed, *(f"{name}.*" for name in allowed)]


def _errors(config: DictConfig) -> Iterator[str]:
    # Unresolved: what an interpolation becomes can depend on what is not known yet.
    hydra = OmegaConf.to_container(config.hydra, resolve=False)
    assert isinstance(hydra, dict)
    for key, value in _leaves(hydra, "hydra"):
        name = key.rpartition(".")[2]
        in_logging = key.startswith(("hydra.job_logging.", "hydra.hydra_logging."))
        if name == "_target_":
            is_allowed = str(value) in _CALLBACKS | installed_plugins() or is_in_package(str(value), allowed_modules())
        elif in_logging and name in ("()", "class"):
            is_allowed = str(value) in _LOGGING
        elif in_logging and isinstance(value, str) and "ext://" in value:
            is_allowed = value in _STREAMS
        elif key.startswith(_BUILT) and isinstance(value, str) and _GROUP.fullmatch(value):
            yield f"{key}={value}: could become a group that Hydra builds; write the value itself"
            continue
        else:
            continue
        if not is_allowed:
            yield (
                f"{key}={value}: not on the list of what a config may have Hydra build (plugins of hydra_plugins, "
                "Hydra's callbacks, plain log files); leave it out, or, if you trust it, add its module to the "
                f"environment variable {ALLOW_VARIABLE}"
            )
    callbacks = hydra["callbacks"].values()
    is_sweep = str(hydra["mode"]).rpartition(".")[2] == "MULTIRUN"
    if is_sweep and not any(isinstance(each, dict) and each.get("_target_") == _SWEEP_CALLBACK for each in callbacks):
        yield "hydra.callbacks: no sweep runs without the callback 'parent', which records it; add yours beside it"
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    for key, value in _leaves({name: value for name, value in plain.items() if name != "hydra"}, ""):
        if isinstance(value, str) and "@" in value and hide_secrets(value) != value:  # before Hydra writes it anywhere
            yield (
                f"{key.lstrip('.')}={hide_secrets(value)}: holds a password, which the run's records would show; put "
                "the address of a store into the environment variable MLFLOW_TRACKING_URI instead"
            )
    if hydra["job"]["env_set"]:
        yield f"hydra.job.env_set={hydra['job']['env_set']}: a config sets no environment; set it in your shell"


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield every value that is not a group, with its dotted path."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, f"{path}.{key}")
    elif isinstance(value, list | tuple):  # OmegaConf 2.4 has tuples
        for entry in value:
            yield from _leaves(entry, path)
    else:
        yield path, value
