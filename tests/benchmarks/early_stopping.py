"""Early stopping over published learning curves, beside Optuna's pruner and Ray Tune's ASHA, fed in the same orders.

The curves are those that CIFAR_SWEEPS_CURVES names; the rivals are measured where BENCHMARK_OPTUNA_PYTHON and
BENCHMARK_RAY_PYTHON name the pythons of their environments. Writes outputs/reference/early_stopping.md too.
"""

import json
import os
import random
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cifar_sweeps.search import replay
from cifar_sweeps.search.decisions import Decision, DecisionLog, read_decisions
from cifar_sweeps.search.rungs import Ladder, MedianRule, SuccessiveHalving
from cifar_sweeps.search.scheduler import GridScheduler
from cifar_sweeps.search.simulation import Training, WholeRun, simulate
from tests.benchmarks import published_curves
from tests.benchmarks.early_stopping_page import Killed, Measured, Results, make_page
from tests.benchmarks.measuring import CHECKOUT, Outcome, machine
from tests.search.decision_audit import is_justified

THREADS = "1"
WORKERS = (1, 4, 16)
DEFAULT = "asha (the default: eta=4 grace_epochs=4)"
RULES: dict[str, Ladder] = {
    DEFAULT: SuccessiveHalving(4, 4),
    "asha grace_epochs=2": SuccessiveHalving(4, 2),
    "asha grace_epochs=1": SuccessiveHalving(4, 1),
    "asha eta=3": SuccessiveHalving(3, 4),
    "median": MedianRule(4),
}
NONE = "no early stopping"
PEERS = {"optuna_pruner": "BENCHMARK_OPTUNA_PYTHON", "ray_asha": "BENCHMARK_RAY_PYTHON"}
PAGE = CHECKOUT / "outputs" / "reference" / "early_stopping.md"
SMALL = 32
"""Arms of a small sweep."""
_KILLS = 10
_SEED = 0


@dataclass(frozen=True)
class Arrivals:
    """Sweeps to replay: each the numbers of its arms, in the order in which they come. workers: of which numbers."""

    runs: Sequence[WholeRun]
    orders: Sequence[Sequence[int]]
    workers: Sequence[int]

    def of(self, order: Sequence[int]) -> list[WholeRun]:
        """Return the runs of a sweep, by their arms' numbers."""
        return [self.runs[number] for number in sorted(order)]

    def whole(self, order: Sequence[int], workers: int) -> Training:
        """Return what no early stopping trains."""
        runs, names = self.of(order), list(map(str, order))
        return simulate(runs, lambda _: GridScheduler(replay.in_order(runs, names)), workers)


def measure(quick: bool) -> Outcome:
    """Replay every rule; write the page, unless it is quick."""
    runs = published_curves.drawn(24, 12) if quick else published_curves.published()
    count = 3 if quick else 60
    orders = [[int(arm) for arm in order] for order in replay.draw_orders(runs, count, _SEED)]
    draw = random.Random(_SEED)
    small = [draw.sample(range(len(runs)), min(SMALL, len(runs) // 2)) for _ in range(4 if quick else 200)]
    all_arms, few_arms = Arrivals(runs, orders, WORKERS), Arrivals(runs, small, (4,))
    versions: dict[str, str] = {}
    results = {NONE: _ours(all_arms, None), **{rule: _ours(all_arms, ladder) for rule, ladder in RULES.items()}}
    results |= _of_peers(all_arms, versions)
    of_small = {rule: _ours(few_arms, ladder) for rule, ladder in RULES.items()} | _of_peers(few_arms, versions)
    killed = [_killed(all_arms, DEFAULT, workers) for workers in WORKERS]
    measured = Measured(runs, results, of_small, len(small[0]), killed, versions, DEFAULT)
    if not quick:
        PAGE.write_text(make_page(measured, machine()), encoding="utf-8")
    return _figures(measured)


def _ours(arrivals: Arrivals, ladder: Ladder | None) -> dict[int, list[replay.Outcome]]:
    found: dict[int, list[replay.Outcome]] = {}
    for workers in arrivals.workers:
        for order in arrivals.orders:
            runs, names, whole = arrivals.of(order), list(map(str, order)), arrivals.whole(order, workers)
            stopped = whole
            if ladder is not None:
                stopped = simulate(runs, replay.early_stopping(runs, ladder, names, rises=True), workers)
            found.setdefault(workers, []).append(replay.outcome(runs, whole, stopped, rises=True))
    return found


def _of_peers(arrivals: Arrivals, versions: dict[str, str]) -> Results:
    """Return what the rivals' rules make of the same arrivals; their versions are added."""
    found: Results = {}
    for script, variable in PEERS.items():
        if os.environ.get(variable):
            answer = _ask_peer(script, os.environ[variable], arrivals)
            versions |= answer["versions"]
            (tool,) = answer["versions"]
            for setting, by_workers in answer["settings"].items():
                found[f"{tool} {setting}"] = {
                    workers: [
                        _peer_outcome(arrivals, order, workers, trained)
                        for order, trained in zip(arrivals.orders, by_workers[str(workers)], strict=True)
                    ]
                    for workers in arrivals.workers
                }
    return found


def _ask_peer(script: str, python: str, arrivals: Arrivals) -> dict[str, dict[str, dict[str, list[dict[str, object]]]]]:
    task = {
        "curves": [list(run.curve.values()) for run in arrivals.runs],
        "seconds": [run.seconds[0] for run in arrivals.runs],
        "orders": [list(order) for order in arrivals.orders],
        "workers": list(arrivals.workers),
        "grace_epochs": 4,
        "eta": 4,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "task.json")
        path.write_text(json.dumps(task), encoding="utf-8")
        command = [python, str(CHECKOUT / "tests" / "benchmarks" / "peers" / f"{script}.py"), str(path)]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(told.stdout)


def _peer_outcome(
    arrivals: Arrivals, order: Sequence[int], workers: int, trained: Mapping[str, object]
) -> replay.Outcome:
    runs, by_arm = arrivals.of(order), trained["epochs"]
    epochs = tuple(by_arm[number] for number in sorted(order))
    seconds = sum(sum(run.seconds[:reached]) for run, reached in zip(runs, epochs, strict=True))
    stopped = Training(epochs, seconds, float(trained["wall_clock"]))
    return replay.outcome(runs, arrivals.whole(order, workers), stopped, rises=True)


def _killed(arrivals: Arrivals, rule: str, workers: int) -> Killed:
    """Kill each sweep at random moments; it goes on from its file of decisions and its curves alone."""
    runs, ladder, draw = arrivals.runs, RULES[rule], random.Random(_SEED)
    outcomes, promotions, same = [], list[Decision](), 0
    for order in arrivals.orders:
        make = partial(replay.early_stopping, runs, ladder, list(map(str, order)), rises=True)
        kept = DecisionLog(None)
        undisturbed = simulate(runs, make(open_log=lambda log=kept: log), workers)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "decisions.jsonl")
            kills = [draw.uniform(0, undisturbed.wall_clock) for _ in range(_KILLS)]
            stopped = simulate(runs, make(open_log=partial(DecisionLog, path)), workers, kills)
            taken = read_decisions(path)
        promotions += [decision for decision in taken if decision.kind != "start"]
        same += taken == kept.decisions
        outcomes.append(replay.outcome(runs, arrivals.whole(order, workers), stopped, rises=True))
    justified = sum(is_justified(decision, runs, ladder) for decision in promotions)
    return Killed(rule, workers, _KILLS, outcomes, len(promotions), justified, same)


def _figures(measured: Measured) -> Outcome:
    orders = len(measured.results[NONE][1])
    told = Outcome(f"Early stopping over {len(measured.runs)} whole learning curves, {orders} orders of arrival")
    for workers, outcomes in measured.results[DEFAULT].items():
        key, name = f"early_stopping/{workers}", f"the defaults, {workers} workers"
        _add(told, key, name, outcomes)
        told.add(
            f"{key}/regret_90", f"{name}: regret that 9 of 10 do not exceed", [replay.summarize(outcomes).regret_90]
        )
    for rule, by_workers in measured.results.items():
        if rule != DEFAULT:
            _add(told, f"early_stopping/{WORKERS[1]}/{rule}", f"{rule}, {WORKERS[1]} workers", by_workers[WORKERS[1]])
    for each in measured.killed:
        key, name = f"early_stopping/killed/{each.workers}", f"the defaults, {each.workers} workers, killed"
        _add(told, key, name, each.outcomes)
        told.add(f"{key}/justified", f"{name}: promotions that follow", [each.justified / each.promotions])
        if each.workers == 1:
            told.add(f"{key}/same", f"{name}: sweeps with the same decisions", [each.same / orders])
    rivals = ", ".join(f"{tool} {version}" for tool, version in measured.versions.items())
    told.notes = [
        f"rivals measured: {rivals or 'none, see the head of this module'}",
        f"all of it: {PAGE.relative_to(CHECKOUT)} (not with --quick)",
    ]
    return told


def _add(told: Outcome, key: str, name: str, outcomes: Sequence[replay.Outcome]) -> None:
    told.add(f"{key}/epochs", f"{name}: share of the epochs", [each.epochs for each in outcomes])
    told.add(f"{key}/regret", f"{name}: regret", [each.regret for each in outcomes])
