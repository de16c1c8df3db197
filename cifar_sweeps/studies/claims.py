"""Test a document's claims about its arms: an effect over paired seeds, and a verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cifar_sweeps.studies.arms import arm_name, equal_values
from cifar_sweeps.studies.histories import History, metric_at_epoch
from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.study import StudyRun

Side = Mapping[str, object]
"""The arm on one side of a claim: swept keys and their values."""


@dataclass(frozen=True)
class Claim:
    """A claim that ``metric`` of an arm is higher or lower than, or the same as, that of another arm or a number."""

    says: str
    where: str
    metric: str
    arm: Side
    against: Side | None
    than: float | None
    expects: str
    at: int | None = None
    against_at: int | None = None
    """The epoch at which each side is compared; None: the last."""
    margin: float = 0.01
    needs_full_budget: bool = False


@dataclass(frozen=True)
class ClaimResult:
    """The result of a claim in one setting. ``effect``: the arm's metric minus the other's, mean over seeds."""

    claim: Claim
    setting: str
    effect: Estimate | None
    verdict: str


def read_claims(entries: object) -> list[Claim]:
    """Return the claims in a run's config; invalid entries are skipped."""
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return []
    return [_claim(entry) for entry in entries if isinstance(entry, Mapping) and "metric" in entry and "arm" in entry]


def merge_claims(configs: Mapping[str, Mapping[str, object]], runs: Sequence[StudyRun]) -> list[Claim]:
    """Return the claims of all configs (one per arm) without duplicates.

    A budget scales a claim's epochs with those of its config, so the config of the claim's arm takes precedence.
    """
    claims: dict[str, Claim] = {}
    for arm, config in configs.items():
        example = next((run for run in runs if run.arm == arm), None)
        for claim in read_claims(config.get("claims")):
            key = repr(replace(claim, at=None, against_at=None))
            if key not in claims or (example is not None and _matches_side(example, claim.arm)):
                claims[key] = claim
    return list(claims.values())


def evaluate_claims(
    claims: Sequence[Claim], runs: Sequence[StudyRun], histories: Mapping[str, History]
) -> list[ClaimResult]:
    """Return one result per claim and setting, which is the values of the swept keys that the claim leaves open."""
    return [result for claim in claims for result in _evaluate_claim(claim, runs, histories)]


def _claim(entry: Mapping[str, object]) -> Claim:
    than, margin = entry.get("than"), entry.get("margin")
    return Claim(
        says=str(entry.get("says", "")),
        where=str(entry.get("where", "")),
        metric=str(entry["metric"]),
        arm=_side(entry["arm"]),
        against=None if entry.get("against") is None else _side(entry["against"]),
        than=float(str(than)) if than is not None else None,
        expects=str(entry.get("expects", "")),
        at=_epoch(entry.get("at")),
        against_at=_epoch(entry.get("against_at")),
        margin=0.01 if margin is None else float(str(margin)),
        needs_full_budget=bool(entry.get("needs_full_budget", False)),
    )


def _epoch(value: object) -> int | None:
    return None if value is None else int(str(value))


def _side(arm: object) -> Side:
    return {str(key): value for key, value in arm.items()} if isinstance(arm, Mapping) else {"experiment": arm}


def _evaluate_claim(claim: Claim, runs: Sequence[StudyRun], histories: Mapping[str, History]) -> list[ClaimResult]:
    compare = _versus_arm if claim.against is not None else _versus_number
    results = list(compare(claim, runs, histories))
    return results or [ClaimResult(claim, "", None, _why_not_measured(claim, runs))]


def _why_not_measured(claim: Claim, runs: Sequence[StudyRun]) -> str:
    """Name the arms of a claim that no finished run has."""
    sides = [claim.arm, *([] if claim.against is None else [claim.against])]
    missing = [side for side in sides if not any(_matches_side(run, side) for run in runs)]
    names = " and ".join(" ".join(f"{key}={value}" for key, value in side.items()) for side in missing)
    return (
        f"not measured: no finished run of {names}"
        if names
        else "not measured: the two sides have no setting in common"
    )


def _versus_arm(claim: Claim, runs: Sequence[StudyRun], histories: Mapping[str, History]) -> Iterator[ClaimResult]:
    against = claim.against or {}

    def metric(run: StudyRun, epoch: int | None) -> float | None:
        return metric_at_epoch(run.metrics, histories.get(run.run_id, {}), claim.metric, epoch)

    if claim.at is not None and claim.at == claim.against_at and claim.arm == against:
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
            differences = [_difference(metric(run, claim.at), metric(other, claim.against_at)) for run, other in pairs]
            paired = [run for pair in pairs for run in pair]
            yield _claim_result(claim, _setting_text({**other_values, **values}), differences, paired)


def _versus_number(claim: Claim, runs: Sequence[StudyRun], histories: Mapping[str, History]) -> Iterator[ClaimResult]:
    for setting, by_seed in _group_by_setting(runs, claim.arm).items():
        values = [
            metric_at_epoch(run.metrics, histories.get(run.run_id, {}), claim.metric, claim.at)
            for run in by_seed.values()
        ]
        differences = [_difference(value, claim.than or 0.0) for value in values]
        yield _claim_result(claim, _setting_text(dict(setting)), differences, list(by_seed.values()))


Setting = tuple[tuple[str, str], ...]
_SETTING, _VARIANT = "", " "
"""Keys, unlike any of a config, under which a setting holds what separates sweeps, and runs of one name."""


def _group_by_setting(runs: Sequence[StudyRun], side: Side) -> dict[Setting, dict[int | None, StudyRun]]:
    """Return the runs of one side of a claim, by the swept values that it leaves open, then by seed."""
    groups: dict[Setting, dict[int | None, StudyRun]] = {}
    for run in runs:
        if _matches_side(run, side):
            open_values = {key: value for key, value in run.swept.items() if key not in side and key != "seed"}
            apart = {_SETTING: run.setting, _VARIANT: run.variant}
            setting = tuple(sorted({**open_values, **{key: text for key, text in apart.items() if text}}.items()))
            groups.setdefault(setting, {})[run.seed] = run
    return groups


def matches_side(swept: Mapping[str, str], params: Mapping[str, str], side: Side) -> bool:
    """Return whether a run is one of a side's; a key that its sweep did not vary is in its parameters."""
    return all(equal_values(swept.get(key, params.get(key)), value) for key, value in side.items())


def _matches_side(run: StudyRun, side: Side) -> bool:
    return matches_side(run.swept, run.params, side)


def _setting_text(values: Mapping[str, str]) -> str:
    setting = ", ".join(filter(None, (values.get(_SETTING), values.get(_VARIANT))))
    name = arm_name({key: value for key, value in values.items() if key.strip()}, "")
    return f"{name} [{setting}]".strip() if setting else name


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _claim_result(claim: Claim, setting: str, differences: list[float | None], runs: Sequence[StudyRun]) -> ClaimResult:
    effect = estimate(differences)
    if effect is None:
        reason = "no seed in common" if not runs else f"{claim.metric} is not recorded"
        return ClaimResult(claim, setting, None, f"not measured: {reason}")
    budgets = {(run.tag("budget") or "").split(":")[0] for run in runs}
    if claim.needs_full_budget and budgets != {"full"}:
        return ClaimResult(claim, setting, effect, "not decided: needs the full budget")
    return ClaimResult(claim, setting, effect, judge_effect(effect, claim.expects, claim.margin))


def judge_effect(effect: Estimate, expects: str, margin: float) -> str:
    """Return the verdict on an expected effect; it is decided only if the whole interval agrees or contradicts.

    expects: ``higher`` or ``lower`` than 0, ``same`` within ±margin, ``not_higher`` or ``not_lower`` by over margin.
    """
    low, high = effect.low, effect.high
    if low is None or high is None:
        return "not decided: one seed"
    if expects == "same":
        agrees, contradicts = -margin <= low and high <= margin, low > margin or high < -margin
    elif expects == "not_higher":
        agrees, contradicts = high <= margin, low > margin
    elif expects == "not_lower":
        agrees, contradicts = low >= -margin, high < -margin
    elif expects in ("higher", "lower"):
        above, below = low > 0, high < 0
        agrees, contradicts = (above, below) if expects == "higher" else (below, above)
    else:
        return f"not decided: expects={expects} is unknown; use higher, lower, same, not_higher or not_lower"
    return "agrees" if agrees else "contradicts" if contradicts else "not decided by this much data"
