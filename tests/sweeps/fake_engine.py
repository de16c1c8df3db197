"""An engine without processes: it plays back what each attempt at a job reports and how it ends."""

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from cifar_sweeps.search.scheduler import GridScheduler
from cifar_sweeps.sweeps.controller import Controller
from cifar_sweeps.sweeps.jobs import EpochReport, JobExit, JobSpec, TrainingEnded, TrainingStarted
from cifar_sweeps.sweeps.plan import PlannedJob

FOREVER = "forever"
"""A script that ends with this runs until it is stopped."""


class FakeEngine:
    """Plays scripts: of each job a list of attempts, an attempt a list of events and an exit, one item a `wait`."""

    def __init__(self, scripts, adopted=None, stops=True, kills=True):
        self.scripts = {job: deque(attempts) for job, attempts in scripts.items()}
        self.adopted, self.stops, self.kills = dict(adopted or {}), stops, kills
        self.running: dict[int, deque] = {}
        self.most_at_once = 0
        self.log: list[tuple] = []
        self.specs: list[JobSpec] = []
        self.closed = self.left = 0
        self.unplaced: list[int] = []
        """Jobs for which there is no room when the engine is left."""
        self.now = 0.0

    def start(self, job):
        assert job.number not in self.running, "it runs already"
        self.specs.append(job)
        self.log.append(("start", job.number))
        self.running[job.number] = deque(self.scripts[job.number].popleft())
        self.most_at_once = max(self.most_at_once, len(self.running))

    def stop(self, job, *, now=False):
        self.log.append(("kill" if now else "stop", job))
        if now and job in self.running and self.kills:
            self.running[job] = deque([JobExit(job, "signalled", code=9)])
        elif self.stops and job in self.running and not now:
            self.running[job] = deque([JobExit(job, "stopped")])

    def wait(self, seconds):
        self.now += seconds
        items = []
        for job, script in list(self.running.items()):
            if script and script[0] != FOREVER:
                item = script.popleft()
                items.append(item)
                if isinstance(item, JobExit):
                    del self.running[job]
        return items

    def adopt(self, sweep):
        for job in self.adopted:
            self.running[job] = deque(self.scripts[job].popleft())
        return self.adopted

    def leave(self):
        self.left += 1
        return self.unplaced

    def close(self):
        self.closed += 1
        self.running.clear()

    def started(self):
        return [job for what, job in self.log if what == "start"]

    def stopped(self):
        return [job for what, job in self.log if what == "stop"]


class FakeDisplay:
    def __init__(self):
        self.lines, self.ends, self.events, self.starts = [], {}, [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def started(self, number, resumed=False):
        self.starts.append((number, resumed))

    def handle(self, event):
        self.events.append(event)

    def ended(self, number, state, reason=""):
        self.ends[number] = (state, reason)

    def print_line(self, line):
        self.lines.append(line)


class FakeRecord:
    def __init__(self):
        self.failures, self.reused = {}, []

    def record_failure(self, job, name, reason, log_file, state="FAILED", overrule=False):
        assert job not in self.failures, "told twice"
        self.failures[job] = (state, reason, overrule)

    def record_reused(self, job):
        self.reused.append(job)


class Interrupts:
    """Signals that arrive once the engine has waited so often."""

    def __init__(self, engine, after=None):
        self._engine, self._after = engine, after

    is_hangup = False

    @property
    def arrived(self):
        return self._after is not None and self._engine.now > self._after


class World:
    """A controller with everything around it faked; `run` returns what came of each job."""

    def __init__(self, scripts, *, n_jobs=1, gpus=(), scheduler=None, recorded=None, previous=None, **options):
        engine_options = {key: options.pop(key) for key in ("adopted", "stops", "kills") if key in options}
        self.engine = FakeEngine(scripts, **engine_options)
        can_be_left = options.pop("can_be_left", False)
        self.display, self.record = FakeDisplay(), FakeRecord()
        self.interrupts = Interrupts(self.engine, options.pop("interrupted_after", None))
        self.recorded = recorded or {}
        """The run in each job's folder: one, or one after each of its attempts."""
        jobs = [planned(number, (previous or {}).get(number), **options) for number in scripts]
        self.scheduler = scheduler or GridScheduler(job.number for job in jobs if job.needs_training)
        self.controller = Controller(
            jobs,
            self.engine,
            self.scheduler,
            make_spec=lambda job, gpu, until: JobSpec(
                job.number, job.folder, job.log_file, b"", 1, gpu=gpu, until=until
            ),
            n_jobs=n_jobs,
            gpus=gpus,
            display=self.display,
            record=self.record,
            read_run=lambda folder: self._run_in(int(folder.name)),
            read_curve=lambda folder: self._curve(int(folder.name)),
            can_be_left=can_be_left,
            clock=lambda: self.engine.now,
        )

    def _run_in(self, job):
        found = self.recorded.get(job)
        return found[min(self.engine.started().count(job), len(found)) - 1] if isinstance(found, list) else found

    def _curve(self, job):
        return {each.epoch: each.val_accuracy for each in self.display.events if _is_epoch_of(each, job)}

    def run(self, detach=False):
        return self.controller.run(self.interrupts, Path("/sweep"), detach)


def _is_epoch_of(event, job):
    return isinstance(event, EpochReport) and event.job == job and event.val_accuracy is not None


def planned(number, previous=None, *, retries=0, fail_fast=False, timeout=None, rerun="failed", select="last"):
    sweep = SimpleNamespace(retries=retries, fail_fast=fail_fast, timeout=timeout, rerun=rerun)
    config = SimpleNamespace(sweep=sweep, trainer=SimpleNamespace(select=select, epochs=3))
    node = SimpleNamespace(hydra=SimpleNamespace(sweep=SimpleNamespace(dir="/sweep", subdir=str(number))))
    return PlannedJob(number, (f"seed={number}",), f"seed={number}", node, config, None, previous)


def recorded(state, failure=None, **metrics):
    tags = {"failure": failure}
    return SimpleNamespace(state=state, metrics=metrics, tag=tags.get)


def paused(epoch, accuracy=0.5):
    tags = {"early_stopped": str(epoch)}
    return SimpleNamespace(
        state="PAUSED", metrics={"val/accuracy": accuracy}, tag=tags.get, state_text=f"paused at epoch {epoch} of 3"
    )


def trains(job, accuracies: Iterable[float] = (0.5,), end=None, wraps_up=0):
    """An attempt that trains an epoch for each accuracy and returns the last one, unless it ends otherwise."""
    accuracies = list(accuracies)
    epochs = [EpochReport(job, epoch, 1.0, accuracy) for epoch, accuracy in enumerate(accuracies, start=1)]
    end = end or JobExit(job, "returned", value=accuracies[-1])
    return [TrainingStarted(job, len(epochs)), *epochs, TrainingEnded(job), *[TrainingEnded(job)] * wraps_up, end]


def fails(job, cause="raised", detail="ValueError: no", code=None):
    return [TrainingStarted(job, 3), JobExit(job, cause, detail=detail, code=code)]
