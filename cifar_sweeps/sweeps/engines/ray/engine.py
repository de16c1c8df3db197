"""The Ray engine: each job in an actor of a cluster, followed by a thread of this process."""

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from cifar_sweeps.errors import in_one_line
from cifar_sweeps.sweeps.engines.channel import EventChannel
from cifar_sweeps.sweeps.engines.code_snapshot import code_hash
from cifar_sweeps.sweeps.engines.ray.follower import Cluster, FollowerSettings, JobFollower
from cifar_sweeps.sweeps.engines.ray.job_record import JobRecord, actor_name, find_records
from cifar_sweeps.sweeps.jobs import JobEvent, JobExit, JobSpec
from cifar_sweeps.sweeps.tasks import exit_path, read_task, tasks_folder, write_task

_START_SECONDS = 60.0
"""Seconds that jobs have to be placed, and their processes to start, before they are left."""
_CLOSE_SECONDS = 10.0
"""Seconds that the followers have to end when the engine is closed or left."""


class OwnedCluster(Cluster, Protocol):
    """A connected `cluster.RayCluster`, which is left with the engine."""

    def disconnect(self) -> None:
        """Leave it."""


class RayEngine:
    """Runs jobs in actors of a Ray cluster.

    cluster: connected; the engine disconnects it. settings: what all jobs have in common.
    """

    def __init__(self, cluster: OwnedCluster, settings: FollowerSettings) -> None:
        self._cluster, self._settings = cluster, settings
        self._channel = EventChannel()
        self._followers: dict[int, JobFollower] = {}
        self._is_over = False

    def start(self, job: JobSpec) -> None:
        """Start a job's actor, which waits until a node has room for it."""
        try:
            task_folder = write_task(self._settings.sweep, job, code_hash(), self._settings.delivers)
            attempt = read_task(task_folder).attempt
            record = JobRecord(
                job.number,
                attempt,
                actor_name(self._settings.sweep, job.number, attempt),
                task_folder,
                job.folder,
                job.log_file,
                exit_path(task_folder, attempt),
            )
        except OSError as error:  # a full disk
            self._channel.put(JobExit(job.number, "lost", detail=in_one_line(error)))
            return
        self._follow(record, job.payload)

    def stop(self, job: int, *, now: bool = False) -> None:
        """Ask a job to stop at a safe point; now: kill it."""
        if job in self._followers:
            self._followers[job].stop(now)

    def wait(self, seconds: float) -> Sequence[JobEvent | JobExit]:
        """Return what has come in, waiting up to ``seconds`` for the first of it."""
        items = self._channel.drain(seconds)
        for item in items:
            if isinstance(item, JobExit):
                self._followers.pop(item.job, None)
        return items

    def adopt(self, sweep: Path) -> Mapping[int, str | None]:
        """Take over the jobs whose actors another controller has left; Ray gives out the GPUs itself."""
        for record in find_records(tasks_folder(sweep)):
            if record.job not in self._followers and self._cluster.find_actor(record.actor) is not None:
                self._follow(record, None)
        return dict.fromkeys(self._followers)

    def leave(self) -> Collection[int]:
        """Leave the cluster, and let the jobs run on; return those that no node has room for."""
        if self._is_over:
            return []
        self._is_over = True
        end = time.monotonic() + _START_SECONDS
        waiting = [
            each for each in self._followers.values() if not each.wait_for_start(max(0.0, end - time.monotonic()))
        ]
        self._end_followers()
        for follower in waiting:  # nobody would start its process once there is room
            follower.end_actor()
        self._finish()
        return [follower.job for follower in waiting]

    def close(self) -> None:
        """End all actors, and their jobs with them, and leave the cluster."""
        if self._is_over:
            return
        self._is_over = True
        followers = self._end_followers()
        for follower in followers:
            follower.end_actor()
        self._finish()

    def _finish(self) -> None:
        self._settings.token.unlink(missing_ok=True)
        self._cluster.disconnect()

    def _follow(self, record: JobRecord, payload: bytes | None) -> None:
        follower = JobFollower(self._cluster, self._settings, record, self._channel, payload)
        self._followers[record.job] = follower
        follower.start()

    def _end_followers(self) -> list[JobFollower]:
        followers = list(self._followers.values())
        for follower in followers:
            follower.leave()
        for follower in followers:
            follower.join(_CLOSE_SECONDS)
        return followers
