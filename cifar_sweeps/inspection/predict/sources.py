"""Tell the runs from the files among a command's arguments, and find the pictures in folders."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.data.folder_layout import is_litter, show
from cifar_sweeps.errors import ConfigError, DataError, TrackingError
from cifar_sweeps.tracking.recorded_run import RecordedRun
from cifar_sweeps.tracking.store import Store

_PICTURE_ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".jp2", ".tga", ".heic"}
)


@dataclass(frozen=True)
class PictureFile:
    """A file that may be a picture. folder: the subfolder of the given folder that it is in; None if in none."""

    path: str
    folder: str | None = None

    @property
    def shown(self) -> str:
        """The path as printable text."""
        return show(self.path)


def split_arguments(arguments: Sequence[str], store: Store) -> tuple[list[RecordedRun], list[str]]:
    """Return the runs and the paths among ``arguments``: what exists as a file or folder is a path, the rest are runs.

    Raises ConfigError if there is no run or no path, or if a word could be both; TrackingError if a word is neither.
    """
    is_path = {each: os.path.exists(os.path.expanduser(each)) for each in arguments}  # noqa: PTH110, PTH111 (never raise)
    paths = [each for each in arguments if is_path[each]]
    words = [each for each in arguments if not is_path[each]]
    for each in words:
        if _looks_like_a_path(each):
            raise DataError(f"{show(each)}: there is no such file or folder; correct its name")
    # What has a separator in it is not looked up: that is how a path is told from a run of its name.
    both = store.naming_runs([each for each in paths if os.sep not in each])
    if both:
        raise ConfigError(
            f"{show(both[0])}: is a run and also a file or folder here; write ./{show(both[0])} for the latter, or the "
            "run's id for the former"
        )
    runs: list[RecordedRun] = []
    for word in words:
        try:
            runs.append(store.find_run(word))
        except TrackingError as error:
            raise TrackingError(f"neither a file nor a run: {error}") from error
    twice = [run for number, run in enumerate(runs) if run.run_id in {each.run_id for each in runs[:number]}]
    if twice:
        raise ConfigError(f"{twice[0].name} ({twice[0].run_id[:8]}): is named twice; name each run once")
    if not runs:
        raise ConfigError(
            f"{_listed(paths)}: files and folders alone; name a run too: cifar-sweeps predict RUN FILE "
            "(cifar-sweeps results STUDY lists them, and a run prints its id when it ends)"
        )
    if not paths:
        names = ", ".join(f"{run.name} ({run.run_id[:8]})" for run in runs)
        raise ConfigError(f"{names}: no file or folder is named; type cifar-sweeps predict RUN FILE")
    return runs, list(dict.fromkeys(paths))


def find_pictures(paths: Sequence[str]) -> tuple[list[PictureFile], tuple[str, ...]]:
    """Return the files of ``paths``, those of a folder and its subfolders sorted, and lines on what was left out.

    Hidden and system files, and links to folders, are left out of folders. Raises DataError if nothing is left.
    """
    found: list[PictureFile] = []
    skipped = _Skipped()
    for path in paths:
        place = os.path.expanduser(path)  # noqa: PTH111 (a Path would drop the ./ that the user typed)
        found += _walk(place, skipped) if Path(place).is_dir() else [PictureFile(place)]
    if not found:
        raise DataError(f"{_listed(paths)}: no files but hidden ones; name a picture or a folder with some")
    return list({file.path: file for file in found}.values()), tuple(skipped.lines())


def _walk(folder: str, skipped: "_Skipped") -> Iterator[PictureFile]:
    def refuse(error: OSError) -> None:
        skipped.unlisted.append(f"{show(str(error.filename))}: cannot be listed ({error.strerror})")

    for parent, folders, files in os.walk(folder, onerror=refuse):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]  # noqa: PTH114, PTH118
        skipped.links += len(links)
        skipped.hidden += sum(map(is_litter, files))
        folders[:] = sorted(name for name in folders if not is_litter(name) and name not in links)
        below = os.path.relpath(parent, folder)
        top = None if below == os.curdir else Path(below).parts[0]
        for name in sorted(name for name in files if not is_litter(name)):
            yield PictureFile(os.path.join(parent, name), top)  # noqa: PTH118 (as typed, and 1,000 of them)


@dataclass
class _Skipped:
    """What was left out of folders."""

    hidden: int = 0
    links: int = 0

    def __post_init__(self) -> None:
        self.unlisted: list[str] = []

    def lines(self) -> Iterator[str]:
        if self.hidden:
            yield f"{self.hidden:,} hidden or system file{'s' if self.hidden > 1 else ''} left out."
        if self.links:
            yield f"{self.links:,} link{'s' if self.links > 1 else ''} to folders not followed."
        yield from self.unlisted


def _looks_like_a_path(word: str) -> bool:
    return word.startswith(("./", "../", "/", "~")) or Path(word).suffix.lower() in _PICTURE_ENDINGS


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(map(show, paths[:5])) + (f" and {len(paths) - 5:,} more" if len(paths) > 5 else "")
