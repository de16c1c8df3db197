"""Check the folders of a sweep's jobs before the first one starts: each its own, and found again by every command."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from cifar_sweeps.errors import ConfigError

_UNSEARCHED = frozenset({"artifacts", "data", "checkpoints", "report", ".hydra"})
"""Names of folders in which no command looks for runs; see `tracking.journal.folders`."""
_ROOM = 80
"""Characters that the paths of a run's own files need below its folder, those of its temporary files included."""
_NAME_BYTES, _PATH_BYTES = 255, 4096
_OF_RAY_JOB = re.compile(r"/session_[^/]+/runtime_resources/")
"""Where Ray unpacks the files of a job that is submitted with a working directory; they go when Ray needs the room."""
_HINT = (
    "leave hydra.sweep.subdir out, or leave keys out of override_dirname with "
    "'hydra.job.config.override_dirname.exclude_keys=[KEY]'"
)


def check_job_folders(folders: Iterable[tuple[str, Path]], sweep: Path) -> None:
    """Raise ConfigError if a job's folder cannot be used, with all reasons.

    folders: the jobs' names and their folders. sweep: the sweep's folder.
    """
    root = _absolute(sweep)
    errors: dict[str, None] = {}
    taken: dict[str, str] = {}
    fold = str.casefold if ignores_case(sweep) else str
    for job, folder in folders:
        path = fold(_absolute(folder))
        problem = _problem(_absolute(folder), root)
        if problem:
            errors[f"hydra.sweep.subdir: the folder of job {job!r} {problem}; {_HINT}"] = None
        elif path in taken:
            both = f"{taken[path]!r} and {job!r}"
            errors[f"hydra.sweep.subdir: {_absolute(folder)} is the folder of two jobs, {both}; {_HINT}"] = None
        taken.setdefault(path, job)
    for path, job in taken.items():
        above = next((each for each in taken if path.startswith(f"{each}/")), None)
        if above is not None:
            errors[f"hydra.sweep.subdir: job {job!r} would lie in the folder of job {taken[above]!r}; {_HINT}"] = None
    if errors:
        raise ConfigError(errors)


def ignores_case(folder: Path) -> bool:
    """Return whether ``A`` and ``a`` are one file there, as on macOS; of a folder to come, where it will be made."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists()).absolute()
    other = existing.with_name(existing.name.swapcase())
    return other.name != existing.name and other.exists() and other.samefile(existing)


def check_own_folder(key: str, folder: Path, outputs: Path) -> None:
    """Raise ConfigError for a folder of a run or sweep, chosen by ``key``, where no command would look for it."""
    path, root = _absolute(folder), _absolute(outputs)
    if _OF_RAY_JOB.search(f"{root}/"):
        raise ConfigError(
            f"outputs={root}: lies among the files of a Ray job, which Ray removes; name a folder that stays: "
            "outputs=FOLDER, or ray job submit --runtime-env-json "
            '\'{"env_vars": {"CIFAR_SWEEPS_OUTPUTS": "FOLDER"}}\''
        )
    problem = _problem(path, root)
    if problem:
        hint = f"choose one below {outputs}, or set outputs=FOLDER"
        raise ConfigError(f"{key}={folder}: {problem.replace('of the sweep', 'of the outputs')}; {hint}")


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (it takes out "..", and follows no link)


def _problem(path: str, root: str) -> str:
    if path == root:
        return "is that of the sweep itself"
    if not path.startswith(f"{root}/"):
        return f"is outside that of the sweep ({root}), where no command looks for it"
    parts = path[len(root) + 1 :].split("/")
    unsearched = _UNSEARCHED.intersection(parts)
    if unsearched:
        return f"has a part named {', '.join(sorted(unsearched))}, where no command looks for runs ({'/'.join(parts)})"
    too_long = [part for part in parts if len(os.fsencode(part)) > _NAME_BYTES]
    if too_long:
        return f"has a name of {len(os.fsencode(too_long[0]))} bytes, and {_NAME_BYTES} are allowed"
    if len(os.fsencode(path)) > _PATH_BYTES - _ROOM:
        return f"has a path of {len(os.fsencode(path))} bytes, and {_PATH_BYTES - _ROOM} are allowed"
    return ""
