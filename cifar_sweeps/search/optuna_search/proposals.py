"""Propose the next trial of a search with one of Optuna's samplers.

A proposal follows from the space, the seed, the number of the trial and the trials before it, and from nothing else: a
search that was killed proposes what it would have proposed.
"""

import hashlib
import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.search.space import Dimension, Space
from cifar_sweeps.search.trials import Trial

if TYPE_CHECKING:
    import optuna

_ATTEMPTS = 16
"""Proposals among which one is looked for that has not been tried."""

SamplerName = Literal["tpe", "gp", "random", "qmc"]


def import_optuna() -> Any:  # noqa: ANN401 (the module)
    """Return the module `optuna`, quiet. Raises ConfigError where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "hydra/sweeper=optuna: needs Optuna 5, which is not installed; pip install 'cifar-sweeps[search]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Proposer:
    """Proposes trials. sampler: its name. rises: of each objective, whether more of it is better.

    Raises ConfigError for an unknown sampler, and where Optuna is not installed.
    """

    def __init__(self, space: Space, sampler: SamplerName, seed: int, rises: Sequence[bool]) -> None:
        if sampler not in get_args(SamplerName):
            allowed = ", ".join(get_args(SamplerName))
            raise ConfigError(f"hydra.sweeper.sampler={sampler}: is unknown; choose {allowed}")
        self._optuna = import_optuna()
        self._space, self._sampler, self._seed, self._rises = space, sampler, seed, tuple(rises)
        self._points: list[dict[str, str]] = []

    def propose(self, history: Sequence[Trial], number: int) -> dict[str, str] | None:
        """Return the values of a trial, as they are typed; None if all that there are have been tried.

        history: the trials before it, of which none is proposed again: with the same seed it would end the same.
        """
        tried = {_identity(each.values) for each in history}
        with without_warnings():
            proposals = self._points_from(number) if self._sampler == "qmc" else self._asked(history, number)
            found = (each for each in islice(proposals, _ATTEMPTS) if _identity(each) not in tried)
            return next(found, None) or self._untried(tried, number)

    def _untried(self, tried: Collection[frozenset[tuple[str, str]]], number: int) -> dict[str, str] | None:
        left = [dict(each) for each in self._space.combinations() or () if _identity(each) not in tried]
        return left[_derived(self._seed, number) % len(left)] if left else None

    def _asked(self, history: Sequence[Trial], number: int) -> Iterator[dict[str, str]]:
        """Yield what the sampler proposes, one after another: it takes those before for trials that run."""
        study = self._study(self._make_sampler(_derived(self._seed, number)))
        for trial in sorted(history, key=lambda each: each.number):
            if self._space.contains(trial.values):
                study.add_trial(frozen(trial, self._space, len(self._rises)))
        while True:
            yield self._suggest(study.ask())

    def _points_from(self, number: int) -> Iterator[dict[str, str]]:
        """Yield the points of the quasi-random sequence, which depends on no result, from one on."""
        if len(self._points) < number + _ATTEMPTS:
            study = self._study(self._optuna.samplers.QMCSampler(seed=self._seed, scramble=True))
            self._points = []
            for _ in range(2 * number + _ATTEMPTS):
                trial = study.ask()
                self._points.append(self._suggest(trial))
                study.tell(trial, [0.0] * len(self._rises))
        yield from self._points[number:]

    def _study(self, sampler: "optuna.samplers.BaseSampler") -> "optuna.Study":
        study: optuna.Study = self._optuna.create_study(sampler=sampler, directions=directions(self._rises))
        return study

    def _make_sampler(self, seed: int) -> "optuna.samplers.BaseSampler":
        samplers = self._optuna.samplers
        makers = {"tpe": samplers.TPESampler, "gp": samplers.GPSampler, "random": samplers.RandomSampler}
        sampler: optuna.samplers.BaseSampler = makers[self._sampler](seed=seed)
        return sampler

    def _suggest(self, trial: "optuna.Trial") -> dict[str, str]:
        values: dict[str, str] = {}
        for each in self._space.dimensions:
            if self._space.has(each.key, values):
                values[each.key] = each.text(_suggested(trial, each))
        return values


def directions(rises: Sequence[bool]) -> list[str]:
    """Return the directions of objectives by their names in Optuna."""
    return ["maximize" if each else "minimize" for each in rises]


def frozen(trial: Trial, space: Space, objectives: int) -> "optuna.trial.FrozenTrial":
    """Return a trial as Optuna keeps it; its values must be of the space.

    One that early stopping has paused is PRUNED, with its curve, which TPE ranks behind those that have finished.
    """
    from optuna.trial import TrialState, create_trial

    state = optuna_state(trial)
    dimensions = {each.key: each for each in space.dimensions if each.key in trial.values}
    return create_trial(
        state=state,
        values=list(trial.objectives) if state == TrialState.COMPLETE else None,
        params={key: each.value(trial.values[key]) for key, each in dimensions.items()},
        distributions={key: _distribution(each) for key, each in dimensions.items()},
        # Optuna takes no reports of several objectives.
        intermediate_values=dict(trial.curve) if objectives == 1 and state == TrialState.PRUNED else None,
    )


def optuna_state(trial: Trial) -> "optuna.trial.TrialState":
    """Return the state of a trial in Optuna's words."""
    from optuna.trial import TrialState

    if trial.ending == "finished":
        is_known = bool(trial.objectives) and all(map(math.isfinite, trial.objectives))
        return TrialState.COMPLETE if is_known else TrialState.FAIL
    if trial.ending == "paused":
        return TrialState.PRUNED
    return TrialState.FAIL if trial.ending == "failed" else TrialState.RUNNING


def _suggested(trial: "optuna.Trial", dimension: Dimension) -> float | str:
    if dimension.choices:
        return str(trial.suggest_categorical(dimension.key, dimension.choices))
    if dimension.is_integer:
        step = int(dimension.step or 1)
        return trial.suggest_int(
            dimension.key, int(dimension.low), int(dimension.high), step=step, log=dimension.is_log
        )
    return trial.suggest_float(dimension.key, dimension.low, dimension.high, step=dimension.step, log=dimension.is_log)


def _distribution(dimension: Dimension) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    if dimension.is_integer:
        low, high = int(dimension.low), int(dimension.high)
        return IntDistribution(low, high, log=dimension.is_log, step=int(dimension.step or 1))
    return FloatDistribution(dimension.low, dimension.high, log=dimension.is_log, step=dimension.step)


def _identity(values: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(values.items())


def _derived(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")


@contextmanager
def without_warnings() -> Iterator[None]:
    """Without Optuna's warnings of samplers that are called experimental, at every trial."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
