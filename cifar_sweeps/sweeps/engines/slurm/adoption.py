"""Find the jobs that a controller which is gone has left in Slurm."""

from collections.abc import Sequence
from pathlib import Path

from cifar_sweeps.sweeps.engines.base import ENDED
from cifar_sweeps.sweeps.engines.journal_events import JournalEventReader
from cifar_sweeps.sweeps.engines.slurm import commands, queue_watch, submissions
from cifar_sweeps.sweeps.engines.slurm.commands import TaskId
from cifar_sweeps.sweeps.engines.slurm.job_end import is_over, last_line
from cifar_sweeps.sweeps.engines.slurm.queue_watch import Sighting, Watched
from cifar_sweeps.sweeps.engines.slurm.submissions import ArrayTask, Submission
from cifar_sweeps.sweeps.engines.slurm.tracked_job import TrackedJob
from cifar_sweeps.sweeps.jobs import JobEvent, TrainingStarted
from cifar_sweeps.sweeps.tasks import read_exit, read_task


def unfinished_tasks(sweep: Path) -> dict[ArrayTask, tuple[Submission, int]]:
    """Return the last attempt at each job that has been submitted and has not said how it ended, and where it is."""
    return {task: place for task, place in _last_tasks(sweep).items() if not _has_ended(task)}


def left_jobs(sweep: Path) -> list[TrackedJob]:
    """Return the jobs that wait or run in Slurm. Raises NotAnsweredError if it does not say."""
    return _living(sweep)


def places(sweep: Path) -> dict[int, str]:
    """Return where each job waits or runs in Slurm, or how it has ended. Raises NotAnsweredError if it does not say."""
    found = {}
    for task in _last_tasks(sweep):
        written = read_exit(Path(task.folder), task.attempt) if _has_ended(task) else None
        word = "it was not submitted" if written is None else f"{written.cause} {written.detail}".strip()
        found[task.job] = f"{ENDED}{word}"
    return found | {job.task.job: _place(job, sighting) for job, sighting in _look(sweep).items()}


def presumed_jobs(sweep: Path) -> list[TrackedJob]:
    """Return the jobs that may wait or run, where Slurm does not say: one that is gone is found out later."""
    tasks = unfinished_tasks(sweep)
    arrays = {each.name: each.array for each, _ in tasks.values()}
    return [job for task, place in tasks.items() if (job := _tracked(sweep, task, place, arrays)) is not None]


def last_training(events: Sequence[JobEvent]) -> Sequence[JobEvent]:
    """Return the events of the attempt that runs, without those of attempts that have ended."""
    starts = [position for position, event in enumerate(events) if isinstance(event, TrainingStarted)]
    return events[starts[-1] :] if starts else events


def _last_tasks(sweep: Path) -> dict[ArrayTask, tuple[Submission, int]]:
    """Return the last attempt at each job that has been submitted, and where it is."""
    last: dict[int, tuple[ArrayTask, Submission, int]] = {}
    for submission in submissions.read_submissions(sweep):
        for index, task in enumerate(submission.tasks):
            last[task.job] = task, submission, index
    return {task: (submission, index) for task, submission, index in last.values()}


def _tracked(
    sweep: Path, task: ArrayTask, place: tuple[Submission, int], arrays: dict[str, int | None]
) -> TrackedJob | None:
    submission, index = place
    folder = Path(task.folder)
    array = arrays[submission.name]
    found: TaskId | None = (array, index) if array is not None else None
    found = submissions.read_claim(folder, task.attempt) or found
    if found is None:  # it had not been submitted, when the controller died
        return None
    run_folder = Path(read_task(folder).folder)
    job = TrackedJob(task, run_folder, JournalEventReader(task.job, run_folder))
    job.submitted(found, submission.output(sweep, index))
    job.stop = "stop" if submissions.is_stopped(folder, task.attempt) else None
    return job


def _find_array(submission: Submission) -> int | None:
    """Return the id of a submission; the controller may have died before it could note it."""
    if submission.array is not None:
        return submission.array
    return min(commands.find_arrays(submission.name), default=None)


def _has_ended(task: ArrayTask) -> bool:
    """Whether an attempt is over by its own word; one that Slurm has stopped may be queued again."""
    written = read_exit(Path(task.folder), task.attempt)
    return written is not None and (
        written.cause != "stopped" or submissions.is_stopped(Path(task.folder), task.attempt)
    )


def _living(sweep: Path) -> list[TrackedJob]:
    return [job for job, sighting in _look(sweep).items() if _lives(sighting)]


def _lives(sighting: Sighting) -> bool:
    return sighting.state is not None and not is_over(sighting.state)


def _look(sweep: Path) -> dict[TrackedJob, Sighting]:
    """Return how each job stands in Slurm that has been submitted and has not said how it ended."""
    tasks = unfinished_tasks(sweep)
    if not tasks:
        return {}
    arrays = {each.name: _find_array(each) for each, _ in tasks.values()}
    jobs = [job for task, place in tasks.items() if (job := _tracked(sweep, task, place, arrays)) is not None]
    if not jobs:
        return {}
    seen = queue_watch.look([Watched(job.id, job.folder, job.task.attempt) for job in jobs if job.id is not None])
    return {job: seen[job.id] for job in jobs if job.id is not None}


def _place(job: TrackedJob, sighting: Sighting) -> str:
    if not _lives(sighting):
        code = f" {final.code}:{final.signal}" if (final := sighting.final) and (final.code or final.signal) else ""
        said = f", {line}" if sighting.state == "FAILED" and (line := last_line(job.output)) else ""
        return f"{ENDED}{sighting.state or 'Slurm no longer knows it'}{code}{said}"
    if sighting.state == "PENDING":
        known = sighting.reason not in ("", "None")  # nobody has looked at it yet
        return f"queued ({sighting.reason})" if known else "queued"
    return f"on {sighting.node}" if sighting.node else str(sighting.state).lower()
