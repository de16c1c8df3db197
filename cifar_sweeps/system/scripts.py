"""How to type this project's commands in the user's shell: every command that is printed is made here."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cifar_sweeps.errors import HIDDEN

_OWN_MODULES = "CIFAR_SWEEPS_ALLOW_TARGETS"
"""Names the modules of the user's own networks; see `config.allow_list`."""


def typed(command: str, anywhere: bool = False) -> str:
    """Return what to type for ``cifar-train`` or ``cifar-sweeps``: its name, or its path where the shell has no such.

    The environment may not be activated (``make sweep``), and the shell may find another one's command. anywhere: the
    path holds in every folder, not only in this one.
    """
    script = Path(sys.executable).parent / command
    found = shutil.which(command)
    if not script.is_file() or (found is not None and Path(found).absolute() == script.absolute()):
        return command
    here = Path.cwd()
    relative = not anywhere and script.absolute().is_relative_to(here)
    return shlex.quote(str(script.absolute().relative_to(here) if relative else script.absolute()))


def shell_command(
    command: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None, anywhere: bool = False
) -> str:
    """Return a whole command to paste into a shell, quoted where it must be; anywhere: as for `typed`.

    environment: variables that it needs, put ahead of it.
    """
    return " ".join(
        [*_variables(command, arguments, environment), typed(command, anywhere), *map(shlex.quote, arguments)]
    )


def recorded_command(command: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Return a command for a record, which may be read on another machine: with the command's plain name."""
    return " ".join([*_variables(command, arguments, environment), command, *map(shlex.quote, arguments)])


def _variables(command: str, arguments: Sequence[str], environment: Mapping[str, str] | None) -> list[str]:
    """Return what stands ahead of a command; also the user's own modules, where it builds a model."""
    found = dict(environment or {})
    allowed = os.environ.get(_OWN_MODULES, "").strip()
    if allowed and (command == "cifar-train" or {*arguments[:1]} & {"extend", "reproduce", "resume"}):
        found.setdefault(_OWN_MODULES, allowed)
    return [f"{name}={shlex.quote(value)}" for name, value in found.items()]


def as_typed(recorded: str) -> str:
    """Return a `recorded_command` as it is to be typed here."""
    parts = shlex.split(recorded)
    named = next((place for place, part in enumerate(parts) if part in ("cifar-train", "cifar-sweeps")), None)
    if named is None:
        return recorded
    environment = dict(part.split("=", 1) for part in parts[:named])
    return shell_command(parts[named], parts[named + 1 :], environment)


def store_environment(outputs: str | Path, uri: str | None) -> dict[str, str]:
    """Return the variables with which a command, typed in this folder, finds these outputs and this store.

    uri: None for the store in the outputs. A password is the user's to add: it is in no record, and not printed.
    """
    found = {}
    if Path(outputs).absolute() != Path.cwd() / "outputs":
        found["CIFAR_SWEEPS_OUTPUTS"] = str(Path(outputs).absolute())
    if uri is not None and HIDDEN not in uri and not os.environ.get("CIFAR_SWEEPS_MAKE"):
        found["MLFLOW_TRACKING_URI"] = uri
    return found


def needed_environment(arguments: Sequence[str], outputs: str | Path, uri: str | None) -> dict[str, str]:
    """Return `store_environment` without what the arguments of a cifar-train say themselves."""
    found = store_environment(outputs, uri)
    for key, variable in (("outputs=", "CIFAR_SWEEPS_OUTPUTS"), ("tracking.uri=", "MLFLOW_TRACKING_URI")):
        if any(argument.startswith(key) for argument in arguments):
            found.pop(variable, None)
    return found


def sync_command(outputs: str | Path) -> str:
    """Return the command that sends what lies in an outputs folder to its store."""
    return shell_command("cifar-sweeps", ["sync"], store_environment(outputs, None))
