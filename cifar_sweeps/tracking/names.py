"""Find the one run or sweep that a user means: by an id, the beginning of an id, or a name."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cifar_sweeps.errors import TrackingError, did_you_mean

_SHOWN = 6
_T = TypeVar("_T")


@dataclass(frozen=True)
class Candidate(Generic[_T]):
    """Something that can be named. shown: what tells it from others of the same name, for a message."""

    item: _T
    ids: tuple[str, ...]
    name: str
    shown: str

    def is_named(self, typed: str) -> bool:
        """Return whether a typed word is its name, its id, or the beginning of that."""
        return bool(typed) and (self.name == typed or any(one.startswith(typed) for one in self.ids if one))


def choose(typed: str, candidates: Sequence[Candidate[_T]], what: str, where: str) -> _T:
    """Return the only candidate that ``typed`` names: a whole id first, then names and beginnings of ids alike.

    what: the kind, as in "no run has this id". where: the place that was searched. candidates: the newest first.
    Raises TrackingError if there is none, or if two could be meant, with the id of each.
    """
    matches = [each for each in candidates if typed in each.ids]
    matches = matches or [each for each in candidates if each.is_named(typed)]
    kinds = " or ".join(f"{kind}s" for kind in what.split(" or "))
    if len(matches) == 1:
        return matches[0].item
    if matches:
        how = "have this name" if all(each.name == typed for each in matches) else "have an id or name that begins so"
        raise TrackingError(f"{typed}: {len(matches)} {kinds} {how}: {_listed(matches)}; give the id of one of them")
    guess = did_you_mean(typed, [each.name for each in candidates])
    newest = f"the newest: {_listed(candidates[:3])}" if candidates else f"there are no {kinds} at all"
    raise TrackingError(f"{typed}: no {what} has this id or name in {where}{guess}; {newest}")


def describe(run_id: str, name: str, tags: Mapping[str, str], started: int) -> str:
    """Return a run's short id, its name, its sweep, or when it started. tags: with this project's prefix."""
    sweep_id = tags.get("cifar_sweeps.sweep_id")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(started / 1000)) if started else ""
    place = f"sweep {sweep_id}" if sweep_id and sweep_id not in name else when
    return f"{run_id[:8]} ({', '.join(filter(None, [name, place]))})"


def _listed(candidates: Sequence[Candidate[_T]]) -> str:
    more = f", … ({len(candidates)} in all)" if len(candidates) > _SHOWN else ""
    return ", ".join(each.shown for each in candidates[:_SHOWN]) + more
