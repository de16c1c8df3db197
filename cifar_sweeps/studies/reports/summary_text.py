"""Describe a study's runs as text: counts, budgets, machine, environment, assumptions, commands."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from cifar_sweeps.studies.arms import STAGED, arm_name
from cifar_sweeps.studies.study import Study, StudyRun
from cifar_sweeps.studies.verdicts import ORIGINAL_IMAGES

_ENVIRONMENT = {
    "CPU": "cpu",
    "device": "device",
    "GPU": "gpu",
    "threads per run": "threads",
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
    """Return a summary of the runs in a few sentences. repeats: number of finished runs that repeat an arm and seed."""
    runs = study.runs
    states = Counter(run.state for run in runs)
    finished = states.pop("finished", 0)
    others = "".join(f", {number} {state}" for state, number in states.items())
    arms = dict.fromkeys(run.arm for run in runs)
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    sentences = [
        f"{_count(len(runs), 'run')} of {_count(len(arms), 'arm')} with {_count(len(seeds), 'seed')}"
        f" ({', '.join(map(str, seeds)) or 'not recorded'}): {finished} finished{others}."
    ]
    if repeats:
        sentences.append(
            f"{_count(repeats, 'finished run')} repeated the arm and seed of another; only the newest counts."
        )
    if study.sweeps:
        ids = ", ".join(sweep.sweep_id for sweep in study.sweeps)
        sentences.append(f"From {_count(len(study.sweeps), 'sweep')}: {ids}.")
    if {run.tag("budget") for run in runs} == {"full"}:
        sentences.append("Budget: full.")
    sentences.append(f"Data set: {_distinct_values(runs, 'data') or 'not recorded'}.")
    machine = ", ".join(filter(None, (_distinct_values(runs, key) for key in ("cpu", "gpu", "platform"))))
    sentences.append(f"Machine: {machine or 'not recorded'}.")
    return " ".join(sentences)


def budget_warnings(runs: Sequence[StudyRun], has_published: bool = True) -> list[str]:
    """Return a warning if a run's budget was not the full one; the most important words come first.

    has_published: whether there are published metrics that this concerns.
    """
    budgets = dict.fromkeys(run.tag("budget") for run in runs)
    short = [budget for budget in budgets if budget is not None and budget.split(":")[0] != "full"]
    if not short:
        return []
    title = "NOT THE FULL TRAINING" if len(short) == len(budgets) else "SOME ARMS NOT THE FULL TRAINING"
    details = "; ".join(f"budget {budget}" for budget in short)
    return [f"{title}: {details}{'; not directly comparable with the published metrics' if has_published else ''}."]


def images_warning(runs: Sequence[StudyRun]) -> str:
    """Return a warning if runs were trained on other images than the documents', CIFAR-10's own; else nothing."""
    others = list(dict.fromkeys(data for run in runs if (data := run.tag("data")) not in (None, ORIGINAL_IMAGES)))
    if not others:
        return ""
    return (
        f"Trained on {' and '.join(map(str, others))}, not on CIFAR-10's own images as the documents' nets were: "
        "measured figures can differ from the published ones for that reason, too."
    )


def test_set_warning(runs: Sequence[StudyRun]) -> str:
    """Return a warning if a run used the test set as validation data, else an empty string."""
    arms = list(dict.fromkeys(run.arm for run in runs if run.tag("validated_on") == "test"))
    if not arms:
        return ""
    number = len({run.arm for run in runs})
    some_arms = f"{len(arms)} of {number} arms ({', '.join(arms)}) {'was' if len(arms) == 1 else 'were'}"
    subject = "Every arm was" if len(arms) == number else some_arms
    return (
        f"{subject} validated on the test set: validation accuracy is then not an independent estimate, "
        "and a best epoch selected by it is too optimistic."
    )


def environment(runs: Sequence[StudyRun]) -> list[tuple[str, str, bool]]:
    """Return (name, values, whether the runs differ) for versions, machine and data."""
    versions = sorted({key for run in runs for key in run.tags if f"cifar_sweeps.{_VERSION}" in key})
    version_titles = {key.partition(_VERSION)[2]: key.partition(".")[2] for key in versions}
    rows = []
    for title, key in {**_ENVIRONMENT, **version_titles}.items():
        values = Counter(value for run in runs if (value := run.tag(key)) is not None)
        if values:
            counts = (f"{value} ({_count(number, 'run')})" for value, number in values.items())
            rows.append((title, next(iter(values)) if len(values) == 1 else "; ".join(counts), len(values) > 1))
    return rows


def assumptions(configs: Mapping[str, Mapping[str, object]]) -> list[tuple[str, list[str]]]:
    """Return (arms, what was assumed where the document says nothing). configs: one per arm."""
    arms_by_texts: dict[tuple[str, ...], list[str]] = {}
    for arm, config in configs.items():
        texts = config.get("assumptions")
        if isinstance(texts, Sequence) and not isinstance(texts, str) and texts:
            arms_by_texts.setdefault(tuple(str(text) for text in texts), []).append(arm)
    all_arms = len(configs) if len(configs) > 1 else 0
    return [
        ("All arms" if len(arms) == all_arms else ", ".join(arms), list(texts)) for texts, arms in arms_by_texts.items()
    ]


def commands(study: Study) -> list[str]:
    """Return the commands that reproduce the study: one per sweep, or one per run if there is no sweep."""
    if study.sweeps:
        return list(dict.fromkeys(sweep.command for sweep in study.sweeps))
    return list(dict.fromkeys(_command(run) for run in study.runs))


def _command(run: StudyRun) -> str:
    if run.tag(STAGED):
        return f"cifar-sweeps extend {shlex.quote(run.tag('extends') or '')} {run.tag('extended_with') or ''}".strip()
    return f"cifar-train {run.tag('overrides') or shlex.quote(arm_name(run.swept, ''))}".strip()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _distinct_values(runs: Sequence[StudyRun], key: str) -> str:
    values = dict.fromkeys(value for run in runs if (value := run.tag(key)) not in (None, "none"))
    return " and ".join(str(value) for value in values)
