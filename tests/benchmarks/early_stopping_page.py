"""The page outputs/reference/early_stopping.md, from what `tests.benchmarks.early_stopping` measured."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from cifar_sweeps.search.replay import Outcome, final_values, summarize
from cifar_sweeps.search.simulation import WholeRun
from tests.benchmarks.published_curves import SOURCE, VARIABLE

_CLOSE = 0.001
_NUMBERS = " ---: |"
_HOW_FED = """\
- **cifar_sweeps**: the scheduler of real sweeps (`cifar_sweeps/search/early_stopping.py`), asked and told as the
  controller does; only workers and clock are simulated (`search/simulation.py`, as behind `cifar-sweeps replay`). Jobs
  pause at rungs, and are promoted later.
- **Optuna**: a study in memory; `ask` for each arm as it arrives, then after each epoch `report(accuracy, step=epoch)`
  and `should_prune()`. A pruned trial ends for good (`tell(state=PRUNED)`); one that comes to its last epoch is told
  its accuracy.
- **Ray Tune**: an `ASHAScheduler` alone; `on_trial_add` for each arm as it arrives, then after each epoch
  `on_trial_result` with `training_iteration` and the accuracy, and `on_trial_complete` where that says STOP or the last
  epoch has come, as Ray's controller calls them. A stopped trial ends for good.
- For all of them, a free worker takes the next arm of the order, and the arm picked is the best, by its accuracy after
  the last epoch, of those that were trained to it."""


@dataclass(frozen=True)
class Killed:
    """Sweeps that were killed and went on.

    kills: how often each. promotions, justified: of all of them, and how many follow from the curves. same: how many
    sweeps took the decisions of the undisturbed one.
    """

    rule: str
    workers: int
    kills: int
    outcomes: list[Outcome]
    promotions: int
    justified: int
    same: int


Results = dict[str, dict[int, list[Outcome]]]
"""By rule and number of workers, an outcome for each order."""


@dataclass(frozen=True)
class Measured:
    """All that was measured. small: sweeps of ``small_size`` arms. versions: of the rivals."""

    runs: Sequence[WholeRun]
    results: Results
    small: Results
    small_size: int
    killed: Sequence[Killed]
    versions: Mapping[str, str]
    default: str


def make_page(measured: Measured, machine: Mapping[str, Any]) -> str:
    """Return the page as Markdown."""
    parts = [
        *_introduction(measured),
        *_by_workers(measured),
        *_small_sweeps(measured),
        *_kills(measured.killed),
        "## How each was fed",
        _HOW_FED,
        "## Do it again",
        f"    {VARIABLE}=FILE.csv BENCHMARK_OPTUNA_PYTHON=ENV/bin/python BENCHMARK_RAY_PYTHON=ENV/bin/python "
        "python -m tests.benchmarks early_stopping",
        _made_with(measured.versions, machine),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(measured: Measured) -> Iterator[str]:
    runs, epochs = measured.runs, measured.runs[0].epochs
    by_workers = measured.results[measured.default]
    found = [summarize(outcomes) for outcomes in by_workers.values()]
    yield f"# Early stopping: what it saves, and what it loses, on {len(runs)} published learning curves"
    yield (
        f"The curves: validation error after each of {epochs} epochs of {len(runs)} random configurations (batch size, "
        f"learning rate, units of three layers) of a small CNN on CIFAR-10, of {SOURCE}. They are not part of this "
        f"project. Here they are accuracies, and an epoch of a configuration takes 1/{epochs} of its recorded seconds."
    )
    yield (
        f"Every rule is told the same curves, in the same {found[0].orders} random orders of arrival, by workers on a "
        "virtual clock. Epochs, seconds and wall clock are shares of what no early stopping takes with as many workers "
        "(means over the orders). Regret is the accuracy after the last epoch of the best of all arms, less that of "
        f"the arm picked. Within {_CLOSE:g}: in how many of the orders the arm picked is at most so much worse; best "
        "picked: in how many it is the best itself."
    )
    shares = _and(f"{each.epochs:.1%}" for each in found)
    regrets = [f"{each.regret:.5f}" for each in found]
    regrets_90 = [f"{each.regret_90:.5f}" for each in found]
    yield (
        f"**With {_and(map(str, by_workers))} workers, the defaults train {shares} of the epochs. The median regret is "
        f"{_and(regrets)}, and nine of ten orders do not exceed {_and(regrets_90)}.**"
    )
    yield _best_arms(measured)


def _best_arms(measured: Measured) -> str:
    runs = measured.runs
    final, by_arm = final_values(runs), {run.arm: run for run in runs}

    def place(arm: str, epoch: int) -> int:
        return 1 + sum(run.curve[epoch] > by_arm[arm].curve[epoch] for run in runs)

    ranked = sorted(final, key=lambda arm: -final[arm])
    picked = [
        ranked.index(each.picked) + 1 for outcomes in measured.results[measured.default].values() for each in outcomes
    ]
    picks = [f"number {rank} in {picked.count(rank)}" for rank in sorted(set(picked))]
    texts = [
        f"{final[arm]:.5f} (after epochs 1, 4 and 16 number {_and(str(place(arm, epoch)) for epoch in (1, 4, 16))})"
        for arm in ranked[:3]
    ]
    return (
        f"The three best arms at the end: {'; '.join(texts)}. Of {len(picked)} sweeps, of all orders and workers, the "
        f"defaults picked {_and(picks)}."
    )


def _by_workers(measured: Measured) -> Iterator[str]:
    for workers in measured.results[measured.default]:
        yield f"## {workers} worker{'s' if workers > 1 else ''}"
        yield _table({rule: outcomes[workers] for rule, outcomes in measured.results.items()})


def _small_sweeps(measured: Measured) -> Iterator[str]:
    (workers,) = measured.small[measured.default]
    yield f"## Sweeps of {measured.small_size} arms"
    yield (
        f"Most grids are smaller. {len(measured.small[measured.default][workers])} times {measured.small_size} of the "
        f"arms were drawn, each time in an order of their own, for {workers} workers. Regret is against the best of "
        "the arms drawn."
    )
    yield _table({rule: outcomes[workers] for rule, outcomes in measured.small.items()})


def _table(results: Mapping[str, Sequence[Outcome]]) -> str:
    within = f"within {_CLOSE:g}"
    headings = ("epochs", "seconds", "wall clock", "regret: median", "90%", "worst", within, "best picked")
    lines = [f"| rule | {' | '.join(headings)} |", f"| --- |{_NUMBERS * len(headings)}"]
    for rule, outcomes in results.items():
        each = summarize(outcomes)
        shares = [f"{share:.1%}" for share in (each.epochs, each.seconds, each.wall_clock)]
        regrets = [f"{regret:.5f}" for regret in (each.regret, each.regret_90, each.regret_worst)]
        close = fmean(outcome.regret <= _CLOSE for outcome in outcomes)
        lines.append(f"| {' | '.join([rule, *shares, *regrets, f'{close:.0%}', f'{each.best_picked:.0%}'])} |")
    return "\n".join(lines)


def _kills(killed: Sequence[Killed]) -> Iterator[str]:
    yield "## Killed and resumed"
    yield (
        f"The same sweeps with the defaults, each killed at {killed[0].kills} random moments with all jobs that run, "
        "and restored from its file of decisions and the curves so far alone. A kill costs the epochs that were under "
        "way. With one worker, every decision must be the undisturbed sweep's. With several, jobs end in another order "
        "after a kill; each promotion must still follow from the values that are journaled with it, and these must be "
        "the curves'."
    )
    headings = ("workers", "epochs", "seconds", "regret: median", "90%", "worst", "same decisions", "promotions follow")
    lines = [f"| {' | '.join(headings)} |", f"|{_NUMBERS * len(headings)}"]
    for each in killed:
        found = summarize(each.outcomes)
        shares = [f"{share:.1%}" for share in (found.epochs, found.seconds)]
        regrets = [f"{regret:.5f}" for regret in (found.regret, found.regret_90, found.regret_worst)]
        same = f"{each.same} of {found.orders} sweeps"
        follow = f"{each.justified:,} of {each.promotions:,}"
        lines.append(f"| {' | '.join([str(each.workers), *shares, *regrets, same, follow])} |")
    yield "\n".join(lines)


def _made_with(versions: Mapping[str, str], machine: Mapping[str, Any]) -> str:
    tools = "".join(f"{tool} {version}, " for tool, version in versions.items())
    commit, clean = str(machine["git_commit"])[:8], machine["git_clean"] == "yes"
    return (
        f"{tools}Python {machine['python']}, {machine['cpu']}, {machine['platform']}, commit {commit}"
        f"{'' if clean else ' and changes'}, {str(machine['date'])[:10]}. The machine's speed is in none of the "
        "figures: the clock is the recorded one."
    )


def _and(texts: Iterable[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
