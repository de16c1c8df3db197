"""The claims that a study's files make: read from their configs, and the runs that they are about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cifar_sweeps.studies.arms import equal_values
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
    against_metric: str | None = None
    """The other side's metric; None: the same."""
    is_hedged: bool = False
    """Whether the document only thinks it likely."""
    needs_original_images: bool = False
    copy_allowance: float | None = None
    """By how much a figure may be lower on a copy of CIFAR-10 with other pixels."""
    own_document: str | None = None
    """What the document itself prints against it."""

    @property
    def is_documents(self) -> bool:
        """Whether a document makes it; ours are questions that the documents leave open."""
        return not self.where.startswith(OUR_QUESTION)


OUR_QUESTION = "our question"
"""How the place of a claim begins that no document makes."""


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
            if key not in claims or (example is not None and run_matches(example, claim.arm)):
                claims[key] = claim
    return list(claims.values())


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
        against_metric=None if entry.get("against_metric") is None else str(entry["against_metric"]),
        is_hedged=entry.get("strength") == "hedged",
        needs_original_images=bool(entry.get("needs_original_images", False)),
        copy_allowance=None if entry.get("copy_allowance") is None else float(str(entry["copy_allowance"])),
        own_document=None if entry.get("own_document") is None else str(entry["own_document"]),
    )


def _epoch(value: object) -> int | None:
    return None if value is None else int(str(value))


def _side(arm: object) -> Side:
    return {str(key): value for key, value in arm.items()} if isinstance(arm, Mapping) else {"experiment": arm}


def matches_side(swept: Mapping[str, str], params: Mapping[str, str], side: Side) -> bool:
    """Return whether a run is one of a side's; a key that its sweep did not vary is in its parameters."""
    return all(equal_values(swept.get(key, params.get(key)), value) for key, value in side.items())


def run_matches(run: StudyRun, side: Side) -> bool:
    """Return whether a recorded run is one of a side's."""
    return matches_side(run.swept, run.params, side)
