"""Run Slurm's commands, with a limit of time, and read their machine-readable output.

A controller may not answer for minutes. Then what a command would have told is not known, which is another thing than a
job that is gone: `NotAnsweredError`.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.errors import MachineError

PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel")
"""What a site must have. ``sacct`` is used where it works."""
DEFAULT_MAX_ARRAY_SIZE = 1001
"""Slurm's own default."""
_SECONDS = 60.0
"""Seconds after which a command is given up. Slurm's own limit is some seconds for each of several tries."""
_AT_ONCE = 200
"""Jobs that one scancel is given."""
_AWAY = re.compile(
    "timed out|unable to contact|connection|temporarily|zero bytes|standby mode|transport endpoint|not responding"
    "|authentication|munge|network is unreachable",
    re.IGNORECASE,
)
"""What the commands say when the controller, or the way to it, is away for a while."""
_POLICY = re.compile("policy|submit limit", re.IGNORECASE)
_UNKNOWN_JOB = re.compile("invalid job id|^scontrol: Job \\S+ not found", re.IGNORECASE)
_DEFAULTS_OF_USER = re.compile("SQUEUE_|SACCT_|SCANCEL_|SLURM_TIME_FORMAT")
"""Variables by which a user changes what the commands print, or has them ask before they cancel."""

TaskId = tuple[int, int]
"""A task of a job array: the array's job id, and its index."""


class SlurmError(Exception):
    """A command of Slurm failed, in one line."""


class NotAnsweredError(SlurmError):
    """The controller did not answer: what was asked is not known, what was ordered may have been done."""


class PolicyError(SlurmError):
    """A limit of the site is reached: of jobs that one may have in the queue, for example. Fewer may pass."""


@dataclass(frozen=True)
class QueueState:
    """How a task stands in the queue, in Slurm's words. node: where it runs, or ran."""

    state: str
    reason: str = ""
    node: str = ""


@dataclass(frozen=True)
class FinalState:
    """How a job stands or ended, in Slurm's word. code: its exit status; signal: which one ended it, or 0."""

    state: str
    code: int = 0
    signal: int = 0


def check_installed() -> None:
    """Raise MachineError where Slurm's commands are missing."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise MachineError(
            f"hydra/launcher=slurm: {', '.join(missing)} not found on PATH; type the command on a machine from "
            "which jobs are submitted, or use hydra/launcher=local"
        )


def submit(
    script: Path, name: str, tasks: int, *, limit: int | None, after: int | None, without: Sequence[str] = ()
) -> int:
    """Submit a script as an array of so many tasks and return the array's job id.

    name: the jobs' name, by which `find_arrays` knows them again. limit: how many may run at once. after: an array
    that must have ended first. without: variables that sbatch must not see, for they would overrule the script.
    Raises NotAnsweredError if it is not known whether it was submitted, PolicyError, or SlurmError if it was refused.
    """
    array = f"0-{tasks - 1}" + (f"%{limit}" if limit is not None and limit < tasks else "")
    command = ["sbatch", "--parsable", f"--job-name={name}", f"--array={array}", f"--chdir={script.parent}"]
    # Relative to --chdir, for a folder's name may hold what sbatch would replace.
    command += [f"--output={script.stem}-%a.out"] + ([f"--dependency=afterany:{after}"] if after is not None else [])
    answer = _run([*command, str(script)], without).strip().partition(";")[0]
    if not answer.isdigit():
        raise NotAnsweredError(f"sbatch: {answer or 'told no job id'}")
    return int(answer)


def check_submission(script: Path, without: Sequence[str] = ()) -> None:
    """Ask whether a script would be accepted, without submitting it. Raises as `submit` does."""
    _run(["sbatch", "--test-only", f"--chdir={script.parent}", "--output=test.out", "--array=0", str(script)], without)


def find_arrays(name: str) -> set[int]:
    """Return the arrays whose jobs have this name, as far as Slurm remembers them. Raises NotAnsweredError."""
    found = _ask("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F").split()
    if not found:
        lines = _ask_accounting(f"--name={name}", "--starttime=now-30days", "--format=JobID")
        found = [line.partition("_")[0] for line in lines]
    return {int(each) for each in found if each.isdigit()}


def queued_states(arrays: Iterable[int]) -> dict[TaskId, QueueState]:
    """Return how each task of these arrays stands that Slurm still knows. Raises NotAnsweredError."""
    jobs = ",".join(str(array) for array in sorted(arrays))
    try:
        answer = _run(["squeue", "--noheader", "--array", "--states=all", f"--jobs={jobs}", "--format=%F|%K|%T|%r|%N"])
    except SlurmError as error:
        if _UNKNOWN_JOB.search(str(error)):  # all of them are; if only some are, it leaves these out
            return {}
        raise NotAnsweredError(str(error)) from error
    states = {}
    for line in answer.splitlines():
        array, index, *words = line.strip().split("|")
        if array.isdigit() and index.isdigit():
            states[int(array), int(index)] = QueueState(*words[:3])
    return states


def final_state(task: TaskId) -> FinalState | None:
    """Return how a task stands or ended, from the controller or from the accounting; None where neither knows it.

    Raises NotAnsweredError.
    """
    job = f"{task[0]}_{task[1]}"
    try:
        answer = _run(["scontrol", "--oneliner", "show", "job", job])
    except SlurmError as error:
        if _UNKNOWN_JOB.search(str(error)):
            return _recorded_state(job)
        raise NotAnsweredError(str(error)) from error
    fields = dict(re.findall(r"(?:^|\s)(JobState|ExitCode)=(\S*)", answer))
    return FinalState(fields.get("JobState", "UNKNOWN"), *_exit_code(fields.get("ExitCode", "")))


def cancel(tasks: Iterable[TaskId], *options: str) -> None:
    """Cancel or signal tasks, as scancel's options say; those that have ended stay so. Raises NotAnsweredError."""
    jobs = [f"{array}_{index}" for array, index in tasks]
    for first in range(0, len(jobs), _AT_ONCE):
        try:
            _run(["scancel", *options, *jobs[first : first + _AT_ONCE]])
        except NotAnsweredError:
            raise
        except SlurmError:  # some have ended, or have not begun; the others were reached all the same
            continue


def requeue(task: TaskId) -> None:
    """Put a running task back into the queue, for which Slurm ends it. Raises SlurmError."""
    _run(["scontrol", "requeue", f"{task[0]}_{task[1]}"])


def max_array_size() -> int:
    """Return how many tasks an array may have; its greatest index is one less. Raises NotAnsweredError."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config"), re.MULTILINE)
    return max(1, int(found.group(1))) if found else DEFAULT_MAX_ARRAY_SIZE


def _recorded_state(job: str) -> FinalState | None:
    """Return how a job ended as the accounting has it, with its batch step where that alone knows better."""
    lines = [line.split("|") for line in _ask_accounting(f"--jobs={job}", "--format=State,ExitCode")]
    # "CANCELLED by 1000"
    ends = [FinalState(state.split()[0], *_exit_code(code)) for state, code, *_ in lines if state.strip()]
    return next((end for end in ends if end.state == "OUT_OF_MEMORY"), ends[0] if ends else None)


def _ask(*command: str) -> str:
    """Run a command that asks what may be asked at any time: if it fails, the answer is not known."""
    try:
        return _run(command)
    except SlurmError as error:
        raise NotAnsweredError(str(error)) from error


def _ask_accounting(*arguments: str) -> list[str]:
    """Return the lines of sacct; none where a site has no accounting. Raises NotAnsweredError where it is away."""
    if shutil.which("sacct") is None:
        return []
    try:
        return [line for line in _run(["sacct", "--noheader", "--parsable2", *arguments]).splitlines() if "|" in line]
    except NotAnsweredError:
        raise
    except SlurmError:  # "Slurm accounting storage is disabled"
        return []


def _exit_code(text: str) -> tuple[int, int]:
    code, _, number = text.partition(":")
    return int(code) if code.isdigit() else 0, int(number) if number.isdigit() else 0


def _run(command: Sequence[str], without: Sequence[str] = ()) -> str:
    """Run a command and return its output. Raises SlurmError with its last line, or one of its subclasses."""
    own = {key: value for key, value in os.environ.items() if not _DEFAULTS_OF_USER.match(key) and key not in without}
    name = command[0]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            env={**own, "LC_ALL": "C"},
            start_new_session=True,  # Ctrl-C is the sweep's, and must not end a submission halfway
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotAnsweredError(f"{name}: no answer within {_SECONDS:.0f} seconds") from error
    except OSError as error:
        raise NotAnsweredError(f"{name}: {error.strerror}") from error
    if done.returncode == 0:
        return done.stdout
    # "Job 3_1 not found" goes to the standard output.
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    said = lines[-1].removeprefix(f"{name}: ").removeprefix("error: ") if lines else f"status {done.returncode}"
    text = f"{name}: {said}"
    if not lines or _AWAY.search(done.stderr):
        raise NotAnsweredError(text)
    raise (PolicyError if _POLICY.search(text) else SlurmError)(text)
