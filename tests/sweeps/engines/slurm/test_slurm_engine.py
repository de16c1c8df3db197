"""The Slurm engine against played commands: what it submits, and what files and queue tell of jobs."""

import signal
import time

import pytest
from played_slurm import PlayedSlurm

from cifar_sweeps.errors import MachineError
from cifar_sweeps.sweeps.engines.slurm import engine as slurm_engine
from cifar_sweeps.sweeps.engines.slurm import submissions, tracked_job
from cifar_sweeps.sweeps.engines.slurm.engine import SlurmEngine
from cifar_sweeps.sweeps.engines.slurm.settings import SlurmSettings
from cifar_sweeps.sweeps.jobs import MAYBE_OUT_OF_MEMORY, EpochReport, JobExit, JobSpec, TrainingStarted
from cifar_sweeps.sweeps.tasks import read_task, write_exit
from cifar_sweeps.tracking.journal import Journal


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(tracked_job, "LOST_SECONDS", 0.3)
    monkeypatch.setattr(tracked_job, "EXIT_FILE_SECONDS", 0.2)
    monkeypatch.setattr(tracked_job, "PROMISED_FILE_SECONDS", 0.4)
    monkeypatch.setattr(slurm_engine, "_JOURNAL_SECONDS", 0.02)
    monkeypatch.setattr(slurm_engine, "_SIGNAL_SECONDS", 0.2)
    monkeypatch.setattr(slurm_engine, "_ADOPT_SECONDS", 0.3)
    monkeypatch.setattr(slurm_engine, "_STEP_SECONDS", 0.01)


class Site:
    """A sweep's folder, an engine on it, and the queue that it sees."""

    def __init__(self, tmp_path, slurm, **settings):
        self.sweep, self.slurm, self.lines = tmp_path / "sweep", slurm, []
        self.settings = SlurmSettings(poll_seconds=0.05, **settings)
        self.engine = self.new_engine()

    def new_engine(self):
        return SlurmEngine(self.sweep, self.settings, self.lines.append)

    def start(self, *jobs):
        for job in jobs:
            folder = self.sweep / str(job)
            folder.mkdir(parents=True, exist_ok=True)
            self.engine.start(JobSpec(job, folder, folder / "log", b"payload", 1))

    def submit(self, *jobs):
        """Start jobs and wait until they are in the queue."""
        self.start(*jobs)
        self.until(lambda: all(job.id for job in self.engine._jobs.values()))

    def until(self, condition, seconds=10):
        """Wait on the engine until something holds, and return all that came."""
        items, end = [], time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (items, self.lines, self.slurm.tasks())
            items += self.engine.wait(0.02)
        return items

    def items(self, count=1):
        """Return the next events and exits."""
        items, end = [], time.monotonic() + 10
        while len(items) < count:
            assert time.monotonic() < end, (items, self.lines, self.slurm.tasks())
            items += self.engine.wait(0.02)
        return items

    def silence(self, seconds=0.5):
        """Return what comes within a while in which nothing should."""
        items, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            items += self.engine.wait(0.02)
        return items

    def folder(self, job):
        return self.sweep / ".tasks" / str(job)

    def attempt(self, job):
        return read_task(self.folder(job)).attempt

    def runs(self, job, task):
        """The job's process has begun."""
        self.slurm.set(task, "RUNNING")
        array, index = task.split("_")
        submissions.claim(self.folder(job), self.attempt(job), (int(array), int(index)))

    def writes(self, job, cause="returned", **fields):
        """The job's process has ended by itself."""
        write_exit(self.folder(job), self.attempt(job), JobExit(job, cause, **fields))


@pytest.fixture
def make_site(tmp_path, monkeypatch):
    sites = []

    def make(slurm=None, **settings):
        site = Site(tmp_path, PlayedSlurm.install(tmp_path / "bin", monkeypatch, **(slurm or {})), **settings)
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.engine.close()


@pytest.fixture
def site(make_site):
    return make_site()


def arrays_of(site):
    return [next(each for each in call if each.startswith("--array=")) for call in site.slurm.calls("sbatch")]


def test_what_is_started_together_is_one_array_and_ends_as_its_files_say(site):
    site.submit(0, 1, 2)
    assert arrays_of(site) == ["--array=0-2"]
    for job in range(3):
        site.runs(job, f"100_{job}")
    site.writes(0, value=0.5)
    site.writes(1, "raised", detail="ValueError: no")
    site.writes(2, "timed_out")
    assert sorted(site.items(3), key=lambda each: each.job) == [
        JobExit(0, "returned", value=0.5),
        JobExit(1, "raised", detail="ValueError: no"),
        JobExit(2, "timed_out"),
    ]
    assert site.silence(0.2) == []


def test_arrays_are_cut_at_the_size_that_the_site_allows(make_site):
    site = make_site({"max_array_size": 6})
    site.submit(*range(14))
    assert arrays_of(site) == ["--array=0-5", "--array=0-5", "--array=0-1"]
    assert len(site.slurm.tasks()) == 14


def test_a_limit_of_jobs_at_once_is_the_arrays_and_arrays_follow_one_another(make_site):
    site = make_site({"max_array_size": 4}, n_jobs=2)
    site.submit(*range(6))
    first, second = site.slurm.calls("sbatch")
    assert "--array=0-3%2" in first
    assert "--array=0-1" in second
    assert "--dependency=afterany:100" in second
    assert not any(each.startswith("--dependency") for each in first)
    site.start(7)  # a retry: it waits until fewer than two of the others are left
    assert site.silence(0.3) == []
    assert len(site.slurm.calls("sbatch")) == 2
    for job in range(5):
        site.slurm.set(f"{100 + job // 4}_{job % 4}", "COMPLETED")
        site.writes(job)
    site.until(lambda: len(site.slurm.calls("sbatch")) == 3)


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        (
            "OUT_OF_MEMORY",
            "0:0",
            JobExit(0, "out_of_memory", detail="Slurm ended it, OUT_OF_MEMORY; more memory: hydra.launcher.memory"),
        ),
        (
            "TIMEOUT",
            "0:9",
            JobExit(0, "timed_out", detail="Slurm ended it at its time limit; more time: hydra.launcher.time"),
        ),
        ("PREEMPTED", "0:15", JobExit(0, "preempted")),
        ("NODE_FAIL", "1:0", JobExit(0, "node_failed", detail="Slurm says NODE_FAIL")),
        ("CANCELLED", "0:15", JobExit(0, "cancelled")),
        ("FAILED", "0:11", JobExit(0, "signalled", code=signal.SIGSEGV)),
        ("FAILED", "0:9", JobExit(0, "signalled", detail=MAYBE_OUT_OF_MEMORY, code=signal.SIGKILL)),
        ("FAILED", "127:0", JobExit(0, "exited", detail="bash: no such command", code=127)),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
@pytest.mark.parametrize("forgotten", [False, True], ids=["known", "accounting"])
def test_a_job_that_left_no_word_ends_as_slurm_says(make_site, state, code, expected, forgotten):
    site = make_site()
    site.submit(0)
    site.runs(0, "100_0")
    (record,) = submissions.read_submissions(site.sweep)
    record.output(site.sweep, 0).write_text("loading\nbash: no such command\n\n")
    if forgotten:
        site.slurm.change(accounting={"100_0": [f"{state} by 1000|{code}", f"{state}|{code}"]})
        site.slurm.forget("100_0")
    else:
        site.slurm.set("100_0", state, code)
    assert site.items() == [expected]


@pytest.mark.parametrize(
    "said",
    [
        "slurmstepd-n1: error: StepId=1.batch exceeded memory limit (408875008 > 104857600), being killed",
        "slurmstepd-n1: error: Exceeded job memory limit",
        "slurmstepd-n1: error: Detected 1 oom-kill event(s) in StepId=1.batch.",
    ],
)
def test_slurm_may_tell_of_memory_in_the_output_alone(site, said):
    site.submit(0)
    site.runs(0, "100_0")
    (record,) = submissions.read_submissions(site.sweep)
    record.output(site.sweep, 0).write_text(f"loading\n{said}\nslurmstepd-n1: error: *** JOB 1 ON n1 CANCELLED ***\n")
    site.slurm.set("100_0", "FAILED", "0:9")
    detail = "Slurm ended it for its memory; more: hydra.launcher.memory"
    assert site.items() == [JobExit(0, "out_of_memory", detail=detail)]


def test_the_accounting_may_know_of_memory_from_the_batch_step_alone(site):
    site.submit(0)
    site.runs(0, "100_0")
    site.slurm.change(accounting={"100_0": ["FAILED|1:0", "OUT_OF_MEMORY|0:125"]})
    site.slurm.forget("100_0")
    assert site.items()[0].cause == "out_of_memory"


@pytest.mark.parametrize("state", ["PENDING", "REQUEUED", "REQUEUE_HOLD", "RUNNING", "COMPLETING", "SUSPENDED"])
def test_a_job_that_slurm_stops_and_queues_again_has_not_ended(site, state):
    site.submit(0)
    site.runs(0, "100_0")
    site.writes(0, "stopped")
    site.slurm.set("100_0", state)
    assert site.silence() == []
    site.writes(0, "returned", value=1.0)
    site.slurm.set("100_0", "COMPLETED")
    assert site.items() == [JobExit(0, "returned", value=1.0)]


@pytest.mark.parametrize(
    ("state", "cause"), [("CANCELLED", "cancelled"), ("TIMEOUT", "timed_out"), ("PREEMPTED", "preempted")]
)
def test_why_slurm_has_stopped_a_job_is_its_own_to_say(site, state, cause):
    site.submit(0)
    site.runs(0, "100_0")
    site.writes(0, "stopped")
    site.slurm.set("100_0", state, "0:15")
    assert site.items()[0].cause == cause


def test_a_controller_that_does_not_answer_has_lost_no_job(site):
    site.submit(0, 1)
    site.runs(0, "100_0")
    site.slurm.change(away=True)
    assert site.silence(0.6) == []
    assert site.lines == ["Slurm: squeue: Unable to contact slurm controller (connect failure); its jobs run on"]
    site.writes(0)  # its own word needs no controller
    assert site.items() == [JobExit(0, "returned")]
    site.slurm.change(away=False)
    assert site.silence(0.3) == []
    assert site.lines[1:] == ["Slurm answers again"]


def test_a_job_is_lost_only_when_nobody_knows_it_for_a_while_and_no_process_writes_its_journal(site):
    site.submit(0, 1)
    for job in (0, 1):
        site.runs(job, f"100_{job}")
    journal = Journal(site.sweep / "1")
    site.slurm.forget("100_0")
    site.slurm.forget("100_1")
    (lost,) = site.items()
    assert (lost.job, lost.cause) == (0, "lost")
    assert "Slurm has not known its job 100_0 for" in lost.detail
    assert site.silence(0.3) == []
    journal.close()
    assert site.items()[0].job == 1


def test_an_array_that_was_taken_without_an_answer_is_found_by_its_name(make_site):
    site = make_site({"swallow": 1})
    site.submit(0, 1)
    assert len(site.slurm.calls("sbatch")) == 1
    assert [job.id for job in site.engine._jobs.values()] == [(100, 0), (100, 1)]


def test_an_array_that_was_not_taken_is_submitted_again_once_slurm_answers(site):
    site.slurm.change(away=True)
    site.start(0, 1)
    assert site.silence(0.3) == []
    site.slurm.change(away=False)
    site.until(lambda: all(job.id for job in site.engine._jobs.values()))
    assert list(site.slurm.tasks()) == ["100_0", "100_1"]
    assert len(site.lines) == 2


def test_what_slurm_refuses_is_lost_with_its_reason(make_site):
    site = make_site({"refusal": "Invalid partition name specified"})
    site.start(0, 1)
    reason = "Slurm refused it: sbatch: Batch job submission failed: Invalid partition name specified"
    assert site.items(2) == [JobExit(0, "lost", detail=reason), JobExit(1, "lost", detail=reason)]
    assert list((site.sweep / ".tasks/slurm").iterdir()) == []


def test_a_limit_of_jobs_in_the_queue_is_filled_bit_by_bit(make_site):
    site = make_site({"most": 3})
    site.start(*range(8))
    site.until(lambda: len(site.slurm.tasks()) >= 3)
    for done in range(8):
        running = [job for job, tracked in site.engine._jobs.items() if tracked.id is not None]
        site.until(lambda: any(job.id for job in site.engine._jobs.values()))
        running = [job for job, tracked in site.engine._jobs.items() if tracked.id is not None]
        task = site.engine._jobs[running[0]].name
        site.writes(running[0])
        site.slurm.set(task, "COMPLETED")
        exits = [each for each in site.items() if isinstance(each, JobExit)]
        assert [each.job for each in exits] == [running[0]], done
    assert site.engine._jobs == {}
    assert "the rest follows when jobs have ended" in site.lines[0]


def test_a_job_that_waits_leaves_the_queue_and_one_that_runs_is_signalled_until_it_has_ended(site):
    site.submit(0, 1)
    site.runs(0, "100_0")
    site.engine.stop(0)
    site.engine.stop(0)
    site.engine.stop(1)
    assert site.items() == [JobExit(1, "stopped")]
    assert site.slurm.tasks() == {"100_0": "RUNNING", "100_1": "CANCELLED"}
    signals = [call for call in site.slurm.calls("scancel") if "--signal=USR2" in call]
    assert signals[0] == ["--batch", "--signal=USR2", "100_0", "100_1"]
    site.until(lambda: len([c for c in site.slurm.calls("scancel") if c[1:] == ["--signal=USR2", "100_0"]]) == 2)
    site.writes(0, "stopped")
    assert site.items() == [JobExit(0, "stopped")]


def test_of_a_job_that_left_the_queue_before_it_began_slurm_may_know_nothing(make_site):
    site = make_site({"forgets": True})
    site.submit(0, 1, 2)
    site.runs(2, "100_2")
    site.engine.stop(0)
    site.slurm.forget("100_1")  # cancelled by hand
    assert {each.job: each.cause for each in site.items(2)} == {0: "stopped", 1: "cancelled"}
    assert site.lines == []


def test_a_job_that_is_killed_ends_as_killed(site):
    site.submit(0)
    site.runs(0, "100_0")
    site.engine.stop(0, now=True)
    assert site.items() == [JobExit(0, "signalled", code=signal.SIGKILL)]


def test_a_job_that_is_stopped_before_it_was_submitted_never_is(site):
    site.start(0)
    site.engine.stop(0)
    assert site.items() == [JobExit(0, "stopped")]
    assert site.slurm.calls("sbatch") == []


def test_a_job_at_its_limit_that_could_not_be_queued_again_gets_another_array(site):
    site.submit(0)
    site.runs(0, "100_0")
    submissions.note_requeue(site.folder(0), site.attempt(0))
    site.slurm.set("100_0", "FAILED", "75:0")
    site.until(lambda: "101_0" in site.slurm.tasks())
    site.runs(0, "101_0")
    site.writes(0)
    assert site.items() == [JobExit(0, "returned")]


def test_status_75_alone_says_that_a_job_came_to_its_limit(site):
    """The note of it may not be seen yet on this machine."""
    site.submit(0)
    site.runs(0, "100_0")
    site.slurm.set("100_0", "FAILED", "75:0")
    site.until(lambda: "101_0" in site.slurm.tasks())


def test_a_setup_command_that_ends_with_75_is_not_run_for_ever(site):
    site.submit(0)
    site.slurm.set("100_0", "FAILED", "75:0")
    assert site.items() == [JobExit(0, "exited", code=75)]


def test_the_word_of_a_job_that_completed_is_waited_for_longer(site, monkeypatch):
    monkeypatch.setattr(tracked_job, "PROMISED_FILE_SECONDS", 30.0)
    site.submit(0, 1, 2)
    site.runs(0, "100_0")
    site.runs(2, "100_2")
    site.engine.stop(2)  # it has found itself stopped before it began
    for job in (0, 1, 2):  # of the second one not even the claim is seen
        site.slurm.set(f"100_{job}", "COMPLETED")
    assert site.silence(0.8) == [JobExit(2, "stopped")]
    for job in (0, 1):
        site.writes(job, value=0.5)
    assert sorted(each.job for each in site.items(2)) == [0, 1]


def test_a_job_may_be_run_again_after_its_exit(site):
    for attempt in (1, 2):
        site.submit(0)
        site.runs(0, f"{99 + attempt}_0")
        site.writes(0, value=float(attempt))
        assert site.items() == [JobExit(0, "returned", value=float(attempt))]


def test_the_next_controller_adopts_what_lives_and_no_more(site):
    site.submit(*range(6))
    for job in (0, 1, 2, 3):
        site.runs(job, f"100_{job}")
    site.writes(1)
    site.slurm.set("100_2", "FAILED", "0:9")
    site.slurm.forget("100_5")
    site.writes(3, "stopped")  # preempted
    site.slurm.set("100_3", "PENDING")
    site.engine = site.new_engine()
    assert site.engine.adopt(site.sweep) == {0: None, 3: None, 4: None}
    site.writes(0)
    assert site.items() == [JobExit(0, "returned")]
    assert len(site.slurm.calls("sbatch")) == 1


def test_a_controller_that_died_before_it_could_note_the_array_finds_it_by_name(site):
    site.submit(0)
    (record,) = submissions.read_submissions(site.sweep)
    submissions.Submission(record.name, record.number, record.tasks).write(site.sweep)
    site.engine = site.new_engine()
    assert site.engine.adopt(site.sweep) == {0: None}
    site.slurm.forget("100_0")
    site.engine = site.new_engine()
    assert site.engine.adopt(site.sweep) == {}


def test_while_slurm_does_not_answer_all_that_may_live_is_adopted(site):
    site.submit(0, 1)
    site.writes(1)
    site.slurm.change(away=True)
    site.engine = site.new_engine()
    assert site.engine.adopt(site.sweep) == {0: None}
    site.slurm.change(away=False)
    site.slurm.forget("100_0")
    site.slurm.forget("100_1")
    assert site.items()[0].cause == "cancelled"


def test_who_leaves_submits_first_and_cancels_nothing(site):
    site.start(0, 1)
    site.engine.leave()
    site.engine.close()
    assert site.slurm.tasks() == {"100_0": "PENDING", "100_1": "PENDING"}


def test_who_leaves_is_told_at_once_which_jobs_found_no_room(make_site):
    site = make_site({"most": 3})
    site.start(*range(5))
    site.engine.leave()
    assert len(site.slurm.tasks()) == 3
    assert "2 jobs have not been submitted (3, 4): sbatch: Batch job submission failed: Job violates" in site.lines[-1]


def test_nobody_leaves_a_sweep_of_which_slurm_has_taken_nothing(make_site):
    site = make_site({"refusal": "Invalid partition name specified"})
    site.start(0, 1)
    with pytest.raises(MachineError, match=r"no job has been submitted: Slurm refused it: .* Invalid partition name"):
        site.engine.leave()


def test_who_closes_leaves_nothing_behind(site):
    site.submit(0, 1)
    site.engine.close()
    site.engine.close()
    assert set(site.slurm.tasks().values()) == {"CANCELLED"}


def test_events_come_from_the_journals_of_those_that_run(site):
    site.submit(0)
    site.runs(0, "100_0")
    journal = Journal(site.sweep / "0")
    journal.append("params", values={"trainer.epochs": "3", "trainer.parts": "1"})
    journal.append("metrics", step=0, values={"model/parameters": 9})
    assert site.items() == [TrainingStarted(0, 3)]
    journal.append("metrics", step=1, values={"train/loss": 2.0, "val/accuracy": 0.5})
    assert site.items() == [EpochReport(0, 1, 2.0, 0.5)]
    journal.close()
    site.writes(0)
    assert site.items() == [JobExit(0, "returned")]


FOR_EVER = (
    *("PartitionTimeLimit", "JobHeldUser", "QOSMaxWallDurationPerJobLimit", "AssocMaxWallDurationPerJobLimit"),
    *("QOSMaxMemoryPerJob", "QOSMaxCpuPerJobLimit", "MaxMemPerLimit", "AccountNotAllowed", "QOSNotAllowed"),
    *("PartitionDown", "PartitionInactive", "ReqNodeNotAvail, UnavailableNodes:n1"),
)
FOR_A_WHILE = ("Priority", "Resources", "JobArrayTaskLimit", "Dependency", "QOSMaxJobsPerUserLimit", "AssocGrpCpuLimit")


@pytest.mark.parametrize("reason", FOR_EVER)
def test_a_job_that_will_wait_for_ever_is_told_of_once(site, reason):
    site.submit(0, 1)
    for job in (0, 1):
        site.slurm.set(f"100_{job}", "PENDING", reason=reason)
    assert site.silence(0.4) == []
    [line] = site.lines
    assert line.partition("; ")[0] == f"job 0 waits in Slurm (its job 100_0): {reason}"


@pytest.mark.parametrize(
    ("reason", "key"),
    [
        ("PartitionTimeLimit", "time"),
        ("MaxMemPerLimit", "memory"),
        ("QOSMaxCpuPerJobLimit", "cpus"),
        ("JobHeldUser", ""),
    ],
)
def test_what_to_change_is_said_of_a_job_that_will_wait_for_ever(site, reason, key):
    site.submit(0)
    site.slurm.set("100_0", "PENDING", reason=reason)
    assert site.silence(0.4) == []
    advice = f"; it may wait for ever: Ctrl-C, and change hydra.launcher.{key}" if key else ""
    assert site.lines == [f"job 0 waits in Slurm (its job 100_0): {reason}{advice}"]


def test_a_job_that_waits_for_others_is_not_told_of(site):
    site.submit(*range(len(FOR_A_WHILE)))
    for job, reason in enumerate(FOR_A_WHILE):
        site.slurm.set(f"100_{job}", "PENDING", reason=reason)
    assert site.silence(0.4) == []
    assert site.lines == []


def test_a_duplicate_array_runs_nothing_and_the_engine_follows_the_one_that_does(site):
    site.submit(0)
    assert submissions.claim(site.folder(0), site.attempt(0), (105, 0)) == (105, 0)
    assert submissions.claim(site.folder(0), site.attempt(0), (100, 0)) == (105, 0)
    site.slurm.set("105_0", "RUNNING")
    site.slurm.set("100_0", "COMPLETED")
    assert site.silence(0.4) == []
    site.slurm.set("105_0", "NODE_FAIL")
    assert site.items()[0].cause == "node_failed"
