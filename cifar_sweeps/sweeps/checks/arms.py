"""Check the arms of a sweep before it starts: those that claims compare, and one training under two names."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cifar_sweeps.config.parse import flatten
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.studies.arms import arm_name
from cifar_sweeps.studies.claims import Claim, matches_side, read_claims
from cifar_sweeps.studies.pooling import arm_values
from cifar_sweeps.sweeps.manifest import swept_values
from cifar_sweeps.training.precision import resolve_device, resolve_precision

_MAX_NAMED = 12
_MAX_LINES = 4


@dataclass(frozen=True)
class ArmOfJob:
    """A job's config, and the values of the keys that its sweep varies."""

    config: RunConfig
    swept: Mapping[str, str]

    @classmethod
    def of(cls, config: RunConfig, swept: tuple[str, ...]) -> "ArmOfJob":
        """Return the arm of a job of a sweep that varies these keys."""
        return cls(config, swept_values(list(config.overrides), swept))

    @property
    def name(self) -> str:
        """The arm's name, as results and reports have it."""
        return arm_name(self.swept, "one setting")


def check_claims(jobs: Sequence[ArmOfJob], typed: Iterable[str]) -> Iterator[str]:
    """Yield a line if the command line left out arms that the study's claims compare.

    typed: the keys on the command line. Raises ConfigError if none of them did, so that the study's own file claims
    something of an arm that it does not train; with the arms that there are.
    """
    claims: dict[str, Claim] = {}
    for job in jobs:
        for claim in read_claims(job.config.as_dict.get("claims")):
            claims.setdefault(f"{claim.says} {claim.where} {claim.arm} {claim.against}", claim)
    missing = {key: sides for key, claim in claims.items() if (sides := _missing_sides(claim, jobs))}
    if not missing:
        return
    varied = {key for job in jobs for key in job.swept if key != "seed"}
    named = {key for claim in claims.values() for side in (claim.arm, claim.against or {}) for key in side}
    names = list(dict.fromkeys(job.name for job in jobs))
    shown = ", ".join(names[:_MAX_NAMED]) + (f", … ({len(names)} in all)" if len(names) > _MAX_NAMED else "")
    if (varied | named | {"sweep.exclude"}) & set(typed):
        left_out = dict.fromkeys(side for sides in missing.values() for side in sides)
        yield f"Not measured by these jobs: {_count(len(missing), 'claim')} of the study, for want of {_few(left_out)}."
        return
    raise ConfigError(
        f"claims: {claims[key].says or key!r} is about {_few(sides)}, which is no arm of this sweep; its arms: {shown}"
        for key, sides in missing.items()
    )


def _missing_sides(claim: Claim, jobs: Sequence[ArmOfJob]) -> list[str]:
    sides = [claim.arm, *([] if claim.against is None else [claim.against])]
    return [
        " ".join(f"{key}={value}" for key, value in side.items())
        for side in sides
        if not any(matches_side(job.swept, flatten(job.config.as_dict), side) for job in jobs)
    ]


def equal_arms(jobs: Sequence[ArmOfJob]) -> Iterator[str]:
    """Yield a line for arms of different names that are the same training, so that their difference says nothing."""
    groups: dict[str, dict[str, None]] = {}
    seen: dict[tuple[str, int], None] = {}
    twice: dict[str, None] = {}
    for job in jobs:
        if (job.name, job.config.seed) in seen:
            twice[" ".join(f"{key}={value}" for key, value in job.swept.items()) or job.name] = None
        else:
            seen[job.name, job.config.seed] = None
            groups.setdefault(repr(_training(job.config)), {})[job.name] = None
    if twice:
        yield f"Given more than once, and trained as often: {_few(twice)}."
    alike = [[*names] for names in groups.values() if len(names) > 1]
    for names in alike[:_MAX_LINES]:
        yield f"{' and '.join(names[:_MAX_NAMED])} are the same training here: they will differ in nothing."
    if len(alike) > _MAX_LINES:
        yield f"… and {len(alike) - _MAX_LINES} more such groups of arms."


def _training(config: RunConfig) -> list[tuple[str, str]]:
    """Return what a config trains, with names that mean the same replaced by one."""
    plain: dict[str, Any] = dict(config.as_dict)
    for rule in _EQUIVALENCES:
        plain = rule(plain)
    values = arm_values(flatten(plain), {})
    return sorted((key, _number(value)) for key, value in values.items())


def _number(text: str) -> str:
    try:
        return str(float(text))
    except ValueError:
        return text


def _without_documentation(config: dict[str, Any]) -> dict[str, Any]:
    """Leave out the numbers that only a model's file refers to: what the model takes of them stands in its node."""
    regularization = {key: value for key, value in config["regularization"].items() if key != "dropout"}
    return {**config, "kernel_size": None, "regularization": regularization}


def _adamw_without_decay(config: dict[str, Any]) -> dict[str, Any]:
    """AdamW whose own decay is off is Adam; the decoupled decay of `regularization` is the same under both."""
    optimizer = dict(config["optimizer"])
    if optimizer.get("_target_") in ("torch.optim.Adam", "torch.optim.AdamW") and not optimizer.get(
        "weight_decay", 0.01
    ):
        optimizer = {key: value for key, value in optimizer.items() if key != "weight_decay"}
        optimizer["_target_"] = "torch.optim.Adam"
    return {**config, "optimizer": optimizer}


def _sgd_without_momentum(config: dict[str, Any]) -> dict[str, Any]:
    """RMSprop and others aside: SGD's Nesterov form and damping mean nothing without momentum."""
    optimizer = dict(config["optimizer"])
    if optimizer.get("_target_") == "torch.optim.SGD" and not optimizer.get("momentum"):
        optimizer = {key: value for key, value in optimizer.items() if key not in ("momentum", "nesterov", "dampening")}
    return {**config, "optimizer": optimizer}


def _milestones_never_reached(config: dict[str, Any]) -> dict[str, Any]:
    """A step schedule whose milestones lie at or behind the end is constant."""
    schedule = dict(config["lr_schedule"])
    total = config["trainer"]["epochs"] * config["trainer"]["parts"]
    milestones = schedule.get("milestones")
    is_step = schedule.get("_target_") == "cifar_sweeps.training.schedules.Step"
    if is_step and isinstance(milestones, list) and all(epoch >= total for epoch in milestones):
        schedule = {"_target_": "cifar_sweeps.training.schedules.Constant"}
    return {**config, "lr_schedule": schedule}


def _as_resolved(config: dict[str, Any]) -> dict[str, Any]:
    """What ``auto`` stands for on this machine, what is tested after a single epoch, a patience beyond the end."""
    trainer = dict(config["trainer"])
    device = resolve_device(trainer["device"])
    trainer |= {"device": device.type, "precision": resolve_precision(trainer["precision"], device).name}
    total = trainer["epochs"] * trainer["parts"]
    if total == 1:
        trainer["select"] = "last"
    patience = trainer["early_stopping"]["patience"]
    if patience is None or patience >= total:
        trainer["early_stopping"] = {"patience": None}
    return {**config, "trainer": trainer}


_EQUIVALENCES: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (
    _as_resolved,
    _without_documentation,
    _adamw_without_decay,
    _sgd_without_momentum,
    _milestones_never_reached,
)


def _few(names: Iterable[str]) -> str:
    listed = [*names]
    return " and ".join(listed[:3]) + (f" and {len(listed) - 3} more arms" if len(listed) > 3 else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
