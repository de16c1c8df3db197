"""Refuse the flags with which Hydra would train another config than cifar-train's, and say which files replace its own.

Imports neither torch nor mlflow.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.errors import HydraException

from cifar_sweeps.config.grid.zips import is_zip
from cifar_sweeps.config.hydra_messages import explain_words
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_overrides import parse_overrides
from cifar_sweeps.hydra_support import parse_flags

if TYPE_CHECKING:
    from argparse import Namespace

_PRIMARY = "config"
_INSTEAD = (
    "put settings of your own into study/NAME.yaml or experiment/NAME.yaml in a folder of yours, and add "
    "--config-dir FOLDER study=NAME"
)


def check_flags(arguments: Sequence[str]) -> list[str]:
    """Check what was typed after ``cifar-train``; return one line for each file that replaces one of the package's.

    Raises ConfigError for flags that would train something else than the command's own config with these overrides.
    """
    slip = None if "--shell-completion" in arguments or "-sc" in arguments else explain_words(arguments)
    if slip is not None:
        raise ConfigError(slip)
    flags = parse_flags(arguments)
    errors = [*_refused(flags)]
    if errors:
        raise ConfigError(errors)
    replaced = [] if flags.config_dir is None else _replaced(Path(flags.config_dir).expanduser())
    return [*_repeated(flags.overrides), *replaced]


def _repeated(overrides: Sequence[str]) -> Iterator[str]:
    """Yield a line for each key that is given more than once: Hydra takes the last without a word."""
    given: dict[str, list[str]] = {}
    for line in overrides:
        key, equals, value = line.lstrip("+").partition("=")
        if equals and not is_zip(line):  # two zips of one name are an error, which is told later
            given.setdefault(key, []).append(value)
    for key, values in given.items():
        if len(values) > 1:
            yield f"{key} is given {len(values)} times; the last one counts: {key}={values[-1]}"


def _refused(flags: "Namespace") -> Iterator[str]:
    if flags.config_path is not None:
        yield f"--config-path={flags.config_path}: {_repeat(flags.config_path) or f'is not taken; {_INSTEAD}'}"
    if flags.config_name not in (None, _PRIMARY, f"{_PRIMARY}.yaml"):
        yield f"--config-name={flags.config_name}: is not taken, cifar-train has one config; {_INSTEAD}"
    if flags.experimental_rerun is not None:
        yield (
            f"--experimental-rerun={flags.experimental_rerun}: is not taken, a pickled config can run any code; "
            "train a recorded run again: cifar-sweeps reproduce RUN"
        )
    if flags.multirun and "hydra.mode=RUN" in flags.overrides:
        yield "hydra.mode=RUN: asks for a single run, -m for a sweep; leave one of them out"
    yield from _unread(flags.overrides)
    if flags.config_dir is not None and not Path(flags.config_dir).is_dir():
        yield f"--config-dir={flags.config_dir}: there is no such folder"
    elif flags.config_dir is not None:
        for name in (f"{_PRIMARY}.yaml", f"{_PRIMARY}.yml"):
            if Path(flags.config_dir, name).exists():
                yield (
                    f"--config-dir={flags.config_dir}: its {name} would replace all of cifar-train's config; move it "
                    "to study/NAME.yaml or experiment/NAME.yaml there, with '# @package _global_' as its first line, "
                    "and add study=NAME or experiment=NAME"
                )
        for path in sorted(Path(flags.config_dir).glob("*/**/*.yml")):
            yield f"--config-dir={flags.config_dir}: {path} is not read; rename it to {path.with_suffix('.yaml').name}"


def _unread(overrides: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the folders of ``hydra.searchpath``, which Hydra leaves out, or reads last."""
    lines = [line for line in overrides if line.lstrip("+").startswith("hydra.searchpath=")]
    with suppress(HydraException):  # which Hydra raises again, to be explained
        for override in parse_overrides(lines):
            places = override.value()
            for place in map(str, places if isinstance(places, list) else [places]):
                scheme, _, path = place.rpartition("://")
                if scheme == "pkg" and not _is_package(path):
                    yield f"hydra.searchpath: there is no package {path}; install it, or leave it out"
                if scheme not in ("file", ""):
                    continue
                if not Path(path).is_dir():
                    yield f"hydra.searchpath: there is no folder {path}; give an existing one, or leave it out"
                for file, name in _shadowing(Path(path)):
                    yield (
                        f"hydra.searchpath: {file} would not be read, as cifar-train's own {name} comes first; rename "
                        f"it, or give the folder with --config-dir {path}, where it replaces that"
                    )
                if Path(path, f"{_PRIMARY}.yaml").exists():
                    yield f"hydra.searchpath: {path}/{_PRIMARY}.yaml would not be read; {_INSTEAD}"


def _is_package(path: str) -> bool:
    try:
        return importlib.util.find_spec(path.replace("/", ".").partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _repeat(config_path: str) -> str:
    """Return how to repeat the run whose ``.hydra`` folder was given, "" if it is none."""
    folder = Path(config_path).absolute().parent
    if not (folder / "journal.jsonl").exists():
        return ""
    from cifar_sweeps.tracking.delivery import read_delivery_state  # imports mlflow: for this message alone

    run_id = read_delivery_state(folder).run_id
    again = f"cifar-sweeps reproduce {run_id}" if run_id else "cifar-sweeps reproduce RUN"
    return f"holds what Hydra kept of a run; train that run again: {again}"


def _replaced(folder: Path) -> Iterator[str]:
    for path, name in _shadowing(folder):
        yield f"{path} replaces the {name} that comes with cifar-train"


def _shadowing(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of a folder that have the name of one of cifar-train's own, with that name."""
    own = conf_folder()
    for path in sorted(folder.rglob("*.yaml")):
        name = path.relative_to(folder)
        if len(name.parts) > 1 and (own / name).is_file() and (own / name).resolve() != path.resolve():
            yield path, name.with_suffix("").as_posix()
