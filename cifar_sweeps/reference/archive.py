"""Archives of finished runs: a study's sweeps without checkpoints, pictures and models, as one compressed file.

Runs are only ever added. Unpacked into an outputs folder they are what the sweeps recorded: `cifar-sweeps sync` sends
them to a store, and a sweep that is repeated finds them finished.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cifar_sweeps.errors import DataError
from cifar_sweeps.system.files import is_inside
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_run

_KEPT = ("journal.jsonl", "config.yaml", "sweep.json", "classification_report.json", "classification_report.txt")
"""Files of a run or sweep that are archived; all others can be made from them, or are not needed."""
_DATE = 0  # of all members: the same runs are the same archive


def pack(outputs: Path, study: str, path: Path) -> int:
    """Archive the finished runs of a study in an outputs folder, with those of the archive. Return how many.

    The archive is replaced by a whole one, never written in place.
    """
    unpack(path, outputs)
    found = [folder for folder in _sweeps(outputs, study) if any(_finished(folder))]
    runs = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with tarfile.open(temporary, "w:xz") as archive:
        for sweep in found:
            jobs = list(_finished(sweep))
            runs += len(jobs)
            for folder in (sweep, *jobs):
                for name in _KEPT:
                    _add(archive, folder / name, outputs)
    temporary.replace(path)
    return runs


def unpack(path: Path, outputs: Path) -> None:
    """Put the archived runs that an outputs folder lacks where they were. Raises DataError for a damaged archive."""
    if not path.exists():
        return
    try:
        with tarfile.open(path, "r:xz") as archive:
            for member in archive:
                place = outputs / PurePosixPath(member.name)
                if not member.isfile() or not is_inside(place, outputs) or place.name not in _KEPT:
                    raise DataError(f"{path}: holds {member.name}, which is no file of a run; take an archive of ours")
                if place.exists() or ((place.parent / journal.NAME).exists() and place.name == journal.NAME):
                    continue  # what lies here is newer, or the same
                place.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                place.write_bytes(content.read())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error}); take the last good one from version control") from error


def finished_runs(outputs: Path, study: str) -> int:
    """Return how many runs of a study have finished in an outputs folder."""
    return sum(1 for sweep in _sweeps(outputs, study) for _ in _finished(sweep))


def _sweeps(outputs: Path, study: str) -> Iterator[Path]:
    for folder in sorted((outputs / "sweeps").glob("*")):
        entries = journal.read(folder)
        if entries and entries[0].fields.get("study") == study:
            yield folder


def _finished(sweep: Path) -> Iterator[Path]:
    for folder in journal.folders(sweep):
        if folder != sweep:
            run = read_run(folder)
            if run is not None and run.state == "FINISHED":
                yield folder


def _add(archive: tarfile.TarFile, file: Path, outputs: Path) -> None:
    if not file.is_file():
        return
    member = tarfile.TarInfo(file.relative_to(outputs).as_posix())
    member.size, member.mtime, member.mode = file.stat().st_size, _DATE, 0o644
    with file.open("rb") as content:
        archive.addfile(member, content)
