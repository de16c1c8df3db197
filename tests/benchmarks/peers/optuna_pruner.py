"""Optuna's SuccessiveHalvingPruner over known learning curves: report and should_prune after each epoch.

python tests/benchmarks/peers/optuna_pruner.py TASK.json
Requirements: optuna>=5,<6  (pip install, in an environment of its own)
`python -m tests.benchmarks early_stopping` measures it where BENCHMARK_OPTUNA_PYTHON names that environment's python.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import optuna
from arrivals import StoppingRule, answer
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import Trial, TrialState


class OptunaRule:
    """A study in memory, asked and told as a loop over epochs would."""

    def __init__(self, **pruner: int) -> None:
        sampler = optuna.samplers.RandomSampler(seed=0)  # of nothing: the arms are given
        self.study = optuna.create_study(
            direction="maximize", sampler=sampler, pruner=SuccessiveHalvingPruner(**pruner)
        )
        self.trials: dict[int, Trial] = {}

    def start(self, trial: int) -> None:
        self.trials[trial] = self.study.ask()

    def goes_on(self, trial: int, epoch: int, value: float, is_last: bool) -> bool:
        its_trial = self.trials[trial]
        its_trial.report(value, step=epoch)
        if its_trial.should_prune():
            self.study.tell(its_trial, state=TrialState.PRUNED)
            return False
        if is_last:
            self.study.tell(its_trial, value)
        return not is_last


def settings(task: Mapping[str, Any]) -> Mapping[str, Callable[[], StoppingRule]]:
    grace, eta = task["grace_epochs"], task["eta"]
    return {
        f"SuccessiveHalvingPruner(min_resource={grace}, reduction_factor={eta})": partial(
            OptunaRule, min_resource=grace, reduction_factor=eta
        ),
        "SuccessiveHalvingPruner()": OptunaRule,
    }


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    answer(settings, {"Optuna": optuna.__version__})
