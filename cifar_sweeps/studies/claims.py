"""A document's claims about its arms, put to the test: an effect over paired seeds, and a verdict in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cifar_sweeps.studies.arms import arm_name, equal_values
from cifar_sweeps.studies.histories import History, metric_at_epoch
from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.study import StudyRun

Side = Mapping[str, object]
"""Swept keys and the values that the runs of a claim's side have."""


@dataclass(frozen=True)
class Claim:
    """That ``metric`` of one arm is higher or lower than, or the same as, that of another arm or a number."""

    says: str
    where: str
    metric: str
    arm: Side
    against: Side | None
    than: float | None
    expects: str
    at: int | None = None
    against_at: int | None = None
    """After which epoch each side is taken; None: at the end."""
    margin: float = 0.01
    needs_full_budget: bool = False


@dataclass(frozen=True)
class ClaimResult:
    """What the runs say to a claim in one setting. ``effect``: the arm's metric less the other's, over seeds."""

    claim: Claim
    setting: str
    effect: Estimate | None
    verdict: str


def read_claims(plain: object) -> list[Claim]:
    """Return the claims that stand in a run's config; entries that are none are left out."""
    if not isinstance(plain, Sequence) or isinstance(plain, str):
        return []
    return [_claim(entry) for entry in plain if isinstance(entry, Mapping) and "metric" in entry and "arm" in entry]


def merge_claims(configs: Mapping[str, Mapping[str, object]], runs: Sequence[StudyRun]) -> list[Claim]:
    """Return the claims of all configs (one an arm), each once.

    A budget scales the epochs in a claim with its config's own, so the config of the claim's own arm has them right.
    """
    found: dict[str, Claim] = {}
    for arm, config in configs.items():
        example = next((run for run in runs if run.arm == arm), None)
        for claim in read_claims(config.get("claims")):
            key = repr(replace(claim, at=None, against_at=None))
            if key not in found or (example is not None and _is_of(example, claim.arm)):
                found[key] = claim
    return list(found.values())


def evaluate_claims(
    claims: Sequence[Claim], runs: Sequence[StudyRun], histories: Mapping[str, History]
) -> list[ClaimResult]:
    """Return what the runs say: one outcome a claim for each setting of the swept keys that the claim leaves open."""
    return [outcome for claim in claims for outcome in _outcomes(claim, runs, histories)]


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


def _epoch(plain: object) -> int | None:
    return None if plain is None else int(str(plain))


def _side(plain: object) -> Side:
    return {str(key): value for key, value in plain.items()} if isinstance(plain, Mapping) else {"experiment": plain}


def _outcomes(claim: Claim, runs: Sequence[StudyRun], histories: Mapping[str, History]) -> list[ClaimResult]:
    compared = _against_arm if claim.against is not None else _against_number
    found = list(compared(claim, runs, histories))
    return found or [ClaimResult(claim, "", None, "not measured")]


def _against_arm(claim: Claim, runs: Sequence[StudyRun], histories: Mapping[str, History]) -> Iterator[ClaimResult]:
    against = claim.against or {}

    def value(run: StudyRun, epoch: int | None) -> float | None:
        return metric_at_epoch(run.metrics, histories.get(run.run_id, {}), claim.metric, epoch)

    if claim.at is not None and claim.at == claim.against_at and claim.arm == against:
        yield ClaimResult(claim, "", None, f"not measured: this budget leaves epoch {claim.at} for both sides")
        return
    named = {*claim.arm, *against}
    for rest, ours in _by_rest(runs, claim.arm).items():
        for other_rest, theirs in _by_rest(runs, against).items():
            mine, other = dict(rest), dict(other_rest)
            common = {key: value for key, value in mine.items() if key not in named}
            if common != {key: value for key, value in other.items() if key not in named}:
                continue
            pairs = [(run, theirs[seed]) for seed, run in ours.items() if seed in theirs]
            differences = [_minus(value(run, claim.at), value(other_run, claim.against_at)) for run, other_run in pairs]
            paired = [run for pair in pairs for run in pair]
            yield _evaluate(claim, _setting_text({**other, **mine}), differences, paired)


def _against_number(claim: Claim, runs: Sequence[StudyRun], histories: Mapping[str, History]) -> Iterator[ClaimResult]:
    for rest, ours in _by_rest(runs, claim.arm).items():
        values = [
            metric_at_epoch(run.metrics, histories.get(run.run_id, {}), claim.metric, claim.at) for run in ours.values()
        ]
        differences = [_minus(value, claim.than or 0.0) for value in values]
        yield _evaluate(claim, _setting_text(dict(rest)), differences, list(ours.values()))


Rest = tuple[tuple[str, str], ...]


def _by_rest(runs: Sequence[StudyRun], side: Side) -> dict[Rest, dict[int | None, StudyRun]]:
    """Return a side's runs by the swept values that it leaves open, and by seed."""
    found: dict[Rest, dict[int | None, StudyRun]] = {}
    for run in runs:
        if _is_of(run, side):
            left = {key: value for key, value in run.swept.items() if key not in side and key != "seed"}
            rest = tuple(sorted({**left, **({"": run.setting} if run.setting else {})}.items()))
            found.setdefault(rest, {})[run.seed] = run
    return found


def _is_of(run: StudyRun, side: Side) -> bool:
    # A key that this sweep held fixed is in the config.
    return all(equal_values(run.swept.get(key, run.params.get(key)), value) for key, value in side.items())


def _setting_text(rest: Mapping[str, str]) -> str:
    setting = rest.get("", "")
    words = arm_name({key: value for key, value in rest.items() if key}, "")
    return f"{words} [{setting}]".strip() if setting else words


def _minus(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _evaluate(claim: Claim, setting: str, differences: list[float | None], runs: Sequence[StudyRun]) -> ClaimResult:
    effect = estimate(differences)
    if effect is None:
        why = "no seed in common" if not runs else f"{claim.metric} is not on record"
        return ClaimResult(claim, setting, None, f"not measured: {why}")
    budgets = {(run.tag("budget") or "").split(":")[0] for run in runs}
    if claim.needs_full_budget and budgets != {"full"}:
        return ClaimResult(claim, setting, effect, "not decided: needs the full budget")
    return ClaimResult(claim, setting, effect, judge_effect(effect, claim.expects, claim.margin))


def judge_effect(effect: Estimate, expects: str, margin: float) -> str:
    """Return what an effect says to an expectation; it is decided only if the whole interval says so.

    ``higher`` and ``lower`` than 0; ``same``: within ±margin; ``not_higher``, ``not_lower``: by no more than margin.
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
        return f"not decided: expects={expects} is not known; higher, lower, same, not_higher or not_lower is"
    return "agrees" if agrees else "contradicts" if contradicts else "not decided by this much data"
