"""The study of a search as Optuna's journal file, which optuna-dashboard opens.

It is a copy: what is proposed follows from the journals of the runs. A file that is lost, damaged or says something
else than these is written anew.
"""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_sweeps.search.optuna_search.proposals import (
    directions,
    frozen,
    import_optuna,
    optuna_state,
    without_warnings,
)
from cifar_sweeps.search.space import Space
from cifar_sweeps.search.trials import Trial

if TYPE_CHECKING:
    import optuna

NAME = "optuna.journal"


class StudyFile:
    """An Optuna study in a sweep's folder, kept as the trials of the search are.

    name: of the study. objectives: their names, and rises: whether more of each is better. trials: those that there
    are. was_rewritten: whether a file that was there did not agree with them.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        space: Space,
        objectives: Sequence[str],
        rises: Sequence[bool],
        trials: Iterable[Trial],
    ) -> None:
        self._optuna = import_optuna()
        self._path, self._name, self._space = folder / NAME, name, space
        self._objectives, self._rises = list(objectives), list(rises)
        known = sorted((each for each in trials if space.contains(each.values)), key=lambda each: each.number)
        self._numbers: dict[int, int] = {}
        """The number of each of our trials in the file."""
        was_there = self._path.exists()
        self._path.with_name(f"{NAME}.lock").unlink(missing_ok=True)  # of a process that was killed: the sweep is ours
        study = self._open() if was_there else None
        agrees = study is not None and self._agrees(study, known)
        self.was_rewritten = bool(known) and not agrees
        if study is None or not agrees:
            study = self._write_anew(known)
        self._study = study

    def update(self, trial: Trial) -> None:
        """Write how a trial stands. One that Optuna has seen end stays as it is, until the next launch writes anew."""
        if not self._space.contains(trial.values):
            return
        if trial.number not in self._numbers:
            self._add(self._study, trial)
            return
        number = self._numbers[trial.number]
        state, states = optuna_state(trial), self._optuna.trial.TrialState
        if self._study.trials[number].state != states.RUNNING or state in (states.RUNNING, states.PRUNED):
            return  # a paused trial may go on: it is PRUNED when the sweep has ended
        values = list(trial.objectives) if state == states.COMPLETE else None
        self._study.tell(number, values, state)

    def close(self, trials: Iterable[Trial]) -> None:
        """Write of the paused trials that they are: nothing goes on any more."""
        states = self._optuna.trial.TrialState
        for trial in trials:
            number = self._numbers.get(trial.number)
            if trial.ending != "paused" or number is None or self._study.trials[number].state != states.RUNNING:
                continue
            if len(self._rises) == 1:
                for epoch, value in trial.curve.items():
                    self._study._storage.set_trial_intermediate_value(
                        self._study.trials[number]._trial_id, epoch, value
                    )
            self._study.tell(number, state=states.PRUNED if len(self._rises) == 1 else states.FAIL)

    def _open(self) -> "optuna.Study | None":
        with contextlib.suppress(Exception):  # whatever is in it: it is written anew
            study: optuna.Study = self._optuna.load_study(study_name=self._name, storage=self._storage())
            return study
        return None

    def _agrees(self, study: "optuna.Study", known: Sequence[Trial]) -> bool:
        if study.metric_names != self._objectives or study.directions != self._directions():
            return False
        there = {each.user_attrs.get("job"): each for each in study.trials}
        states = self._optuna.trial.TrialState
        numbers = {each.number for each in known}
        # One that could not be trained has no run, and nothing but this file knows of it.
        untrained = {
            job: each.number
            for job, each in there.items()
            if isinstance(job, int) and each.state == states.FAIL and job not in numbers
        }
        if set(there) - set(untrained) != numbers:
            return False
        self._numbers |= untrained
        for trial in known:
            found, expected = there[trial.number], frozen(trial, self._space, len(self._rises))
            if (found.params, found.distributions) != (expected.params, expected.distributions):
                return False
            if found.state not in (states.RUNNING, expected.state):
                return False
            if found.state == states.COMPLETE and found.values != expected.values:
                return False
            self._numbers[trial.number] = found.number
        for trial in known:
            self._study = study
            self.update(trial)
        return True

    def _directions(self) -> list["optuna.study.StudyDirection"]:
        return [self._optuna.study.StudyDirection[each.upper()] for each in directions(self._rises)]

    def _write_anew(self, known: Sequence[Trial]) -> "optuna.Study":
        self._path.unlink(missing_ok=True)
        self._numbers = {}
        study: optuna.Study = self._optuna.create_study(
            study_name=self._name, storage=self._storage(), directions=directions(self._rises)
        )
        with without_warnings():
            study.set_metric_names(self._objectives)
        for trial in known:
            self._add(study, trial)
        return study

    def _add(self, study: "optuna.Study", trial: Trial) -> None:
        self._numbers[trial.number] = len(study.trials)
        added = frozen(trial, self._space, len(self._rises))
        added.set_user_attr("job", trial.number)
        study.add_trial(added)

    def _storage(self) -> "optuna.storages.JournalStorage":
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        # One process writes it: the plain lock leaves no link behind when that is killed.
        return JournalStorage(JournalFileBackend(str(self._path), JournalFileOpenLock(str(self._path))))
