"""A study's circumstances in words: how much was run, with what budget, on which machine, under which assumptions."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from cifar_sweeps.studies.arms import arm_name
from cifar_sweeps.studies.study import Study, StudyRun

_ENVIRONMENT = {
    "processor": "cpu",
    "device": "device",
    "graphics processor": "gpu",
    "threads a run": "threads",
    "precision": "precision",
    "platform": "platform",
    "Python": "python",
    "cifar_sweeps": "version",
    "git commit": "git_commit",
    "clean checkout": "git_clean",
    "data set": "data",
    "data fingerprint": "data_fingerprint",
    "split": "split_notes",
}
_VERSION = "version."


def summary(study: Study, repeats: int) -> str:
    """Return in a few sentences what was run. repeats: how many finished runs repeat another's arm and seed."""
    runs = study.runs
    states = Counter(run.state for run in runs)
    finished = states.pop("finished", 0)
    others = "".join(f", {number} {state}" for state, number in states.items())
    arms = dict.fromkeys(run.arm for run in runs)
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    words = [
        f"{_many(len(runs), 'run')} of {_many(len(arms), 'arm')} with {_many(len(seeds), 'seed')}"
        f" ({', '.join(map(str, seeds)) or 'not on record'}): {finished} finished{others}."
    ]
    if repeats:
        words.append(f"{_many(repeats, 'finished run')} repeated another's arm and seed; of these the newest counts.")
    if study.sweeps:
        ids = ", ".join(sweep.sweep_id for sweep in study.sweeps)
        words.append(f"From {_many(len(study.sweeps), 'sweep')}: {ids}.")
    if {run.tag("budget") for run in runs} == {"full"}:
        words.append("Budget: full.")
    words.append(f"Data set: {_values(runs, 'data') or 'not on record'}.")
    machine = ", ".join(filter(None, (_values(runs, key) for key in ("cpu", "gpu", "platform"))))
    words.append(f"Machine: {machine or 'not on record'}.")
    return " ".join(words)


def budget_warnings(runs: Sequence[StudyRun]) -> list[str]:
    """Return a warning for each budget other than the full one; its first words are to be read first."""
    budgets = dict.fromkeys(run.tag("budget") for run in runs)
    short = [budget for budget in budgets if budget is not None and budget.split(":")[0] != "full"]
    if not short:
        return []
    what = "NOT THE FULL TRAINING" if len(short) == len(budgets) else "SOME ARMS NOT THE FULL TRAINING"
    details = "; ".join(f"budget {budget}" for budget in short)
    return [f"{what}: {details}; not comparable with the published figures as such."]


def warning_of_test_set(runs: Sequence[StudyRun]) -> str:
    """Return what to say if a run used the test set as validation data, else nothing."""
    arms = list(dict.fromkeys(run.arm for run in runs if run.tag("validated_on") == "test"))
    if not arms:
        return ""
    number = len({run.arm for run in runs})
    some = f"{len(arms)} of {number} arms ({', '.join(arms)}) {'was' if len(arms) == 1 else 'were'}"
    which = "Every arm was" if len(arms) == number else some
    return (
        f"{which} validated on the test set: here validation accuracy is no independent check, "
        "and a best epoch chosen by it flatters."
    )


def environment(runs: Sequence[StudyRun]) -> list[tuple[str, str, bool]]:
    """Return (what, its values, whether the runs differ in it) for versions, machine and data."""
    versions = sorted({key for run in runs for key in run.tags if f"cifar_sweeps.{_VERSION}" in key})
    named = {key.partition(_VERSION)[2]: key.partition(".")[2] for key in versions}
    found = []
    for title, key in {**_ENVIRONMENT, **named}.items():
        values = Counter(value for run in runs if (value := run.tag(key)) is not None)
        if values:
            counts = (f"{value} ({_many(number, 'run')})" for value, number in values.items())
            found.append((title, next(iter(values)) if len(values) == 1 else "; ".join(counts), len(values) > 1))
    return found


def assumptions(configs: Mapping[str, Mapping[str, object]]) -> list[tuple[str, list[str]]]:
    """Return (arm, what was assumed where the document is silent), equal lists once. configs: one an arm."""
    found: dict[tuple[str, ...], list[str]] = {}
    for arm, config in configs.items():
        texts = config.get("assumptions")
        if isinstance(texts, Sequence) and not isinstance(texts, str) and texts:
            found.setdefault(tuple(str(text) for text in texts), []).append(arm)
    every = len(configs) if len(configs) > 1 else 0
    return [("All arms" if len(arms) == every else ", ".join(arms), list(texts)) for texts, arms in found.items()]


def commands(study: Study) -> list[str]:
    """Return what to type to do it again: a line a sweep, or a line a run where there is no sweep."""
    if study.sweeps:
        return list(dict.fromkeys(f"cifar-train {sweep.overrides}".strip() for sweep in study.sweeps))
    lines = (f"cifar-train {run.tag('overrides') or shlex.quote(arm_name(run.swept, ''))}" for run in study.runs)
    return list(dict.fromkeys(line.strip() for line in lines))


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _values(runs: Sequence[StudyRun], key: str) -> str:
    values = dict.fromkeys(value for run in runs if (value := run.tag(key)) not in (None, "none"))
    return " and ".join(str(value) for value in values)
