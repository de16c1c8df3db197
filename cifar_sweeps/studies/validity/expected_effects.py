"""Whether a measured effect is as a claim expects: the verdict of its interval, and the p of the test that it is."""

from dataclasses import replace

from cifar_sweeps.studies.intervals import Estimate
from cifar_sweeps.studies.validity.significance import p_above, p_below


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


def p_of_effect(effect: Estimate, expects: str, margin: float, allowance: float = 0.0) -> float | None:
    """Return the p that `judge_effect`'s verdict rests on, at most 5% if and only if it is decided; None for one seed.

    Twice the one-sided p of the t test of either verdict, agrees or contradicts, whichever is smaller: what agrees and
    what contradicts exclude each other, so that one of them alone can be wrong. allowance: by how much the effect may
    be too low; what it lifts out of a contradiction does not contradict.
    """
    agrees, contradicts = _one_sided(effect, expects, margin)
    lifted = _one_sided(replace(effect, mean=effect.mean + allowance), expects, margin)[1]
    if agrees is None or contradicts is None or lifted is None:
        return None
    return min(1.0, 2 * min(agrees, max(contradicts, lifted)))


def _one_sided(effect: Estimate, expects: str, margin: float) -> tuple[float | None, float | None]:
    """Return the one-sided p of agreement and of contradiction; None where there is none."""
    limit = {"not_higher": margin, "not_lower": -margin}.get(expects, 0.0)
    if expects in ("higher", "lower"):
        above, below = p_above(effect, limit), p_below(effect, limit)
        return (above, below) if expects == "higher" else (below, above)
    if expects == "not_higher":
        return p_below(effect, limit, is_inclusive=True), p_above(effect, limit)
    if expects == "not_lower":
        return p_above(effect, limit, is_inclusive=True), p_below(effect, limit)
    if expects != "same" or effect.half_width is None:
        return None, None
    # Equivalence: two one-sided tests (Schuirmann 1987), both of which have to be passed.
    inside = [p_below(effect, margin, is_inclusive=True), p_above(effect, -margin, is_inclusive=True)]
    outside = [p_above(effect, margin), p_below(effect, -margin)]
    return max(p or 0.0 for p in inside), min(p or 0.0 for p in outside)
