"""The verdicts on claims: an effect over paired seeds, and what it decides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cifar_sweeps.studies.arms import arm_name
from cifar_sweeps.studies.claims import Claim, Side, run_matches
from cifar_sweeps.studies.histories import TIMES, History, metric_at_epoch
from cifar_sweeps.studies.intervals import CONFIDENCE, Estimate, estimate
from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.studies.validity.comparability import Departure
from cifar_sweeps.studies.validity.expected_effects import judge_effect, p_of_effect
from cifar_sweeps.studies.validity.never_learned import never_learned
from cifar_sweeps.studies.validity.significance import holm
from cifar_sweeps.studies.validity.timings import Timings


@dataclass(frozen=True)
class ClaimResult:
    """The result of a claim in one setting. ``effect``: the arm's metric minus the other's, mean over seeds.

    decision: the verdict's first words; p: of the t test that it rests on, at most 5% if and only if it is decided.
    None for a claim that cannot be judged, of a single seed for example.
    p_together, together: the adjusted p and the decision when all that was judged is judged together (Holm).
    """

    claim: Claim
    setting: str
    effect: Estimate | None
    verdict: str
    decision: str = ""
    p: float | None = None
    p_together: float | None = None
    together: str = ""


def evaluate_claims(
    claims: Sequence[Claim],
    runs: Sequence[StudyRun],
    histories: Mapping[str, History],
    departures: Mapping[str, Sequence[Departure]] | None = None,
    quiet: Timings | None = None,
) -> list[ClaimResult]:
    """Return one result per claim and setting, which is the values of the swept keys that the claim leaves open.

    departures: in what each arm was trained otherwise than its file says: of such runs no document's claim is judged.
    quiet: seconds of pairs of arms, which claims about seconds are judged by, and never by those of a sweep.
    All that are judged, whether decided or not, are judged together, too (Holm).
    """
    results = [
        result
        for claim in claims
        for result in (
            [_of_quiet_seconds(claim, quiet or {})]
            if _is_measured_quietly(claim, quiet or {})
            else _evaluate_claim(claim, runs, histories, departures or {})
        )
    ]
    return _judged_together(results)


def _is_measured_quietly(claim: Claim, quiet: Timings) -> bool:
    return claim.metric == "seconds_an_epoch" and _arms_of(claim) in quiet


def _arms_of(claim: Claim) -> tuple[str, str]:
    return str(claim.arm.get("experiment")), str((claim.against or {}).get("experiment"))


def _of_quiet_seconds(claim: Claim, quiet: Timings) -> ClaimResult:
    pair = quiet[_arms_of(claim)]
    if pair.effect is None:
        return ClaimResult(claim, "", None, "not measured: no seconds")
    verdict = judge_effect(pair.effect, claim.expects, claim.margin)
    p = p_of_effect(pair.effect, claim.expects, claim.margin)
    return ClaimResult(claim, f"measured quietly, relative: {pair.how}", pair.effect, verdict, verdict, p)


def _judged_together(results: Sequence[ClaimResult]) -> list[ClaimResult]:
    judged = [i for i, result in enumerate(results) if result.p is not None]
    adjusted = dict(zip(judged, holm([results[i].p or 0.0 for i in judged]), strict=True))
    return [
        replace(result, p_together=adjusted[i], together=result.decision if adjusted[i] <= _LEVEL else _UNDECIDED)
        if i in adjusted
        else result
        for i, result in enumerate(results)
    ]


_LEVEL = 1 - CONFIDENCE
_UNDECIDED = "not decided"


Departures = Mapping[str, Sequence[Departure]]


def _evaluate_claim(
    claim: Claim, runs: Sequence[StudyRun], histories: Mapping[str, History], departures: Departures
) -> list[ClaimResult]:
    compare = _versus_arm if claim.against is not None else _versus_number
    results = list(compare(claim, runs, histories, departures))
    return results or [ClaimResult(claim, "", None, _why_not_measured(claim, runs))]


def _why_not_measured(claim: Claim, runs: Sequence[StudyRun]) -> str:
    """Name the arms of a claim that no finished run has."""
    sides = [claim.arm, *([] if claim.against is None else [claim.against])]
    missing = [side for side in sides if not any(run_matches(run, side) for run in runs)]
    names = " and ".join(dict.fromkeys(arm_name({key: str(side[key]) for key in side}, "") for side in missing))
    return (
        f"not measured: no finished run of {names}"
        if names
        else "not measured: the two sides have no setting in common"
    )


def _versus_arm(
    claim: Claim, runs: Sequence[StudyRun], histories: Mapping[str, History], departures: Departures
) -> Iterator[ClaimResult]:
    against, other_metric = claim.against or {}, claim.against_metric or claim.metric

    def metric(run: StudyRun, name: str, epoch: int | None) -> float | None:
        return metric_at_epoch(run.metrics, histories.get(run.run_id, {}), name, epoch)

    same = claim.arm == against and claim.metric == other_metric
    if claim.at is not None and claim.at == claim.against_at and same:
        yield ClaimResult(claim, "", None, f"not measured: this budget scales both sides to epoch {claim.at}")
        return
    claimed_keys = {*claim.arm, *against, _VARIANT}  # a variant of one side is compared with each of the other
    for setting, by_seed in _group_by_setting(runs, claim.arm).items():
        for other_setting, others_by_seed in _group_by_setting(runs, against).items():
            values, other_values = dict(setting), dict(other_setting)
            common = {key: value for key, value in values.items() if key not in claimed_keys}
            if common != {key: value for key, value in other_values.items() if key not in claimed_keys}:
                continue
            pairs = [(run, others_by_seed[seed]) for seed, run in by_seed.items() if seed in others_by_seed]
            differences = [
                _difference(metric(run, claim.metric, claim.at), metric(other, other_metric, claim.against_at))
                for run, other in pairs
            ]
            yield _claim_result(claim, _setting_text({**other_values, **values}), differences, pairs, departures)


def _versus_number(
    claim: Claim, runs: Sequence[StudyRun], histories: Mapping[str, History], departures: Departures
) -> Iterator[ClaimResult]:
    for setting, by_seed in _group_by_setting(runs, claim.arm).items():
        values = [
            metric_at_epoch(run.metrics, histories.get(run.run_id, {}), claim.metric, claim.at)
            for run in by_seed.values()
        ]
        differences = [_difference(value, claim.than or 0.0) for value in values]
        alone = [(run,) for run in by_seed.values()]
        yield _claim_result(claim, _setting_text(dict(setting)), differences, alone, departures)


Setting = tuple[tuple[str, str], ...]
_SETTING, _VARIANT = "", " "
"""Keys, unlike any of a config, under which a setting holds what separates sweeps, and runs of one name."""


def _group_by_setting(runs: Sequence[StudyRun], side: Side) -> dict[Setting, dict[int | None, StudyRun]]:
    """Return the runs of one side of a claim, by the swept values that it leaves open, then by seed."""
    groups: dict[Setting, dict[int | None, StudyRun]] = {}
    for run in runs:
        if run_matches(run, side):
            open_values = {key: value for key, value in run.swept.items() if key not in side and key != "seed"}
            apart = {_SETTING: run.setting, _VARIANT: run.variant}
            setting = tuple(sorted({**open_values, **{key: text for key, text in apart.items() if text}}.items()))
            groups.setdefault(setting, {})[run.seed] = run
    return groups


def _setting_text(values: Mapping[str, str]) -> str:
    setting = ", ".join(filter(None, (values.get(_SETTING), values.get(_VARIANT))))
    name = arm_name({key: value for key, value in values.items() if key.strip()}, "")
    return f"{name} [{setting}]".strip() if setting else name


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _claim_result(
    claim: Claim,
    setting: str,
    differences: Sequence[float | None],
    compared: Sequence[tuple[StudyRun, ...]],
    departures: Departures,
) -> ClaimResult:
    """Judge one claim in one setting. compared: the run or the pair of runs that each difference is of."""
    effect = estimate(differences)
    runs = [run for some in compared for run in some]
    if effect is None:
        names = dict.fromkeys([claim.metric, claim.against_metric or claim.metric])
        epochs = sorted({epoch for epoch in (claim.at, claim.against_at) if epoch is not None})
        at = f" at epoch {' and '.join(map(str, epochs))}" if epochs else ""
        reason = "no seed in common" if not runs else f"{' or '.join(names)}{at} is not recorded"
        return ClaimResult(claim, setting, None, f"not measured: {reason}")
    obstacle = _obstacle(claim, runs, departures)
    if obstacle:
        return ClaimResult(claim, setting, effect, f"not decided: {obstacle}")
    is_copy = any(run.tag("data") != ORIGINAL_IMAGES for run in runs)
    verdict = decision = _verdict(claim, effect, is_copy)
    learned = [
        difference
        for difference, some in zip(differences, compared, strict=True)
        if not any(never_learned(run) for run in some)
    ]
    if len(learned) < len(differences):
        verdict += f" with {len(differences) - len(learned)} of {len(differences)} that never learned"
        without = estimate(learned)
        verdict += (
            "" if without is None else f"; without: {_verdict(claim, without, is_copy)}, {without.text(sign=True)}"
        )
    if claim.own_document:
        verdict += f" (the document's own figures say otherwise: {claim.own_document})"
    p = p_of_effect(effect, claim.expects, claim.margin, (is_copy and claim.copy_allowance) or 0.0)
    return ClaimResult(claim, setting, effect, verdict, decision, p)


ORIGINAL_IMAGES = "CIFAR-10"
"""The data set's name where its own files were read; any other may have other pixels."""


def _obstacle(claim: Claim, runs: Sequence[StudyRun], departures: Departures) -> str:
    """Return why a claim is not judged of these runs; empty if it is."""
    named = {*claim.arm, *(claim.against or {})}
    texts = dict.fromkeys(
        each.text
        for run in runs
        for each in departures.get(run.arm, ())
        if named.isdisjoint({each.key, each.key.partition(".")[0]})
    )
    if texts and claim.is_documents:
        return f"trained otherwise ({'; '.join(texts)})"
    if claim.metric in TIMES:
        return "seconds of a sweep, whose jobs share the machine; a quiet measurement of both arms decides"
    budgets = {(run.tag("budget") or "").split(":")[0] for run in runs}
    if claim.needs_full_budget and budgets != {"full"}:
        return "needs the full budget"
    if claim.needs_original_images and claim.copy_allowance is None:
        copies = dict.fromkeys(run.tag("data") or "" for run in runs if run.tag("data") != ORIGINAL_IMAGES)
        if copies:
            return f"needs CIFAR-10's own images, not {' or '.join(copies)}"
    return ""


def _verdict(claim: Claim, effect: Estimate, is_copy: bool) -> str:
    verdict = judge_effect(effect, claim.expects, claim.margin)
    if is_copy and claim.copy_allowance is not None and verdict == "contradicts":
        lifted = replace(effect, mean=effect.mean + claim.copy_allowance)
        if judge_effect(lifted, claim.expects, claim.margin) != "contradicts":
            return f"not decided: within {claim.copy_allowance:g}, the allowance for a copy of the images"
    return _HEDGED.get(verdict, verdict) if claim.is_hedged else verdict


_HEDGED = {"agrees": "supports", "contradicts": "does not support"}
