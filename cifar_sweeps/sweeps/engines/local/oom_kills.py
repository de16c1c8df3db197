"""Tell whether the Linux kernel killed a job because memory ran out, by its count of such kills."""

from pathlib import Path

_COUNTERS = Path("/proc/vmstat")


class OomKillCounter:
    """Attributes each of the kernel's out-of-memory kills to at most one job.

    Source: ``oom_kill`` in Linux's /proc/vmstat, which counts those in containers too.
    """

    def __init__(self) -> None:
        self._attributed = _oom_kills() or 0
        self._at_start: dict[int, int | None] = {}

    def job_starts(self, job: int) -> None:
        """Note what the count is when a job starts."""
        self._at_start[job] = _oom_kills()

    def was_oom_killed(self, job: int) -> bool | None:
        """Say whether the kernel killed a job that has died by SIGKILL; None where it does not tell."""
        now, before = _oom_kills(), self._at_start.get(job)
        if now is None or before is None:
            return None
        accounted = max(before, self._attributed)
        if now > accounted:
            self._attributed = accounted + 1
        return now > accounted


def _oom_kills() -> int | None:
    try:
        lines = _COUNTERS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
