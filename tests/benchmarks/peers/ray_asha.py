"""Ray Tune's ASHAScheduler over known learning curves: on_trial_result after each epoch, on trials without processes.

python tests/benchmarks/peers/ray_asha.py TASK.json
Requirements: ray[tune]  (pip install, in an environment of its own)
`python -m tests.benchmarks early_stopping` measures it where BENCHMARK_RAY_PYTHON names that environment's python.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import ray
from arrivals import StoppingRule, answer
from ray.tune.schedulers import ASHAScheduler, TrialScheduler


class RayRule:
    """A scheduler that is told as Ray's controller tells it. It reads nothing of a trial but its id."""

    def __init__(self, **options: int) -> None:
        self.scheduler = ASHAScheduler(metric="accuracy", mode="max", **options)
        self.trials: dict[int, SimpleNamespace] = {}

    def start(self, trial: int) -> None:
        self.trials[trial] = SimpleNamespace(trial_id=str(trial))
        self.scheduler.on_trial_add(None, self.trials[trial])

    def goes_on(self, trial: int, epoch: int, value: float, is_last: bool) -> bool:
        result = {"training_iteration": epoch, "accuracy": value}
        decision = self.scheduler.on_trial_result(None, self.trials[trial], result)
        if decision == TrialScheduler.STOP or is_last:
            self.scheduler.on_trial_complete(None, self.trials[trial], result)
            return False
        return True


def settings(task: Mapping[str, Any]) -> Mapping[str, Callable[[], StoppingRule]]:
    grace, eta, epochs = task["grace_epochs"], task["eta"], max(map(len, task["curves"]))
    return {
        f"ASHAScheduler(max_t={epochs}, grace_period={grace}, reduction_factor={eta})": partial(
            RayRule, max_t=epochs, grace_period=grace, reduction_factor=eta
        ),
        f"ASHAScheduler(max_t={epochs})": partial(RayRule, max_t=epochs),
    }


if __name__ == "__main__":
    answer(settings, {"Ray": ray.__version__})
