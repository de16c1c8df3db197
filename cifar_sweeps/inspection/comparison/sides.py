"""Find what a user compares: a run, an arm (``SWEEP:ARM``), or a sweep with its arms."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cifar_sweeps.errors import TrackingError, did_you_mean
from cifar_sweeps.studies.query import find_runs, to_study_run
from cifar_sweeps.studies.study import Study, StudyRun
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.names import Candidate, choose, describe
from cifar_sweeps.tracking.recorded_run import PREFIX, finish_command
from cifar_sweeps.tracking.store import Store

HOW = "an arm is named SWEEP:ARM (or STUDY:ARM), with ARM as cifar-sweeps results SWEEP --arms shows it"
_MAX_SHOWN = 12
_NO_ARM = "one setting"
"""Name that an arm has in a sweep of the seed alone."""


@dataclass(frozen=True)
class Side:
    """One of the two things compared: finished runs of one setting, at most one a seed; or a single run.

    typed: what names it again. is_run: it was named as a run, and not as an arm that has one. notes: what was left out.
    """

    name: str
    typed: str
    runs: tuple[StudyRun, ...]
    is_run: bool
    notes: tuple[str, ...] = ()


def find_sides(typed: str, store: Store, within: str | None = None) -> list[Side]:
    """Return the run or arm that ``typed`` names, or all arms of a sweep or study.

    within: a sweep or study whose arms and runs are meant. Raises TrackingError if there is none, if several could be
    meant, with all of them, or if nothing of it has finished.
    """
    if within is not None:
        study = find_runs(within, store)
        return [_in_study(typed, within, study)] if typed.strip() else _arms(within, study)
    try:
        return _find_whole(typed, store)
    except TrackingError as error:
        sweep, colon, arm = typed.partition(":")
        if not colon or not sweep:
            raise TrackingError(f"{error}; {HOW}") from None
        study = find_runs(sweep, store)
        return [_in_study(arm, sweep, study)]


def common_arms(first: Sequence[Side], second: Sequence[Side]) -> list[tuple[Side, Side]]:
    """Return the arms that two sweeps both have, by their names."""
    by_name = {side.name: side for side in second}
    return [(side, by_name[side.name]) for side in first if side.name in by_name]


def check_different(first: Side, second: Side) -> tuple[Side, Side]:
    """Return the two sides; a run that is also in the other's arm is taken out of that.

    Raises TrackingError if both are the same, or if they share runs otherwise.
    """
    shared = {run.run_id for run in first.runs} & {run.run_id for run in second.runs}
    if {run.run_id for run in first.runs} == {run.run_id for run in second.runs}:
        raise TrackingError(
            f"{first.typed} and {second.typed}: are the same {'run' if len(first.runs) == 1 else 'runs'}, "
            f"{_listed([run.run_id[:8] for run in first.runs])}; name two that differ"
        )
    if shared and first.is_run:
        second = _without(second, shared)
    elif shared and second.is_run:
        first = _without(first, shared)
    elif shared:
        raise TrackingError(
            f"{first.typed} and {second.typed}: share {len(shared)} runs ({_listed([one[:8] for one in shared])}); "
            "name arms of one sweep, or of two"
        )
    return first, second


def with_different_names(first: Side, second: Side) -> tuple[Side, Side]:
    """Return the two sides; if they have one name, with what tells them apart behind it."""
    if first.name != second.name:
        return first, second
    return replace(first, name=f"{first.name} ({_place(first)})"), replace(
        second, name=f"{second.name} ({_place(second)})"
    )


def _find_whole(typed: str, store: Store) -> list[Side]:
    """Return what has this id, beginning of an id, or name: a run, a sweep or a study."""
    client = store.client()
    experiments = {str(each.experiment_id): str(each.name) for each in client.search_experiments()}
    records = list(store.search(list(experiments), order="DESC"))
    used = {str(record.info.experiment_id) for record in records}
    studies = [name for key, name in experiments.items() if key in used]
    candidates = [_candidate(record) for record in records]
    candidates += [Candidate[mlflow_api.Run | str](name, (), name, f"study {name}") for name in studies]
    chosen = choose(typed, candidates, "run or sweep", store.uri)
    if isinstance(chosen, str):
        return _arms(typed, find_runs(chosen, store))
    if chosen.data.tags.get(f"{PREFIX}role") == "sweep":
        return _arms(typed, find_runs(str(chosen.info.run_id), store))
    return [_run_side(to_study_run(chosen, client))]


def _candidate(record: "mlflow_api.Run") -> "Candidate[mlflow_api.Run | str]":
    run_id, name, tags = str(record.info.run_id), str(record.info.run_name), record.data.tags
    sweep_id = tags.get(f"{PREFIX}sweep_id", "")
    if tags.get(f"{PREFIX}role") == "sweep":
        return Candidate(record, (run_id, sweep_id), name, f"sweep {sweep_id} ({run_id[:8]})")
    return Candidate(record, (run_id,), name, describe(run_id, name, tags, int(record.info.start_time or 0)))


def _run_side(run: StudyRun) -> Side:
    short = run.run_id[:8]
    if not run.finished:
        raise TrackingError(
            f"{short} ({run.name}): is {run.state_text}, and cannot be compared; "
            f"finish it: {finish_command(run.run_id, run.tags)}"
        )
    return Side(run.name, short, (run,), True)


def _arms(typed: str, study: Study) -> list[Side]:
    """Return the arms of a sweep or study that have finished runs."""
    names = list(dict.fromkeys(run.arm for run in study.runs if run.finished))
    if not names:
        states = ", ".join(sorted({run.state for run in study.runs}))
        raise TrackingError(
            f"{typed}: none of its runs has finished ({states}); resume it: cifar-sweeps resume {typed}"
        )
    arms = [_arm_side(name, typed, study) for name in names]
    return [replace(arms[0], typed=typed)] if len(arms) == 1 else arms


def _arm_side(name: str, typed: str, study: Study) -> Side:
    of_arm = [run for run in study.runs if run.arm == name]
    runs = tuple(run for run in study.deduplicated() if run.arm == name)
    notes = []
    unfinished = [f"{run.run_id[:8]} ({run.state})" for run in of_arm if not run.finished]
    if unfinished:
        notes.append(f"{len(unfinished)} of {len(of_arm)} runs left out, as not finished: {_listed(unfinished)}")
    repeats = len(of_arm) - len(unfinished) - len(runs)
    if repeats:
        notes.append(f"{repeats} runs left out that repeat the seed of a newer one")
    shown = f"sweep {typed}" if name == _NO_ARM else name
    return Side(shown, f"{typed}:{name}", runs, False, tuple(notes))


def _in_study(typed: str, sweep: str, study: Study) -> Side:
    """Return the arm, or else the run, that is meant among those of a sweep or study."""
    names = list(dict.fromkeys(run.arm for run in study.runs))
    wanted = typed.strip()
    if wanted not in names:
        runs = [run for run in study.runs if run.name == wanted or (wanted and run.run_id.startswith(wanted))]
        if len(runs) == 1:
            return _run_side(runs[0])
        alike = [name for name in names if _has_words(name, wanted)]
        if len(alike) > 1:
            raise TrackingError(
                f"{sweep}:{wanted}: {len(alike)} arms could be meant: {_listed(alike)}; name one of them"
            )
        if not alike:
            hint = did_you_mean(wanted, names)
            raise TrackingError(f"{sweep}:{wanted}: {sweep} has no such arm{hint}; it has {_listed(names)}")
        wanted = alike[0]
    if not any(run.finished for run in study.runs if run.arm == wanted):
        raise TrackingError(f"{sweep}:{wanted}: none of its runs has finished; resume it: cifar-sweeps resume {sweep}")
    return _arm_side(wanted, sweep, study)


def _has_words(name: str, typed: str) -> bool:
    """Return whether an arm's name has all the words typed: ``dropout`` is one of ``regularization=dropout``."""
    words = {form for word in _words(name) for form in (word, word.rpartition("=")[2], word.rpartition("/")[2])}
    return bool(_words(typed)) and all(word in words for word in _words(typed))


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,\[\]]+", text.lower()) if word]


def _without(side: Side, shared: set[str]) -> Side:
    kept = tuple(run for run in side.runs if run.run_id not in shared)
    return replace(side, runs=kept, notes=(*side.notes, "the run that it is compared with is left out of it"))


def _place(side: Side) -> str:
    if side.is_run:
        return side.runs[0].run_id[:8]
    return f"sweep {side.runs[0].tag('sweep_id') or side.typed}"


def _listed(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more
