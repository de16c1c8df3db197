"""Modules outside this package that a config may name as `_target_`."""

import os
import shlex
from collections.abc import Iterable

ALLOW_VARIABLE = "CIFAR_SWEEPS_ALLOW_TARGETS"
"""Environment variable with the allowed modules, comma-separated."""


def allowed_modules() -> tuple[str, ...]:
    """Return the modules that the environment variable lists."""
    return tuple(name.strip() for name in os.environ.get(ALLOW_VARIABLE, "").split(",") if name.strip())


def is_in_package(name: str, packages: Iterable[str]) -> bool:
    """Return whether a dotted name is one of the packages, or inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def allowing(target: object) -> str:
    """Return the value of the variable that would allow a target's module besides those that it allows now."""
    module = str(target).rpartition(".")[0] or str(target)
    return shlex.quote(",".join([*allowed_modules(), module]))
