"""``python -m cifar_sweeps.reference [STUDY…]``, ``… status``, ``… table STUDY…``, ``… seconds STUDY…``."""

import sys
from collections.abc import Sequence
from pathlib import Path

from cifar_sweeps.errors import CifarSweepsError, ConfigError
from cifar_sweeps.reference import archive
from cifar_sweeps.reference.campaign import archive_path, train
from cifar_sweeps.reference.seconds import measure, studies_of, timed_pairs
from cifar_sweeps.reference.stages import STAGES, Stage
from cifar_sweeps.reference.status import status_lines
from cifar_sweeps.reference.tables import make_table

FOLDER = Path("outputs/reference")
"""Of archives and tables, in a checkout."""
WORK = Path("outputs/reference-work")
"""The outputs folder in which the campaign trains."""
_USAGE = "python -m cifar_sweeps.reference [STUDY…] [KEY=VALUE…] | status | table STUDY… | seconds STUDY…"


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    try:
        if arguments[:1] == ["status"]:
            for study in dict.fromkeys(stage.study for stage in STAGES):
                archive.unpack(archive_path(FOLDER, study), WORK)
            _say("\n".join(status_lines(STAGES, WORK)))
            return 0
        if arguments[:1] == ["table"]:
            for study in arguments[1:] or _archived():
                _say("\n".join(map(str, make_table(study, FOLDER))))
            return 0
        if arguments[:1] == ["seconds"]:
            measure(timed_pairs(arguments[1:] or studies_of(STAGES)), FOLDER, _say)
            return 0
        studies = [argument for argument in arguments if "=" not in argument]
        return train(_chosen(studies), FOLDER, WORK, _say, [argument for argument in arguments if "=" in argument])
    except KeyboardInterrupt:  # between two stages: nothing is half written
        return 130
    except CifarSweepsError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1


def _chosen(studies: Sequence[str]) -> list[Stage]:
    known = list(dict.fromkeys(stage.study for stage in STAGES))
    unknown = [study for study in studies if study not in known]
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: no study of the reference; there are {', '.join(known)}. {_USAGE}")
    return [stage for stage in STAGES if not studies or stage.study in studies]


def _archived() -> list[str]:
    return sorted(path.name.partition(".")[0] for path in (FOLDER / "journals").glob("*.tar.xz"))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
