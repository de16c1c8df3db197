"""Decide which runs are pooled as one arm: those with the same resolved config and images, whatever was typed.

Runs of one name that differ otherwise are arms of their own, whose names show what differs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from cifar_sweeps.config.parse import flatten, is_place, is_without_effect
from cifar_sweeps.config.upgrades import with_added_keys
from cifar_sweeps.studies.arms import STAGED
from cifar_sweeps.studies.study import Study, StudyRun

IMAGES, CODE, OWN_CODE, FILES, BUDGET = "images", "code", "own code", "weight files", "budget"
"""What a run was trained from besides its config: tags that count as values of its arm."""
_TAGS = {IMAGES: "data_fingerprint", CODE: "numbers", OWN_CODE: "own_code", FILES: "weight_files", BUDGET: "budget"}
EXTENDED = "extended"
"""After which epochs a run was made longer, and why it is not the same as one that was trained at once."""
_RESOLVED = {"trainer.precision": "precision", "trainer.device": "device"}
"""Keys of which the value that was used is a tag; the parameter may say ``auto``."""
_NOT_OF_AN_ARM = frozenset({"seed", "trainer.threads"})
FIRST_NUMBERS = "1"
"""Of runs that were recorded before the tag existed."""
_MAX_SHOWN = 3


def arm_values(params: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """Return all that makes a run's arm: its resolved config without the seed, and what its images and code were.

    params: of the whole config, by dotted key. tags: by their short names. Empty for a run that ended before any were
    recorded.
    """
    params = flatten(with_added_keys(_nested(params))) if params else {}
    values = {
        key: tags.get(_RESOLVED[key], value) if key in _RESOLVED else value
        for key, value in params.items()
        if key not in _NOT_OF_AN_ARM and not is_without_effect(key) and not is_place(key)
    }
    values |= {name: tags[tag] for name, tag in _TAGS.items() if tag in tags}
    if tags.get(STAGED):
        values[EXTENDED] = f"{tags.get('extended_after')}: {tags[STAGED]}"
    return {CODE: FIRST_NUMBERS, **values} if values else {}


def name_arms(runs: Iterable[StudyRun]) -> list[StudyRun]:
    """Return the runs with the names of their arms: equal only for runs that may be averaged.

    Runs of other sweeps with the same values take the name of the first one. Where sweeps differ in their budget, their
    data set or another value that all of their arms share, that is the run's ``setting``; where runs of one name differ
    otherwise, it is their ``variant``. Both stand behind the arm's name in brackets.
    """
    named = [replace(run, setting="", variant="", arm=_base_name(run)) for run in runs]
    values = [arm_values(run.params, run.short_tags) for run in named]
    named = _with_first_names(named, values)
    kinds = [_where_sweeps_differ(named, describe) for describe in (_budget, _data)]
    settings = [", ".join(filter(None, texts)) for texts in zip(*kinds, strict=True)]
    by_sweep = _values_by_sweep(named, values)
    differing = {key for group in _groups(named, settings, values).values() for key in _differing(group)}
    shared = {key for key in differing if all(len(sweep[key]) <= 1 for sweep in by_sweep.values())}
    settings = [
        ", ".join(filter(None, (setting, _describe(own, shared))))
        for setting, own in zip(settings, values, strict=True)
    ]
    variants = _variants(named, settings, values)
    return [
        replace(run, setting=setting, variant=variant, arm=run.arm + _brackets(setting, variant))
        for run, setting, variant in zip(named, settings, variants, strict=True)
    ]


def select_sweeps(study: Study, sweep_ids: Sequence[str]) -> Study:
    """Return the study with only the runs of these sweeps, and their arms named anew.

    Raises TrackingError if one of them does not exist, or if they have no runs.
    """
    selected = study.select_sweeps(sweep_ids)
    return replace(selected, runs=tuple(name_arms(selected.runs)))


def separated_arms(runs: Sequence[StudyRun]) -> list[str]:
    """Return one line for each name whose runs are several arms, with their names."""
    arms: dict[str, dict[str, None]] = {}
    for run in runs:
        if run.setting or run.variant:
            arms.setdefault(_base_name(run), {})[run.arm] = None
    return [
        f"{name}: not all trained alike; {len(names)} arms instead of one: {'; '.join(names)}"
        for name, names in arms.items()
        if len(names) > 1
    ]


def _nested(params: Mapping[str, str]) -> dict[str, object]:
    """Return recorded parameters, ``{"optimizer.lr": "0.1"}``, as nested values again."""
    nested: dict[str, object] = {}
    for key, value in params.items():
        *path, last = key.split(".")
        node = nested
        for part in path:
            inner = node.setdefault(part, {})
            if not isinstance(inner, dict):  # a name that holds a dot: kept whole
                node, last = nested, key
                break
            node = inner
        node[last] = value
    return nested


def _base_name(run: StudyRun) -> str:
    return run.arm.removesuffix(_brackets(run.setting, run.variant))


def _brackets(setting: str, variant: str) -> str:
    text = ", ".join(filter(None, (setting, variant)))
    return f" [{text}]" if text else ""


def _with_first_names(runs: Sequence[StudyRun], values: Sequence[Mapping[str, str]]) -> list[StudyRun]:
    """Return the runs; one with the values of an arm of another sweep has that arm's name, whatever was typed."""
    first: dict[frozenset[tuple[str, str]], StudyRun] = {}
    found = []
    for run, own in zip(runs, values, strict=True):
        # Two names within a sweep are two settings that its author compares.
        original = first.setdefault(frozenset(own.items()), run) if "model._target_" in own else run
        alike = _sweep(original) != _sweep(run) or _sweep(run) == _SINGLE
        found.append(replace(run, arm=original.arm) if alike else run)
    return found


def _values_by_sweep(
    runs: Sequence[StudyRun], values: Sequence[Mapping[str, str]]
) -> dict[str, defaultdict[str, set[str | None]]]:
    keys = {key for own in values for key in own}
    found: dict[str, defaultdict[str, set[str | None]]] = {}
    for number, (run, own) in enumerate(zip(runs, values, strict=True)):
        sweep = _sweep(run) if _sweep(run) != _SINGLE else f"{_SINGLE} {number}"
        of_sweep = found.setdefault(sweep, defaultdict(set))
        for key in keys if own else ():
            of_sweep[key].add(own.get(key))
    return found


def _groups(
    runs: Sequence[StudyRun], settings: Sequence[str], values: Sequence[Mapping[str, str]]
) -> dict[tuple[str, str], list[Mapping[str, str]]]:
    """Return the values of the runs of each name and setting; a run of which nothing is recorded is left out."""
    groups: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for run, setting, own in zip(runs, settings, values, strict=True):
        if own:
            groups.setdefault((run.arm, setting), []).append(own)
    return groups


def _differing(group: Sequence[Mapping[str, str]]) -> set[str]:
    keys = {key for own in group for key in own}
    return {key for key in keys if len({own.get(key) for own in group}) > 1}


def _variants(runs: Sequence[StudyRun], settings: Sequence[str], values: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what separates each run from others of its name and setting; empty where nothing does."""
    names: dict[tuple[str, str], dict[str, str]] = {
        key: _variant_names(group) for key, group in _groups(runs, settings, values).items()
    }
    return [
        names[run.arm, setting][_identity(own)] if own else ""
        for run, setting, own in zip(runs, settings, values, strict=True)
    ]


def _variant_names(group: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what separates the runs of one name and setting, by their identities; all are different texts."""
    keys = _differing(group)
    names: dict[str, str] = {}
    uses: dict[str, int] = {}
    for values in group:
        identity = _identity(values)
        if identity not in names:
            text = _describe(values, keys)
            uses[text] = uses.get(text, 0) + 1  # several that the keys shown do not tell apart
            names[identity] = text if uses[text] == 1 else f"{text} ({uses[text]})"
    return names


def _identity(values: Mapping[str, str]) -> str:
    return repr(sorted(values.items()))


def _describe(values: Mapping[str, str], keys: Iterable[str]) -> str:
    """Return a run's values of these keys for a name: ``optimizer.lr=0.002, images 3f2a91c0``."""
    first = sorted(_without_followers(values, set(keys)), key=lambda key: (key not in _TAGS, key))
    texts = [_describe_value(key, values.get(key)) for key in first if values]
    shown = texts if len(texts) <= _MAX_SHOWN + 1 else [*texts[:_MAX_SHOWN], f"{len(texts) - _MAX_SHOWN} more"]
    return ", ".join(shown)


def _without_followers(values: Mapping[str, str], keys: set[str]) -> set[str]:
    """Return the keys without those of a loader's arguments that only repeat another one: ``data.source.split``."""
    source = "data.source."
    return {
        key
        for key in keys
        if not key.startswith(source)
        or f"data.{key.removeprefix(source)}" not in keys
        or values.get(key) != values.get(f"data.{key.removeprefix(source)}")
    }


def _describe_value(key: str, value: str | None) -> str:
    if value is None:
        return f"without {key}"
    if key in (IMAGES, FILES, OWN_CODE):
        return f"{key} {value[:8]}"
    if key == EXTENDED:
        return f"extended after epoch {value.partition(':')[0]}"
    return value if key == BUDGET else f"{key} {value}" if key == CODE else f"{key}={value}"


def _where_sweeps_differ(runs: Sequence[StudyRun], describe: Callable[[StudyRun], str]) -> list[str]:
    """Return a description of each run, or empty ones if all sweeps have the same."""
    by_sweep: dict[str, set[str]] = {}
    for run in runs:
        by_sweep.setdefault(_sweep(run), set()).update(filter(None, [describe(run)]))
    differ = len({frozenset(texts) for texts in by_sweep.values() if texts}) > 1
    return [describe(run) if differ else "" for run in runs]


def _budget(run: StudyRun) -> str:
    return (run.tag("budget") or "").split(":")[0]


def _data(run: StudyRun) -> str:
    return run.tag("data") or ""


_SINGLE = "single run"


def _sweep(run: StudyRun) -> str:
    sweep_id = run.tag("sweep_id")
    return f"sweep {sweep_id}" if sweep_id else _SINGLE
