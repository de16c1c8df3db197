"""The states of a sweep's jobs, counted as they change: a question costs the same for ten jobs and ten thousand."""

from collections import Counter
from collections.abc import Iterable, Iterator

from cifar_sweeps.sweeps.jobs import JobState

_RUNNING: frozenset[JobState] = frozenset({"training", "wrapping_up"})


class JobStates:
    """The state of each job by its number. jobs: those that wait, in their order."""

    def __init__(self, jobs: Iterable[int]) -> None:
        self._states: dict[int, JobState] = dict.fromkeys(jobs, "waiting")
        self._counts: Counter[JobState] = Counter({"waiting": len(self._states)})
        self._running: dict[int, None] = {}
        """Those that run, in the order in which they were started: a set that keeps it."""

    def get(self, job: int) -> JobState | None:
        """Return a job's state; None of one that is not known."""
        return self._states.get(job)

    def put(self, job: int, state: JobState) -> None:
        """Change a job's state, or take in a new job."""
        before = self._states.get(job)
        if before is not None:
            self._counts[before] -= 1
        self._counts[state] += 1
        self._states[job] = state
        if state not in _RUNNING:
            self._running.pop(job, None)
        else:
            self._running[job] = None

    def is_running(self, job: int) -> bool:
        """Whether a job trains or wraps up."""
        return job in self._running

    @property
    def running(self) -> list[int]:
        """The jobs that train or wrap up."""
        return [*self._running]

    def count(self, states: Iterable[JobState]) -> int:
        """Return how many jobs are in one of the states."""
        return sum(self._counts[state] for state in states)

    def items(self) -> Iterator[tuple[int, JobState]]:
        """Yield all jobs with their states."""
        yield from self._states.items()
