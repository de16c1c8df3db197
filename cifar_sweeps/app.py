"""cifar-train: the Hydra application. Composition, sweeps and flags are Hydra's; errors are one clear message each."""

import re
import sys
from collections.abc import Callable, Iterator

from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from cifar_sweeps.config.grid.zips import is_zip, stand_in
from cifar_sweeps.config.hydra_targets import check_hydra_targets, hydra_allow_list
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.config.sweep_composer import SweepComposerCache
from cifar_sweeps.hydra_composition_cache import composition_cache
from cifar_sweeps.hydra_overrides import parse_overrides
from cifar_sweeps.hydra_support import AbortHydra, hooks, hydra_application
from cifar_sweeps.sweeps.callback import SweepCallback
from cifar_sweeps.sweeps.checks.doors import check_flags
from cifar_sweeps.sweeps.command import Command
from cifar_sweeps.sweeps.terminal.help_text import help_text
from cifar_sweeps.system.files import expand_home
from cifar_sweeps.system.gc_control import imports_without_gc, skip_final_gc
from cifar_sweeps.system.signals import exit_on_interrupt


def train(cfg: DictConfig) -> float | None:
    """Train one job; what it returns is the objective that an optimising sweeper maximises."""
    try:
        with imports_without_gc():  # torch and mlflow: not for --help, --cfg and tab completion
            from cifar_sweeps.sweeps.train_job import train_job
    except Exception as error:  # too little memory for them, for example
        raise AbortHydra(error) from error

    return train_job(cfg)


def main() -> None:
    """Run the command and exit with its status: 0 if all was trained, 1 if anything failed."""
    if sys.platform == "win32":
        sys.exit(
            "cifar-train runs on Linux and macOS. On Windows use it inside WSL: the jobs of a sweep, their progress "
            "and the atomic writing of files need a POSIX system."
        )
    exit_on_interrupt()
    skip_final_gc()
    sys.argv[1:] = [*map(_with_home, _flags_first(sys.argv[1:]))]
    if not {"--help", "-h"}.isdisjoint(sys.argv):
        sys.argv[1:] = [*_without_sweeps(sys.argv[1:])]
    command = Command()

    def introduce(callback: Callback) -> None:
        if isinstance(callback, SweepCallback):
            callback.command = command

    rules = hooks(
        check=_check_config,
        compose=SweepComposerCache(),
        on_callback=introduce,
        allow_list=hydra_allow_list(),
        help_text=help_text,
        stand_in=stand_in,
    )
    with rules, composition_cache():
        sys.exit(command.run(_checked(hydra_application(train, conf_folder()))))


def _check_config(config: DictConfig) -> None:
    """Check a composed config before anything is built of it, with the home folder in the places of its files."""
    check_hydra_targets(config)
    if "outputs" not in config:  # --hydra-help composes Hydra's own config alone
        return
    if not OmegaConf.is_interpolation(config, "outputs"):
        with read_write(config):
            config.outputs = expand_home(str(config.outputs))
    for node in (config.hydra.run, config.hydra.sweep):
        unresolved = OmegaConf.to_container(node, resolve=False)
        place = unresolved.get("dir") if isinstance(unresolved, dict) else None
        if isinstance(place, str) and place.startswith("~"):
            with read_write(node):
                node.dir = expand_home(place)


def _checked(entry: Callable[[], object]) -> Callable[[], object]:
    """Return the application behind the check of its flags."""

    def run() -> object:
        for line in check_flags(sys.argv[1:]):
            sys.stderr.write(f"{line}\n")
        return entry()

    return run


def _flags_first(arguments: list[str]) -> list[str]:
    """Move -m to the front: Hydra's parser takes it ahead of the overrides alone; people write it anywhere."""
    return sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))  # sorting keeps the order


_HOME = re.compile(r"(?<=[=,\[])~[^/,\]\s]*(?=/|,|\]|$)")


def _with_home(argument: str) -> str:
    """Replace ``~`` where a value begins with it: shells do so at a word's start alone, and Hydra reads no ``~``."""
    if argument.startswith("~"):  # Hydra's own sign for a deletion
        return argument
    return _HOME.sub(lambda found: expand_home(found.group()), argument)


def _without_sweeps(arguments: list[str]) -> Iterator[str]:
    """Leave out the keys that a sweep varies, for --help: Hydra composes one config for it, also with -m."""
    for argument in arguments:
        try:
            is_sweep = is_zip(argument) or ("=" in argument and parse_overrides([argument])[0].is_sweep_override())
        except HydraException:  # which is explained where Hydra reads it
            is_sweep = False
        if not is_sweep:
            yield argument


if __name__ == "__main__":
    main()
