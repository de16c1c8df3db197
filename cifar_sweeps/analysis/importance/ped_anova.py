"""Importance of a search's keys by Optuna's PED-ANOVA: which keys' values set the best arms apart from all.

It divides no variance: of continuous values tried once each, there is none within an arm. Sources: Watanabe, Bansal and
Hutter, IJCAI 2023 (arXiv 2304.10255); conditional keys: arXiv 2601.20800.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cifar_sweeps.errors import ConfigError, DataError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

INSTALL = "pip install 'cifar-sweeps[search]', or pip install 'optuna>=5,<6'"
_BEST, _LEAST_BEST = 0.1, 5
"""Part of the arms that count as the best, and how many these are at least, as Optuna's documentation advises."""
LEAST_ARMS = 2 * _LEAST_BEST
_RESAMPLES = 100
_MOST_COPIES = 4
_LOG_RATIO = 50.0
"""Of the largest to the smallest value, from which on a positive key is taken to be searched on a log scale."""
_FEW_VALUES = 8
"""Up to so many different numbers are the choices of a list."""


class OptunaMissingError(ConfigError):
    """Optuna, which the extra ``search`` installs, is not there."""


@dataclass(frozen=True)
class SearchImportance:
    """Each key's part of the importance; they add up to 1. low, high: of 95% of resampled sets of arms.

    best: the part of the arms that the importance is to be among. log_keys: taken on a log scale.
    """

    values: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    best: float
    arms: int
    log_keys: tuple[str, ...]


def search_importance(
    arms: Sequence[Mapping[str, str]], values: Sequence[float], is_lower_better: bool
) -> SearchImportance:
    """Return the importance of each key for being among the best arms.

    arms: the values of the keys of each arm; one that an arm lacks was not asked for it. values: the metric's mean of
    each. Raises OptunaMissingError without Optuna, DataError for fewer than `LEAST_ARMS` arms, or equal values.
    """
    try:
        import optuna
    except ImportError as error:
        raise OptunaMissingError(
            f"the importance of a search's keys is computed by Optuna, which is missing; {INSTALL}"
        ) from error
    if len(arms) < LEAST_ARMS:
        raise DataError(
            f"{len(arms)} arms: the importance of a search's keys needs at least {LEAST_ARMS}, of which the best "
            f"{_LEAST_BEST} are told apart from all; train more"
        )
    if len(set(values)) == 1:
        raise DataError("all arms have the same value of the metric: no key can matter")
    spaces = _spaces(arms)
    best = max(_BEST, _LEAST_BEST / len(arms))
    sign = 1.0 if is_lower_better else -1.0
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it tells of each study that it makes
    try:
        copies = _Copies([_trial(arm, sign * value, spaces) for arm, value in zip(arms, values, strict=True)], best)
        found = copies.importance(np.ones(len(arms), dtype=np.int64))
        draw = np.random.default_rng(0)
        uniform = np.full(len(arms), 1 / len(arms))
        again = [copies.importance(draw.multinomial(len(arms), uniform)) for _ in range(_RESAMPLES)]
    finally:
        optuna.logging.set_verbosity(verbosity)
    bounds = {key: np.quantile([each.get(key, 0.0) for each in again], (0.025, 0.975)) for key in spaces}
    return SearchImportance(
        {key: float(found.get(key, 0.0)) for key in spaces},
        {key: float(low) for key, (low, _) in bounds.items()},
        {key: float(high) for key, (_, high) in bounds.items()},
        best,
        len(arms),
        tuple(key for key, space in spaces.items() if getattr(space, "log", False)),
    )


def numbers(texts: Sequence[str]) -> list[float] | None:
    """Return texts as finite numbers; None if one of them is none."""
    try:
        found = [float(text) for text in texts]
    except ValueError:
        return None
    return found if all(map(math.isfinite, found)) else None


def _spaces(arms: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the range of each key's numbers, or its choices; a key with a single value is left out."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    spaces: dict[str, Any] = {}
    for key in dict.fromkeys(key for arm in arms for key in arm):
        texts = list(dict.fromkeys(arm[key] for arm in arms if key in arm))
        found = numbers(texts)
        if len(texts) < 2:
            continue
        if found is None or len(set(found)) <= _FEW_VALUES:
            spaces[key] = CategoricalDistribution(texts)
        else:
            low, high = min(found), max(found)
            spaces[key] = FloatDistribution(low, high, log=low > 0 and high / low > _LOG_RATIO)
    return spaces


def _trial(arm: Mapping[str, str], value: float, spaces: Mapping[str, Any]) -> "FrozenTrial":
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import create_trial

    keys = [key for key in spaces if key in arm]
    values = {key: arm[key] if isinstance(spaces[key], CategoricalDistribution) else float(arm[key]) for key in keys}
    return create_trial(params=values, distributions={key: spaces[key] for key in keys}, value=value)


class _Copies:
    """A study that holds each arm several times, of which a resampling counts some: to make one for each takes long."""

    def __init__(self, trials: "Sequence[FrozenTrial]", best: float) -> None:
        import optuna
        from optuna.importance import PedAnovaImportanceEvaluator

        self._study = optuna.create_study()
        self._study.add_trials([trial for trial in trials for _ in range(_MOST_COPIES)])
        self._evaluator = PedAnovaImportanceEvaluator(target_quantile=best)

    def importance(self, counts: npt.NDArray[np.int64]) -> dict[str, float]:
        """Return the parts of the keys where each arm is counted so often; more than four times (0.4%) as four."""
        from optuna.importance import get_param_importances

        def target(trial: "FrozenTrial") -> float:  # trials without a finite one are left out
            arm, copy = divmod(trial.number, _MOST_COPIES)
            return float(trial.value or 0.0) if copy < counts[arm] else math.nan

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a target is the lower the better; resampled arms that are too few
            return get_param_importances(self._study, evaluator=self._evaluator, target=target)
