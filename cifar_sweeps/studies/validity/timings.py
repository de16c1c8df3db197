"""Seconds an epoch of two arms, measured in turn on a machine that does nothing else: what claims about time rest on.

Jobs of a sweep share the machine, so that their seconds say more of their neighbours than of their nets.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.errors import DataError
from cifar_sweeps.studies.intervals import Estimate, estimate

NAME = "seconds.json"


@dataclass(frozen=True)
class TimedPair:
    """Seconds an epoch of ``arm`` and of ``against``, a pair a round; how: on which machine, of how many images."""

    arm: str
    against: str
    rounds: tuple[tuple[float, float], ...]
    how: str

    @property
    def effect(self) -> Estimate | None:
        """The arm's seconds less the other's, as a part of the other's: +0.5 takes half as long again."""
        return estimate(one / other - 1 for one, other in self.rounds if other > 0)


Timings = Mapping[tuple[str, str], TimedPair]


def read_timings(outputs: Path) -> dict[tuple[str, str], TimedPair]:
    """Return what was measured, by the pair's arms; empty if nothing was. Raises DataError for a damaged file."""
    path = outputs / "reference" / NAME
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        pairs = [
            TimedPair(
                str(entry["arm"]),
                str(entry["against"]),
                tuple((float(one), float(other)) for one, other in entry["rounds"]),
                str(entry["how"]),
            )
            for entry in entries
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it, and measure again") from error
    return {(pair.arm, pair.against): pair for pair in pairs}


def write_timings(path: Path, pairs: Sequence[TimedPair]) -> None:
    """Write pairs beside those of other arms that the file has."""
    known = read_timings(path.parent.parent) if path.exists() else {}
    known |= {(pair.arm, pair.against): pair for pair in pairs}
    entries = [
        {"arm": pair.arm, "against": pair.against, "rounds": [list(each) for each in pair.rounds], "how": pair.how}
        for pair in known.values()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
