"""A search with a made-up objective: nothing is trained, and each trial is told as the controller tells it."""

import math
from itertools import pairwise

import pytest

from cifar_sweeps.search.searching import SearchScheduler
from cifar_sweeps.search.space import Dimension, Space
from cifar_sweeps.search.trials import Trial

optuna = pytest.importorskip("optuna")

from cifar_sweeps.search.optuna_search.proposals import Proposer, directions, frozen  # noqa: E402

SPACE = Space(
    (
        Dimension("optimizer", choices=("adam", "sgd")),
        Dimension("lr", low=1e-4, high=1e-1, is_log=True),
        Dimension("momentum", low=0.0, high=0.95),
        Dimension("layers", low=1, high=4, is_integer=True),
    ),
    {"momentum": lambda values: values["optimizer"] == "sgd"},
)
SAMPLERS = ["tpe", "gp", "random", "qmc"]


def accuracy(values):
    """Best for sgd with lr .01, momentum .9 and three layers."""
    away = abs(math.log10(float(values["lr"])) + 2) / 2 + abs(int(values["layers"]) - 3) / 6
    return 0.9 - 0.3 * away - (0.2 * abs(float(values["momentum"]) - 0.9) if "momentum" in values else 0.1)


class Search:
    """Runs a search, one trial at a time, and keeps what was proposed."""

    def __init__(self, sampler="tpe", seed=1, trials=(), total=20, rises=(True,), space=SPACE):
        self.proposer = Proposer(space, sampler, seed, rises)
        self.objectives = (accuracy,) if len(rises) == 1 else (accuracy, lambda values: float(values["layers"]))
        self.changes = []
        self.scheduler = SearchScheduler(
            trials, total, self.proposer.propose, self.measure, lambda trial: self.changes.append(trial)
        )

    def measure(self, number):
        return tuple(each(self.scheduler.trials[number].values) for each in self.objectives)

    def run(self, endings=None, stop_at=None):
        while (assignment := self.scheduler.ask()) is not None:
            if assignment.job == stop_at:
                break
            self.scheduler.tell(assignment.job, (endings or {}).get(assignment.job, "finished"), {})
        return self

    @property
    def values(self):
        return [dict(self.scheduler.trials[number].values) for number in sorted(self.scheduler.trials)]

    def recorded(self, *unrecorded):
        """The trials as they are read again from the journals of their runs."""
        return [
            Trial(each.number, dict(reversed(each.values.items())), each.ending or "killed", each.objectives)
            for each in reversed(self.scheduler.trials.values())
            if each.number not in unrecorded
        ]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_proposal_is_of_the_space(sampler):
    search = Search(sampler, total=12).run()
    assert len(search.values) == 12
    assert all(SPACE.contains(values) for values in search.values)
    assert {values["optimizer"] for values in search.values} == {"adam", "sgd"}
    assert all(("momentum" in values) == (values["optimizer"] == "sgd") for values in search.values)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_proposes_the_same_again_and_another_one_something_else(sampler):
    one, again, other = (Search(sampler, seed, total=6).run().values for seed in (1, 1, 2))
    assert one == again
    assert one != other


KILLS = [(sampler, stop_at) for sampler in SAMPLERS for stop_at in (0, 3, 12) if sampler != "gp" or stop_at == 12]


@pytest.mark.parametrize("recorded", [True, False], ids=["killed as it trained", "killed before its record began"])
@pytest.mark.parametrize(("sampler", "stop_at"), KILLS)
def test_a_search_that_was_killed_proposes_what_it_would_have_proposed(sampler, recorded, stop_at):
    whole = Search(sampler, total=14).run()
    killed = Search(sampler, total=14).run(stop_at=stop_at)
    resumed = Search(sampler, trials=killed.recorded(*([] if recorded else [stop_at])), total=14).run()
    assert resumed.values == whole.values
    first = resumed.changes[0]
    assert (first.number, first.ending) == (stop_at, None)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_larger_total_goes_on_as_if_it_had_been_asked_for_at_once(sampler):
    begun = Search(sampler, total=10).run()
    assert Search(sampler, trials=begun.recorded(), total=12).run().values == Search(sampler, total=12).run().values


def test_nothing_is_asked_where_all_trials_are_there():
    begun = Search(total=3).run()
    assert Search(trials=begun.recorded(), total=3).scheduler.ask() is None
    assert Search(trials=begun.recorded(), total=2).scheduler.ask() is None


def test_trials_that_failed_are_run_again_as_the_same_trials():
    begun = Search(total=4).run({1: "failed", 2: "killed"})
    resumed = Search(trials=begun.recorded(), total=5)
    asked = []
    while (assignment := resumed.scheduler.ask()) is not None:
        asked.append(assignment.job)
        resumed.scheduler.tell(assignment.job, "finished", {})
    assert asked == [1, 2, 4]
    assert resumed.values[:4] == begun.values


def test_a_trial_of_which_no_record_is_left_is_proposed_again_as_it_was():
    """One that did not compose leaves no run; with those behind it known, it fails as it did."""
    whole = Search(total=13).run({11: "failed"})
    resumed = Search(trials=whole.recorded(11), total=14)
    assert resumed.scheduler.ask().job == 11
    assert dict(resumed.scheduler.trials[11].values) == whole.values[11]


def test_trials_that_run_at_once_are_proposed_apart():
    scheduler = Search(total=16).scheduler
    for _ in range(12):
        scheduler.tell(scheduler.ask().job, "finished", {})
    together = [dict(scheduler.trials[scheduler.ask().job].values) for _ in range(4)]
    assert all(one != other for one, other in pairwise(together))


def test_a_search_finds_more_than_chance():
    """Over six seeds: the best of 30 by TPE is on average above that of random proposals."""

    def best(sampler):
        return sum(max(map(accuracy, Search(sampler, seed, total=30).run().values)) for seed in range(6)) / 6

    assert best("tpe") > best("random")


def test_conditional_keys_are_searched_by_what_was_found_and_not_by_chance():
    """Momentum exists in some trials alone; once known to be best near .9, it is proposed there."""
    space = Space(SPACE.dimensions[::2], SPACE.exists)
    known = [
        Trial(number, {"optimizer": "sgd", "momentum": f"{number / 40:.3f}"}, "finished", (number / 40,))
        for number in range(38)
    ] + [Trial(number, {"optimizer": "adam"}, "finished", (0.1,)) for number in range(38, 48)]
    proposer = Proposer(space, "tpe", 0, (True,))
    found = [float(proposer.propose(known, number).get("momentum", "nan")) for number in range(48, 68)]
    found = [each for each in found if not math.isnan(each)]
    assert len(found) > 10
    assert sum(each > 0.6 for each in found) > 0.8 * len(found)


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_several_objectives_are_searched_for_together(sampler):
    search = Search(sampler, total=11, rises=(True, False)).run()
    assert search.values == Search(sampler, total=11, rises=(True, False)).run().values
    assert directions((True, False)) == ["maximize", "minimize"]
    assert all(len(each.objectives) == 2 for each in search.scheduler.trials.values())


SMALL = Space(
    (
        Dimension("model", choices=("a", "b", "c")),
        Dimension("layers", low=1, high=2, is_integer=True),
        Dimension("rate", low=0.0, high=0.4, step=0.2),
    ),
    {"rate": lambda values: values["model"] == "a"},
)


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_no_trial_is_proposed_twice_and_a_search_ends_when_all_are_tried(sampler):
    proposer = Proposer(SMALL, sampler, 3, (True,))
    scheduler = SearchScheduler([], 50, proposer.propose, lambda number: (float(number),))
    while (assignment := scheduler.ask()) is not None:
        scheduler.tell(assignment.job, "finished", {})
    tried = [tuple(each.values.items()) for each in scheduler.trials.values()]
    assert len(tried) == len(set(tried)) == 2 * 3 + 2 * 2
    assert {tuple(each.items()) for each in SMALL.combinations()} == set(tried)
    again = SearchScheduler(scheduler.trials.values(), 50, proposer.propose, lambda number: ())
    assert again.ask() is None


def test_trials_of_another_space_are_counted_and_not_learned_from():
    narrow = Space((Dimension("lr", low=1e-3, high=1e-2, is_log=True),), {})
    begun = [Trial(0, {"lr": "0.05"}, "finished", (0.9,)), Trial(1, {"lr": "0.005", "old": "1"}, "finished", (0.9,))]
    proposed = Proposer(narrow, "tpe", 0, (True,)).propose(begun, 2)
    assert narrow.contains(proposed)
    assert proposed == Proposer(narrow, "tpe", 0, (True,)).propose([], 2)


@pytest.mark.parametrize(
    ("trial", "state"),
    [
        (Trial(0, {"optimizer": "adam", "lr": "0.01", "layers": "2"}), "RUNNING"),
        (Trial(0, {"optimizer": "adam", "lr": "0.01", "layers": "2"}, "killed"), "RUNNING"),
        (Trial(0, {"optimizer": "adam", "lr": "0.01", "layers": "2"}, "failed"), "FAIL"),
        (Trial(0, {"optimizer": "adam", "lr": "0.01", "layers": "2"}, "finished"), "FAIL"),
        (Trial(0, {"optimizer": "adam", "lr": "0.01", "layers": "2"}, "finished", (math.nan,)), "FAIL"),
        (Trial(0, {"optimizer": "adam", "lr": "0.01", "layers": "2"}, "finished", (0.5,)), "COMPLETE"),
        (Trial(0, {"optimizer": "adam", "lr": "0.01", "layers": "2"}, "paused", (), {4: 0.5}), "PRUNED"),
    ],
    ids=["trains", "killed", "failed", "without a value", "not a number", "finished", "paused"],
)
def test_how_optuna_keeps_a_trial(trial, state):
    kept = frozen(trial, SPACE, 1)
    assert kept.state.name == state
    assert kept.params == {"optimizer": "adam", "lr": 0.01, "layers": 2}
    assert kept.intermediate_values == dict(trial.curve)


def test_paused_trials_are_learned_from_as_far_as_they_came():
    """Of those that early stopping has held back, the better ones draw the proposals."""
    space = Space((Dimension("x", low=0.0, high=1.0),), {})
    known = [Trial(number, {"x": f"{number / 40:.3f}"}, "paused", (), {4: number / 40}) for number in range(40)]
    proposer = Proposer(space, "tpe", 0, (True,))
    found = [float(proposer.propose(known, number)["x"]) for number in range(40, 60)]
    assert sum(each > 0.6 for each in found) > 15


def test_unknown_samplers_are_refused():
    from cifar_sweeps.errors import ConfigError

    with pytest.raises(
        ConfigError, match=r"hydra\.sweeper\.sampler=annealing: is unknown; choose tpe, gp, random, qmc"
    ):
        Proposer(SPACE, "annealing", 0, (True,))


def test_without_optuna_one_message_says_what_to_install(monkeypatch):
    import sys

    from cifar_sweeps.errors import ConfigError

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"hydra/sweeper=optuna: .*pip install 'cifar-sweeps\[search\]'"):
        Proposer(SPACE, "tpe", 0, (True,))
