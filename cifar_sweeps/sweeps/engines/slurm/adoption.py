"""Find the jobs that a controller which is gone has left in Slurm."""

from collections.abc import Sequence
from pathlib import Path

from cifar_sweeps.sweeps.engines.journal_events import JournalEventReader
from cifar_sweeps.sweeps.engines.slurm import commands, queue_watch, submissions
from cifar_sweeps.sweeps.engines.slurm.commands import TaskId
from cifar_sweeps.sweeps.engines.slurm.job_end import is_over
from cifar_sweeps.sweeps.engines.slurm.queue_watch import Watched
from cifar_sweeps.sweeps.engines.slurm.submissions import ArrayTask, Submission
from cifar_sweeps.sweeps.engines.slurm.tracked_job import TrackedJob
from cifar_sweeps.sweeps.engines.task import read_exit, read_task
from cifar_sweeps.sweeps.jobs import JobEvent, TrainingStarted


def unfinished_tasks(sweep: Path) -> dict[ArrayTask, tuple[Submission, int]]:
    """Return the last attempt at each job that has been submitted and has not said how it ended, and where it is."""
    last: dict[int, tuple[ArrayTask, Submission, int]] = {}
    for submission in submissions.read_submissions(sweep):
        for index, task in enumerate(submission.tasks):
            last[task.job] = task, submission, index
    return {task: (submission, index) for task, submission, index in last.values() if not _has_ended(task)}


def left_jobs(sweep: Path) -> list[TrackedJob]:
    """Return the jobs that wait or run in Slurm. Raises NotAnsweredError if it does not say."""
    tasks = unfinished_tasks(sweep)
    arrays = {each.name: _find_array(each) for each, _ in tasks.values()}
    jobs = [job for task, place in tasks.items() if (job := _tracked(sweep, task, place, arrays)) is not None]
    sightings = queue_watch.look([Watched(job.id, job.folder, job.task.attempt) for job in jobs if job.id is not None])
    return [job for job in jobs if job.id in sightings and _lives(sightings[job.id].state)]


def presumed_jobs(sweep: Path) -> list[TrackedJob]:
    """Return the jobs that may wait or run, where Slurm does not say: one that is gone is found out later."""
    tasks = unfinished_tasks(sweep)
    arrays = {each.name: each.array for each, _ in tasks.values()}
    return [job for task, place in tasks.items() if (job := _tracked(sweep, task, place, arrays)) is not None]


def last_training(events: Sequence[JobEvent]) -> Sequence[JobEvent]:
    """Return the events of the attempt that runs, without those of attempts that have ended."""
    starts = [position for position, event in enumerate(events) if isinstance(event, TrainingStarted)]
    return events[starts[-1] :] if starts else events


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


def _lives(state: str | None) -> bool:
    return state is not None and not is_over(state)
