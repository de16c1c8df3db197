"""The table of a report's claims: what each says, its verdict, and what exactly was tested."""

from collections.abc import Sequence

from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.studies.claims import Claim, Side
from cifar_sweeps.studies.columns import MISSING
from cifar_sweeps.studies.reports.labels import common_folder
from cifar_sweeps.studies.verdicts import ClaimResult


def claims_table(results: Sequence[ClaimResult]) -> TextTable:
    """Return the claims with their effects and verdicts: each alone, and where several are judged, all together."""
    has_settings = any(result.setting for result in results)
    judged = sum(result.p is not None for result in results)
    columns = (
        Column("claim"),
        *((Column("setting"),) if has_settings else ()),
        Column("verdict"),
        *((Column("together"),) if judged > 1 else ()),
        Column("effect", is_number=True),
        Column("pairs", is_number=True),
        Column("tested"),
        *((Column("p", True, is_extra=True), Column("p together", True, is_extra=True)) if judged > 1 else ()),
        Column("where", is_extra=True),
    )
    sides = [side for each in results for side in (each.claim.arm, each.claim.against) if side and "experiment" in side]
    folder = common_folder([str(side["experiment"]) for side in sides])
    rows = tuple(_claim_row(result, has_settings, judged > 1, folder) for result in results)
    note = (
        "Effect: the metric of the arm that 'tested' names first minus that of the other (or minus the number), mean "
        "over seeds ± half of the 95% t interval. A claim agrees or is contradicted only if the whole interval does. "
        "gap/loss is validation minus training loss, gap/accuracy training minus validation accuracy."
    )
    if judged > 1:
        note += _together_note(judged, len(results) - judged)
    return TextTable("Claims", columns, rows, note=note)


def _together_note(judged: int, others: int) -> str:
    """Return what ``together`` means. judged: how many claims have a p; others: how many have none."""
    left_out = f" {others} more cannot be judged, and do not count." if others else ""
    return (
        f" {judged} claims are judged here, decided or not.{left_out} Alone, a verdict is wrong by chance in up to one "
        f"case of twenty; together: the verdicts of which, with 95% confidence, none is wrong by chance (Holm 1979). "
        "p: of the t test of the claim; p together: adjusted by Holm, at most .05 where the claim is decided together."
    )


def claim_records(results: Sequence[ClaimResult]) -> list[dict[str, object]]:
    """Return one record a claim and setting for files: what was tested, the effect and its interval, both verdicts.

    ``judged``: how many claims of the report have a p. The records of an unmeasured claim have no effect.
    """
    judged = sum(result.p is not None for result in results)
    return [
        {
            "says": result.claim.says,
            "where": result.claim.where,
            "setting": result.setting,
            "tested": _tested(result.claim, ""),
            "verdict": result.verdict,
            "effect": result.effect and result.effect.mean,
            "low": result.effect and result.effect.low,
            "high": result.effect and result.effect.high,
            "pairs": result.effect.n if result.effect else 0,
            "p": result.p,
            "p_together": result.p_together,
            "verdict_together": result.together,
            "judged": judged,
        }
        for result in results
    ]


def _claim_row(result: ClaimResult, has_settings: bool, is_one_of_several: bool, folder: str) -> tuple[str, ...]:
    claim, effect = result.claim, result.effect
    p_values = [MISSING if p is None else _p(p) for p in (result.p, result.p_together)]
    return (
        claim.says,
        *((result.setting or MISSING,) if has_settings else ()),
        result.verdict,
        *((result.together or MISSING,) if is_one_of_several else ()),
        MISSING if effect is None else effect.text(sign=True),
        str(effect.n if effect else 0),
        _tested(claim, folder),
        *(p_values if is_one_of_several else ()),
        claim.where,
    )


def _p(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def _tested(claim: Claim, folder: str) -> str:
    """Return ``model_1: val/loss at epoch 10 higher than at epoch 2``. folder: of all arms; it is left out."""
    expects = {
        "same": f"same ±{claim.margin:g} as",
        "not_higher": f"not higher by {claim.margin:g} than",
        "not_lower": f"not lower by {claim.margin:g} than",
    }.get(claim.expects, f"{claim.expects} than")
    by_epoch = claim.at is not None or claim.against_at is not None
    at = f" {_at(claim.at)}" if by_epoch else ""
    left = f"{_name(claim.arm, folder)}: {claim.metric}{at} {expects}"
    if claim.against is None:
        return f"{left} {claim.than or 0:g}"
    differing = [
        *([_name(claim.against, folder)] if claim.against != claim.arm else []),
        *([claim.against_metric] if claim.against_metric not in (None, claim.metric) else []),
        *([_at(claim.against_at)] if by_epoch else []),
    ]
    return f"{left} {' '.join(filter(None, differing))}"


def _at(epoch: int | None) -> str:
    return "at the end" if epoch is None else f"at epoch {epoch}"


def _name(side: Side, folder: str) -> str:
    return " ".join(
        str(value).removeprefix(folder) if key == "experiment" else f"{key}={value}" for key, value in side.items()
    )
