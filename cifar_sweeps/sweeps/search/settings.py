"""The settings of a search: checked, and told to a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cifar_sweeps.config.schema import RunConfig, Sweep
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.search.optuna_search.proposals import SamplerName
from cifar_sweeps.search.trials import OBJECTIVES, Objective
from cifar_sweeps.sweeps.early_stopping import common_settings, describe_rungs, idle_settings
from cifar_sweeps.sweeps.search.space_of_overrides import SearchSpace


@dataclass(frozen=True)
class SearchSettings:
    """What ``conf/hydra/sweeper/optuna.yaml`` sets."""

    n_trials: int
    sampler: SamplerName
    seed: int
    objectives: tuple[Objective, ...]
    conditions: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)


def check_settings(settings: SearchSettings) -> None:
    """Raise ConfigError for settings that are none."""
    errors = []
    if isinstance(settings.n_trials, bool) or not isinstance(settings.n_trials, int) or settings.n_trials < 1:
        errors.append(f"hydra.sweeper.n_trials={settings.n_trials}: must be an integer, at least 1")
    if isinstance(settings.seed, bool) or not isinstance(settings.seed, int):
        errors.append(f"hydra.sweeper.seed={settings.seed}: must be an integer")
    unknown = [str(each) for each in settings.objectives if each not in OBJECTIVES]
    if unknown or not settings.objectives or len(set(settings.objectives)) < len(settings.objectives):
        shown = f"[{','.join(map(str, settings.objectives))}]"
        errors.append(f"hydra.sweeper.objectives={shown}: must be some of {', '.join(OBJECTIVES)}, each once")
    if errors:
        raise ConfigError(errors)


def check_objectives(configs: Sequence[RunConfig], settings: SearchSettings) -> None:
    """Raise ConfigError where early stopping differs among trials, or compares by something else than is looked for."""
    sweep = common_settings(configs) or configs[0].sweep
    if sweep.early_stopping != "none" and settings.objectives != (sweep.metric,):
        raise ConfigError(
            f"sweep.early_stopping={sweep.early_stopping}: compares by {sweep.metric}, and the search looks for "
            f"{', '.join(settings.objectives)}; set both to one: hydra.sweeper.objectives=[{sweep.metric}]"
        )
    lengths = {config.total_epochs for config in configs}
    if sweep.early_stopping != "none" and len(lengths) > 1:
        raise ConfigError(
            "sweep.early_stopping: the trials of a search must be equally long; do not search their epochs"
        )


def describe_search(space: SearchSpace, settings: SearchSettings, total: int, config: RunConfig) -> list[str]:
    """Return lines that say what is searched. total: how many trials there will be. config: of one of them."""
    lines = [f"Search ({settings.sampler}) for {' and '.join(settings.objectives)}, {total} trials, over"]
    for each in space.space.dimensions:
        if each.choices:
            values = ", ".join(each.choices)
        else:
            kind = "integers" if each.is_integer else "numbers"
            values = f"{kind} from {each.text(each.low)} to {each.text(each.high)}"
            values += f", step {each.step:g}" if each.step else ""
            values += ", logarithmic" if each.is_log else ""
        condition = space.conditions.get(each.key)
        lines.append(f"  {each.key}: {values}" + (f"; only if {condition.text}" if condition else ""))
    if total < settings.n_trials:
        lines.append(f"There are {total} combinations, and not the {settings.n_trials} of hydra.sweeper.n_trials.")
    metric = config.sweep.metric
    if config.sweep.early_stopping == "none" and metric != Sweep.metric and settings.objectives != (metric,):
        lines.append(
            f"sweep.metric={metric}: has no effect without early stopping; what a search looks for is "
            f"hydra.sweeper.objectives=[{metric}]"
        )
    lines.extend(idle_settings(config.sweep, ("eta", "grace_epochs")))  # a search without metric was told above
    if config.sweep.early_stopping != "none":
        lines.append(describe_rungs(config.sweep, [config.total_epochs]))
        if settings.sampler == "gp":
            lines.append("gp learns from the trials alone that are trained to their ends; tpe from paused ones, too.")
    return lines
