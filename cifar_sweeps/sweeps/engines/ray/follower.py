"""Follow one job from its actor's start to its end, in a thread: place it, copy what it writes, say how it ended."""

import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from cifar_sweeps.errors import CifarSweepsError, in_one_line
from cifar_sweeps.sweeps.engines.channel import EventChannel
from cifar_sweeps.sweeps.engines.journal_events import JournalEventReader
from cifar_sweeps.sweeps.engines.ray.actor import Place, Report
from cifar_sweeps.sweeps.engines.ray.cluster import ActorLostError, ActorNeeds, GivenUpError
from cifar_sweeps.sweeps.engines.ray.job_record import JobRecord
from cifar_sweeps.sweeps.engines.ray.mirror import FolderMirror
from cifar_sweeps.sweeps.engines.ray.relocation import check_place, find_requirements
from cifar_sweeps.sweeps.engines.ray.sending import send_job
from cifar_sweeps.sweeps.jobs import MAYBE_OUT_OF_MEMORY, JobExit, TrainingEnded
from cifar_sweeps.sweeps.tasks import read_exit, read_payload
from cifar_sweeps.system.files import write_text_atomic
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery_thread import DeliveryThread

_POLL_SECONDS = 0.5
"""Seconds between two reports of a job."""
_DEAD_SECONDS = 5.0
"""Seconds after which a job that is to be killed is given up, if its node does not answer."""
_ALL = 1 << 40
"""A number of bytes that no log has."""
_LOCK_SECONDS = 60.0
"""Seconds that a process of the job's previous attempt has to end, which a dead node may have left."""


class Cluster(Protocol):
    """What is needed of a `cluster.RayCluster`."""

    def start_actor(self, name: str, needs: ActorNeeds, outlives_us: bool) -> Any:  # noqa: ANN401
        """Start the actor of a job."""

    def find_actor(self, name: str) -> Any | None:  # noqa: ANN401
        """Find an actor again."""

    def call(self, actor: Any, method: str, *arguments: Any, given_up: Callable[[], bool]) -> Any:  # noqa: ANN401
        """Call it."""

    def kill(self, actor: Any) -> None:  # noqa: ANN401
        """End it."""


@dataclass(frozen=True)
class FollowerSettings:
    """What all jobs of a sweep have in common.

    token: see `shared_folder`. use_shared: false: no node is taken to share the outputs. base: the folder on each node
    for those that do not; None: among its temporary files. outlives_us: whether actors go on without this process.
    delivers: whether what a job records is sent to the store while it runs; from here where its folder is copied. code:
    the folder of the package that runs, where the disk is shared; empty: each node's own. environment: what is added to
    that of the worker processes.
    """

    sweep: Path
    token: Path
    needs: ActorNeeds
    use_shared: bool
    base: str | None
    outlives_us: bool
    delivers: bool
    code: str
    environment: Mapping[str, str] = field(repr=False)  # it may hold logins


class JobFollower(threading.Thread):
    """Follows one job, and puts its events and at last its exit into the channel.

    record: the job's. payload: of the job, whose actor is started; None: another controller has started that.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: FollowerSettings,
        record: JobRecord,
        channel: EventChannel,
        payload: bytes | None,
    ) -> None:
        super().__init__(name=f"job {record.job}", daemon=True)
        self._cluster, self._settings, self._channel, self._payload = cluster, settings, channel, payload
        self._record, self.job = record, record.job
        self._actor: Any = None
        self._mirror: FolderMirror | None = None
        self._delivery: DeliveryThread | None = None
        self._wake = threading.Event()
        self._to_stop = self._to_kill = self._is_left = False
        self._has_process = threading.Event()
        self._kill_since = 0.0

    def stop(self, now: bool) -> None:
        """Ask the job to stop at a safe point; now: kill it."""
        if now and not self._to_kill:
            self._kill_since = time.monotonic()
            self._to_kill = True
        self._to_stop = True
        self._wake.set()

    def leave(self) -> None:
        """Follow no longer, and let the job run on."""
        self._is_left = True
        self._wake.set()

    def wait_for_start(self, seconds: float) -> bool:
        """Say whether the job's process has been started, waiting for it unless the job has ended."""
        end = time.monotonic() + seconds
        while not self._has_process.wait(min(_POLL_SECONDS, max(0.0, end - time.monotonic()))):
            if not self.is_alive() or time.monotonic() >= end:
                return False
        return True

    def end_actor(self) -> None:
        """End the job's actor, and the job with it."""
        if self._actor is not None:
            self._cluster.kill(self._actor)

    def run(self) -> None:
        """Follow the job to its end."""
        job = self._record.job
        try:
            job_exit = self._follow()
        except GivenUpError:
            job_exit = JobExit(job, "signalled", code=signal.SIGKILL) if self._to_kill else JobExit(job, "stopped")
        except ActorLostError as error:
            job_exit = JobExit(job, error.cause, detail=self._explain(error))
        except CifarSweepsError as error:
            job_exit = JobExit(job, "raised", detail=in_one_line(error))
        except Exception as error:  # noqa: BLE001 (a full disk here, what an actor raises: this job alone has ended)
            job_exit = JobExit(job, "lost", detail=in_one_line(error))
        if self._delivery is not None:
            self._delivery.finish(patient=False)  # what it does not take now is sent when the sweep ends
        if self._mirror is not None:
            self._mirror.close()  # before the exit is known: the controller then writes the journal's end
        if self._is_left:
            return
        self.end_actor()
        self._channel.put(job_exit)

    def _follow(self) -> JobExit:
        is_found = self._payload is None and self._find()
        if not is_found:
            self._start(read_payload(self._record.task_folder) if self._payload is None else self._payload)
        reader = JournalEventReader(self._record.job, self._record.folder)
        earlier = reader.poll()  # of previous attempts: their ends are not this one's
        if is_found:
            for event in earlier:
                if not isinstance(event, TrainingEnded) or event is earlier[-1]:
                    self._channel.put(event)
        told_to_stop = told_to_kill = False
        while True:
            if self._to_kill and not told_to_kill:
                told_to_kill = told_to_stop = True
                self._call("kill")
            if self._to_stop and not told_to_stop:
                told_to_stop = True
                self._call("stop")
            report, is_complete = self._update()
            reader.feed(self._channel)
            if report.exit_code is None:
                self._wake.wait(_POLL_SECONDS)
                self._wake.clear()
            elif is_complete:
                return self._end(report)

    def _update(self) -> tuple[Report, bool]:
        if self._mirror is None:
            report: Report = self._call("poll", 0, 0)
            return report, True
        lines = self._mirror.lines
        report = self._call("poll", lines, self._mirror.log_bytes)
        is_complete = self._mirror.update(report, lambda path, offset: self._call("read", path, offset))
        if self._settings.delivers and self._mirror.lines > lines:
            self._deliver()
        return report, is_complete

    def _deliver(self) -> None:
        if self._delivery is None:
            entries = journal.read(self._record.folder)
            if not entries or entries[0].fields["backend"] == "none":
                return
            self._delivery = DeliveryThread(self._record.folder)
        self._delivery.send()

    def _start(self, payload: bytes) -> None:
        settings, record = self._settings, self._record
        if self._actor is None:
            record.write()  # first: an actor without a record would be found by nobody, and keep its place
            self._actor = self._cluster.start_actor(record.actor, settings.needs, settings.outlives_us)
        requirements = find_requirements(payload)
        needed = [] if requirements.images is None else [requirements.images]
        places = (requirements.outputs, requirements.typed_in)
        place: Place = self._call("locate", str(settings.token), settings.use_shared, settings.base, *places, needed)
        log_start = record.log_file.stat().st_size if record.log_file.exists() else 0
        self._record = record = replace(record, node=place.node, root=place.root, log_start=log_start)
        record.write()
        self._wait_for_previous_attempt()
        if not place.is_shared:
            check_place(requirements, place)
            self._mirror = FolderMirror(record.folder, record.log_file, place.root)
            send_job(self._call, settings.sweep, record, requirements, payload)
        if self._given_up():
            raise GivenUpError
        code = settings.code if place.is_shared else ""
        self._call("start", record.paths_on_node(requirements.typed_in), code, settings.environment)
        self._has_process.set()

    def _find(self) -> bool:
        """Find the actor of a job that another controller has started; False: that one had not started its process."""
        record = self._record
        self._actor = self._cluster.find_actor(record.actor)
        if self._actor is None:
            raise ActorLostError("lost", "its Ray actor has ended")
        if not record.node:  # it waits for room, or has just found it
            return False
        self._has_process.set()  # nearly always: a stop must not end the actor while it is asked
        if not self._call("has_process"):
            self._has_process.clear()
            return False
        if not record.root:
            return True
        self._mirror = FolderMirror(record.folder, record.log_file, record.root)
        lines = b""
        while part := self._call("poll", lines.count(b"\n"), _ALL).journal:
            lines += part
        size = record.log_file.stat().st_size if record.log_file.exists() else 0
        self._mirror.adopt(lines, max(0, size - record.log_start))
        return True

    def _wait_for_previous_attempt(self) -> None:
        """Wait until no process writes the run: one that a dead node has left ends within seconds."""
        end = time.monotonic() + _LOCK_SECONDS
        while journal.is_locked(self._record.folder) and time.monotonic() < end:
            if self._given_up():
                raise GivenUpError
            time.sleep(_POLL_SECONDS)

    def _end(self, report: Report) -> JobExit:
        """Return how the job ended, once all that it has written is here."""
        record = self._record
        if report.exit_record is not None and read_exit(record.task_folder, record.attempt) is None:
            write_text_atomic(record.exit_file, report.exit_record.decode())
        self._call("remove_files")
        known = read_exit(record.task_folder, record.attempt)
        if known is not None:
            return replace(known, detail=known.detail.replace(record.root, "")) if record.root else known
        code = report.exit_code or 0
        if code >= 0:
            return JobExit(record.job, "exited", code=code)
        if -code != signal.SIGKILL:
            return JobExit(record.job, "signalled", code=-code)
        if report.was_oom_killed:
            return JobExit(record.job, "out_of_memory", code=signal.SIGKILL)
        detail = MAYBE_OUT_OF_MEMORY if report.was_oom_killed is None else ""
        return JobExit(record.job, "signalled", detail=detail, code=signal.SIGKILL)

    def _explain(self, error: ActorLostError) -> str:
        node = self._record.node
        if error.cause == "node_failed":
            return node
        return f"{error} (node {node})" if node else str(error)

    def _call(self, method: str, *arguments: Any) -> Any:  # noqa: ANN401 (what each of the actor's methods returns)
        if self._is_left:
            raise GivenUpError
        return self._cluster.call(self._actor, method, *arguments, given_up=self._given_up)

    def _given_up(self) -> bool:
        if self._is_left:
            return True
        if self._to_kill and time.monotonic() - self._kill_since > _DEAD_SECONDS:
            return True
        return self._to_stop and not self._has_process.is_set()
