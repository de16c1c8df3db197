"""The settings of `hydra/launcher=slurm`, checked before anything is planned."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cifar_sweeps.errors import ConfigError

_WORD = re.compile(r"[\w.,:@+=/%-]+")
"""What a value on an #SBATCH line may consist of, so that nothing has to be quoted."""
_MEMORY = re.compile(r"\d+[KMGT]?", re.IGNORECASE)
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d{1,2}))?(?::(?P<third>\d{1,2}))?")
_OURS = frozenset(
    {"array", "chdir", "error", "export", "job-name", "no-requeue", "ntasks", "open-mode", "output", "parsable"}
    | {"requeue", "signal", "test-only", "wait", "wrap", *"aDeJnoW"}
)
"""Options of sbatch that the engine sets itself."""


@dataclass(frozen=True)
class SlurmSettings:
    """What each job asks of Slurm, as `conf/hydra/launcher/slurm.yaml` explains it. None: as the site has it.

    n_jobs: how many run at once; None: as many as Slurm lets. extra: further options of sbatch, ``--name=value``.
    setup: lines of shell that run before the job. signal_seconds: how long before its time limit a job ends at a whole
    epoch and is queued again. poll_seconds: how often squeue is asked.
    """

    n_jobs: int | None = None
    partition: str | None = None
    account: str | None = None
    time: str | None = None
    memory: str | None = None
    cpus: int = 1
    gpus: str | None = None
    extra: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    signal_seconds: int = 120
    poll_seconds: float = 10.0


def check_settings(
    *,
    n_jobs: object = "auto",
    partition: object = None,
    account: object = None,
    time: object = None,
    memory: object = None,
    cpus: object = 1,
    gpus: object = None,
    extra: object = (),
    setup: object = (),
    signal_seconds: object = 120,
    poll_seconds: object = 10,
) -> SlurmSettings:
    """Return the settings of a config. Raises ConfigError with all that is wrong with them."""
    errors: list[str] = []

    def refuse(key: str, value: object, rule: str) -> None:
        errors.append(f"hydra.launcher.{key}={value}: {rule}")

    def is_count(value: object, least: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    if n_jobs != "auto" and not is_count(n_jobs, 1):
        refuse("n_jobs", n_jobs, "must be auto (as many as Slurm lets run), or at least 1")
    for key, value in (("partition", partition), ("account", account)):
        if value is not None and not _WORD.fullmatch(str(value)):
            refuse(key, value, "must be one word, as sbatch takes it")
    if memory is not None and not _MEMORY.fullmatch(str(memory)):
        refuse("memory", memory, "must be a size as sbatch takes it, such as 4G or 500M")
    if not is_count(cpus, 1):
        refuse("cpus", cpus, "must be an integer of at least 1")
    if gpus is not None and not (is_count(gpus, 0) or re.fullmatch(r"[\w.-]+:\d+", str(gpus))):
        refuse("gpus", gpus, "must be a number, or a type and a number, such as a100:1")
    if not is_count(signal_seconds, 1) or int(str(signal_seconds)) > 65535:
        refuse("signal_seconds", signal_seconds, "must be an integer from 1 to 65535")
    if not isinstance(poll_seconds, int | float) or isinstance(poll_seconds, bool) or poll_seconds <= 0:
        refuse("poll_seconds", poll_seconds, "must be a number above 0")
    seconds = None
    if time is not None:
        seconds = seconds_of_limit(time) if isinstance(time, str) else None
        if seconds is None:
            example = "hours:minutes:seconds or days-hours, such as '4:00:00' or '2-12'; in a YAML file in quotes"
            refuse("time", time, f"must be {example}")
        elif is_count(signal_seconds, 1) and seconds <= int(str(signal_seconds)):
            rule = f"must be longer than signal_seconds={signal_seconds}, in which a job ends before its limit"
            refuse("time", time, rule)
    lines: dict[str, tuple[str, ...]] = {}
    for key, value in (("extra", extra), ("setup", setup)):
        found = _as_lines(value)
        if found is None:
            refuse(key, value, "must be a list of lines")
        lines[key] = found or ()
    for line in lines["extra"]:
        if why := _why_not_extra(line):
            refuse("extra", line, why)
    if errors:
        raise ConfigError(errors)
    return SlurmSettings(
        n_jobs=None if n_jobs == "auto" else int(str(n_jobs)),
        partition=None if partition is None else str(partition),
        account=None if account is None else str(account),
        time=None if time is None else str(time),
        memory=None if memory is None else str(memory),
        cpus=int(str(cpus)),
        gpus=None if gpus in (None, 0) else str(gpus),
        extra=lines["extra"],
        setup=lines["setup"],
        signal_seconds=int(str(signal_seconds)),
        poll_seconds=float(str(poll_seconds)),
    )


def seconds_of_limit(text: str) -> int | None:
    """Return the seconds of a time limit in Slurm's notation, None if it is none or has no colon and no day.

    A bare number means minutes to Slurm, and seconds to whoever reads ``sweep.timeout``: it is not taken.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    first, second, third = (int(found[name]) if found[name] else 0 for name in ("first", "second", "third"))
    if found["days"] is not None:
        return ((int(found["days"]) * 24 + first) * 60 + second) * 60 + third
    if found["second"] is None:
        return None
    if found["third"] is None:  # minutes:seconds
        return first * 60 + second
    return (first * 60 + second) * 60 + third


def _as_lines(value: object) -> tuple[str, ...] | None:
    """Return a list of single lines, or None if it is none."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    lines = tuple(value)
    return lines if all(isinstance(line, str) and "\n" not in line and "\0" not in line for line in lines) else None


def _why_not_extra(line: str) -> str | None:
    """Return why a line cannot stand among the options of sbatch, or None."""
    if not line.startswith("-"):
        return "must be an option of sbatch, such as --constraint=skylake"
    name = line.lstrip("-").split("=")[0].split()[0] if line.strip("- ") else ""
    name = name if line.startswith("--") else name[:1]
    return f"{line.split('=')[0].split()[0]} is set by cifar_sweeps itself" if name in _OURS else None
