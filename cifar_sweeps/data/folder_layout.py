"""Find the training, test and validation images of a folder, and list their files."""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cifar_sweeps.errors import DataError

LAYOUT = "FOLDER/train/CLASS/*.png and FOLDER/test/CLASS/*.png, with the same classes in both"

SIDES = {"train": ("train", "training"), "test": ("test", "testing"), "val": ("val", "valid", "validation")}
"""Names of the folders of each side; capital letters are as good as small ones."""

_LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"})
"""Files and folders of operating systems, apart from hidden ones (``.DS_Store``, ``._photo.png``)."""

_DEPTH = 2  # folders below the given one in which a data set is looked for


class ImageFile(NamedTuple):
    """An image file of a class."""

    path: str
    label: int
    stamp: str
    """Name, size, times and inode, which change when the file, or the folder that it is in, is another."""


class Problem(NamedTuple):
    """A file or folder that cannot be used, and why, with what to do."""

    path: str
    text: str


@dataclass(frozen=True)
class FolderLayout:
    """Folders of one data set. val: None if there is none. note: what was guessed to find them, or empty."""

    folder: Path
    train: Path
    test: Path
    val: Path | None
    note: str = ""


def find_layout(root: Path) -> FolderLayout:
    """Find the folders of the training, test and validation images: in ``root``, around it, or in a folder inside it.

    Raises DataError, with what is there instead, if there are none or several.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "there is no such folder"
        hint = "; unpack it first" if root.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar") else ""
        raise DataError(f"data.root={show(root)}: {what}{hint}; expected {LAYOUT}{_alike(root)}")
    found = _layout_in(root)
    if found is not None:
        return found
    inner = _layouts_below(root)
    if len(inner) == 1:
        note = f"data.root={show(root)}: the images of {show(inner[0].folder)} are used, which has train and test"
        return FolderLayout(inner[0].folder, inner[0].train, inner[0].test, inner[0].val, note)
    if inner:
        names = ", ".join(show(layout.folder) for layout in inner[:5])
        raise DataError(f"data.root={show(root)}: several folders in it have train and test; set data.root to {names}")
    outer = _layout_in(root.parent) if any(root.name.lower() in names for names in SIDES.values()) else None
    if outer is not None:
        note = (
            f"data.root={show(root)}: the images of its parent {show(outer.folder)} are used, which has train and test"
        )
        return FolderLayout(outer.folder, outer.train, outer.test, outer.val, note)
    raise DataError(f"data.root={show(root)}: {_what_is_missing(root)}; expected {LAYOUT}")


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the class folders of one side, sorted. Raises DataError if there are none."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not is_litter(entry.name) and entry.is_dir())
    except OSError as error:
        raise DataError(f"{show(folder)}: cannot be listed ({error.strerror}); change its permissions") from error
    if not names:
        raise DataError(f"{show(folder)}: has no class folders; expected {LAYOUT}")
    return tuple(names)


def common_classes(sides: Sequence[Path]) -> tuple[str, ...]:
    """Return the names of the class folders that all sides have. Raises DataError if they differ."""
    first = class_names(sides[0])
    problems: list[str] = []
    for side in sides[1:]:
        names = class_names(side)
        missing, more = sorted(set(first) - set(names)), sorted(set(names) - set(first))
        spelt = {_folded(name): name for name in more}
        pairs = [(name, spelt[_folded(name)]) for name in missing if _folded(name) in spelt]
        for one, other in pairs:
            problems.append(f"{show(sides[0] / one)} and {show(side / other)} are spelt differently; rename one")
        for there, lacks, odd in ((sides[0], side, missing), (side, sides[0], more)):
            alone = [name for name in odd if name not in {name for pair in pairs for name in pair}]
            if alone:
                shown = ", ".join(map(show, alone[:5])) + (f" and {len(alone) - 5} more" if len(alone) > 5 else "")
                problems.append(
                    f"{shown} is not in both {there.name} and {lacks.name}: {show(lacks)} lacks it; "
                    "add its images there, or remove the class"
                )
    if problems:
        raise DataError(f"{show(sides[0].parent)}: {'; '.join(problems)}; expected {LAYOUT}")
    return first


def list_files(folder: Path, classes: Sequence[str], problems: list[Problem]) -> tuple[list[ImageFile], int]:
    """Return the image files of one side, by class and name, and the number of hidden and system files left out.

    problems: receives what is no image file, and each class without images.
    """
    # Every job of a sweep does this: plain strings take half the time of os.scandir, and a twentieth of pathlib's.
    files: list[ImageFile] = []
    left_out = 0
    for label, name in enumerate(classes):
        class_folder = f"{folder / name}{os.sep}"
        try:
            entries = os.listdir(class_folder)  # noqa: PTH208 (see above)
        except OSError as error:
            problems.append(Problem(class_folder, f"cannot be listed ({error.strerror}); change its permissions"))
            continue
        filenames = sorted(file for file in entries if not is_litter(file))
        left_out += len(entries) - len(filenames)
        if not filenames:
            problems.append(Problem(str(folder / name), "has no images; add some, or remove the class"))
        prefix = f"{folder.name}/{name}/"
        for file in filenames:
            path = class_folder + file
            status = _stat_file(path, problems)
            if status is not None:
                times = f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
                files.append(ImageFile(path, label, f"{prefix}{file} {status.st_size} {times}"))
    return files, left_out


def is_litter(name: str) -> bool:
    """Return whether a file or folder is hidden, or one of an operating system, and no image or class."""
    return name[0] == "." or name.lower() in _LITTER


def show(name: str | Path) -> str:
    """Return a name of any bytes as printable text: what is not UTF-8, and control characters, as escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _stat_file(path: str, problems: list[Problem]) -> os.stat_result | None:
    try:
        status = os.stat(path)  # noqa: PTH116 (a Path for each of 60,000 files takes longer than the rest)
    except OSError as error:
        broken = error.errno in (errno.ENOENT, errno.ELOOP)
        text = "is a broken link" if broken else f"cannot be read ({error.strerror})"
        problems.append(Problem(path, f"{text}; repair or remove it"))
        return None
    if stat.S_ISDIR(status.st_mode):  # if it were ignored, images could be missing unnoticed
        problems.append(Problem(path, "is a folder; move its images up into the class, or remove it"))
        return None
    if not stat.S_ISREG(status.st_mode):
        problems.append(Problem(path, "is no regular file; remove it"))
        return None
    return status


def _layout_in(folder: Path) -> FolderLayout | None:
    train, test, val = (_side(folder, side) for side in SIDES)
    return FolderLayout(folder, train, test, val) if train is not None and test is not None else None


def _side(folder: Path, side: str) -> Path | None:
    folders = {entry.name: entry for entry in _subfolders(folder)}
    spellings = [*SIDES[side], *sorted(folders)]  # a folder with exactly that name goes first
    return next((folders[name] for name in spellings if name in folders and name.lower() in SIDES[side]), None)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not is_litter(entry.name) and entry.is_dir())
    except OSError:
        return []


def _layouts_below(folder: Path) -> list[FolderLayout]:
    level = [folder]
    for _ in range(_DEPTH):
        level = [entry for parent in level for entry in _subfolders(parent)]
        if len(level) > 100:  # class folders, or a home folder: not a data set's wrapping
            return []
        found = [layout for layout in map(_layout_in, level) if layout is not None]
        if found:
            return found
    return []


def _what_is_missing(root: Path) -> str:
    sides = {side: _side(root, side) for side in SIDES}
    names = [show(entry.name) for entry in _subfolders(root)]
    if sides["train"] is not None:
        val = sides["val"]
        if val is not None:
            return (
                f"has no folder 'test', but {val.name!r}: rename it to test, for the final test; validation images "
                "are then taken from train"
            )
        return "has no folder 'test'; move some images of each class there"
    if sides["test"] is not None:
        return "has no folder 'train'"
    if names:
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        return f"has no folder 'train', only {shown}; if these are classes, divide their images into train and test"
    return "has no folder 'train'"


def _alike(root: Path) -> str:
    """Return a suggestion if there is a folder of nearly that name, such as in other capital letters."""
    beside = [entry.name for entry in _subfolders(root.parent)]
    close = [name for name in beside if _folded(name) == _folded(root.name)]
    return f"; did you mean {show(root.parent / close[0])}?" if close else ""


def _folded(name: str) -> str:
    """Return a name without differences of case, Unicode form and outer spaces."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def same_but_for_case(classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of classes whose names differ in case, Unicode form or outer spaces alone."""
    seen: dict[str, str] = {}
    for name in classes:
        if _folded(name) in seen:
            yield seen[_folded(name)], name
        seen.setdefault(_folded(name), name)
