"""Known learning curves told to a rule that stops trials, epoch by epoch, as workers on a virtual clock would.

`optuna_pruner.py` and `ray_asha.py` read a task from a JSON file, {"curves": metric by arm and epoch, "seconds": of an
epoch by arm, "orders": of arrival, "workers": [numbers], "grace_epochs", "eta"}, and print what their rules trained:
{"versions": {...}, "settings": {name: {workers: [{"epochs": by arm, "wall_clock": seconds}, ... by order]}}}.
"""

import heapq
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class StoppingRule(Protocol):
    """A tool's decision over trials that are numbered as they arrive."""

    def start(self, trial: int) -> None:
        """Add a trial."""

    def goes_on(self, trial: int, epoch: int, value: float, is_last: bool) -> bool:
        """Take in a trial's value after an epoch; return whether it trains another one."""


def run_rule(
    rule: StoppingRule, order: Sequence[int], curves: Sequence[Sequence[float]], seconds: Sequence[float], workers: int
) -> dict[str, Any]:
    """Return how many epochs of each arm the rule trained, and the clock at the end."""
    epochs, clock = [0] * len(curves), 0.0
    waiting = iter(enumerate(order))
    under_way: list[tuple[float, int, int, int]] = []  # end of an epoch, trial, arm, epoch

    def start(now: float) -> None:
        for trial, arm in waiting:
            rule.start(trial)
            heapq.heappush(under_way, (now + seconds[arm], trial, arm, 1))
            return

    for _ in range(workers):
        start(0.0)
    while under_way:
        clock, trial, arm, epoch = heapq.heappop(under_way)
        epochs[arm] = epoch
        is_last = epoch == len(curves[arm])
        if rule.goes_on(trial, epoch, curves[arm][epoch - 1], is_last) and not is_last:
            heapq.heappush(under_way, (clock + seconds[arm], trial, arm, epoch + 1))
        else:
            start(clock)
    return {"epochs": epochs, "wall_clock": clock}


def answer(settings: Callable[[Mapping[str, Any]], Mapping[str, Callable[[], StoppingRule]]], versions: object) -> None:
    """Read the task that the command line names, and print what each setting makes of it. settings: rules by name."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = {
        name: {
            str(workers): [
                run_rule(make_rule(), order, task["curves"], task["seconds"], workers) for order in task["orders"]
            ]
            for workers in task["workers"]
        }
        for name, make_rule in settings(task).items()
    }
    print(json.dumps({"versions": versions, "settings": found}))
