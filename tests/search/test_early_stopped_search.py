"""A search under early stopping: new trials only where none is to be promoted, and the same ones after a kill."""

import math

import pytest

from cifar_sweeps.search.decisions import NAME, DecisionLog
from cifar_sweeps.search.early_stopping import Candidate, EarlyStoppingScheduler
from cifar_sweeps.search.rungs import make_ladder
from cifar_sweeps.search.searching import SearchScheduler
from cifar_sweeps.search.space import Dimension, Space
from cifar_sweeps.search.trials import Trial

pytest.importorskip("optuna")

from cifar_sweeps.search.optuna_search.proposals import Proposer

SPACE = Space((Dimension("lr", low=1e-4, high=1e-1, is_log=True), Dimension("model", choices=("a", "b"))), {})
EPOCHS, TOTAL = 9, 14


def curve_of(values, epochs):
    end = 0.9 - 0.2 * abs(math.log10(float(values["lr"])) + 2) - (0.1 if values["model"] == "b" else 0)
    return {epoch: end * (1 - 0.5**epoch) for epoch in range(1, epochs + 1)}


class World:
    """What the journals of the runs say, in the place of training; and the schedulers of one launch."""

    def __init__(self, folder):
        self.folder, self.reached, self.values, self.asked = folder, {}, {}, []

    def launch(self, kill_at=None):
        trials = SearchScheduler(
            [self._trial(number) for number in self.reached],
            TOTAL,
            Proposer(SPACE, "tpe", 0, (True,)).propose,
            lambda number: (curve_of(self.values[number], EPOCHS)[EPOCHS],),
            resumes=False,
        )

        def source():
            assignment = trials.ask()
            return None if assignment is None else Candidate(assignment.job, str(assignment.job), EPOCHS)

        scheduler = EarlyStoppingScheduler(
            [self._candidate(number) for number in self.reached],
            make_ladder("asha", eta=3, grace_epochs=1),
            DecisionLog(self.folder / NAME),
            source=source,
            listener=trials.tell,
        )
        while (assignment := scheduler.ask()) is not None:
            number = assignment.job
            if len(self.asked) == kill_at:
                return trials
            self.values[number] = dict(trials.trials[number].values)
            self.asked.append((number, assignment.until))
            self.reached[number] = assignment.until or EPOCHS
            scheduler.tell(number, self._ending(number), curve_of(self.values[number], self.reached[number]))
        return trials

    def _ending(self, number):
        return "finished" if self.reached[number] == EPOCHS else "paused"

    def _candidate(self, number):
        curve = curve_of(self.values[number], self.reached[number])
        return Candidate(number, str(number), EPOCHS, self._ending(number), curve)

    def _trial(self, number):
        curve = curve_of(self.values[number], self.reached[number])
        if self._ending(number) == "finished":
            return Trial(number, self.values[number], "finished", (curve[EPOCHS],))
        return Trial(number, self.values[number], "paused", (), curve)


@pytest.fixture
def whole(tmp_path):
    (tmp_path / "whole").mkdir()
    world = World(tmp_path / "whole")
    world.trials = world.launch()
    return world


def test_each_trial_is_proposed_once_and_few_are_trained_to_their_end(whole):
    assert sorted(whole.reached) == list(range(TOTAL))
    ends = [number for number, epochs in whole.reached.items() if epochs == EPOCHS]
    assert 1 <= len(ends) <= TOTAL // 2
    assert sum(whole.reached.values()) < TOTAL * EPOCHS * 2 / 3
    firsts = [number for number, until in whole.asked if until == 1]
    assert firsts == list(range(TOTAL))


def test_a_new_trial_is_asked_for_only_where_none_is_to_be_promoted(whole):
    third = whole.asked.index((2, 1))
    assert whole.asked[third + 1][1] == 3  # the best of the first three goes on before a fourth is proposed


def test_paused_trials_are_told_with_their_curves(whole):
    paused = [each for each in whole.trials.trials.values() if each.ending == "paused"]
    assert paused
    assert all(max(each.curve) == whole.reached[each.number] and not each.objectives for each in paused)


@pytest.mark.parametrize("kill_at", [0, 1, 4, 9, 16])
def test_a_search_that_was_killed_decides_and_proposes_what_it_would_have(tmp_path, whole, kill_at):
    world = World(tmp_path)
    world.launch(kill_at)
    world.launch()
    assert world.asked == whole.asked
    assert world.values == whole.values
    decisions = [list(DecisionLog(one.folder / NAME).decisions) for one in (world, whole)]
    assert decisions[0] == decisions[1]
