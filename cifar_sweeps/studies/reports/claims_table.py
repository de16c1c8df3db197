"""The table of a report's claims: what each says, its verdict, and what exactly was tested."""

from collections.abc import Sequence

from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.studies.claims import Claim, Side
from cifar_sweeps.studies.columns import MISSING
from cifar_sweeps.studies.reports.labels import common_folder
from cifar_sweeps.studies.verdicts import ClaimResult


def claims_table(results: Sequence[ClaimResult]) -> TextTable:
    """Return the claims with their effects and verdicts."""
    has_settings = any(result.setting for result in results)
    columns = (
        Column("claim"),
        *((Column("setting"),) if has_settings else ()),
        Column("verdict"),
        Column("effect", is_number=True),
        Column("pairs", is_number=True),
        Column("tested"),
        Column("where", is_extra=True),
    )
    sides = [side for each in results for side in (each.claim.arm, each.claim.against) if side and "experiment" in side]
    folder = common_folder([str(side["experiment"]) for side in sides])
    rows = tuple(_claim_row(result, has_settings, folder) for result in results)
    note = (
        "Effect: the metric of the arm that 'tested' names first minus that of the other (or minus the number), mean "
        "over seeds ± half of the 95% t interval. A claim agrees or is contradicted only if the whole interval does. "
        "gap/loss is validation minus training loss, gap/accuracy training minus validation accuracy."
    )
    decided = sum(result.p is not None for result in results)
    if decided > 1:
        note += (
            f" {decided} claims are decided here by a t test; those that do not stand when all are judged together say "
            "so (Holm)."
        )
    return TextTable("Claims", columns, rows, note=note)


def _claim_row(result: ClaimResult, has_settings: bool, folder: str) -> tuple[str, ...]:
    claim, effect = result.claim, result.effect
    return (
        claim.says,
        *((result.setting or MISSING,) if has_settings else ()),
        result.verdict,
        MISSING if effect is None else effect.text(sign=True),
        str(effect.n if effect else 0),
        _tested(claim, folder),
        claim.where,
    )


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
