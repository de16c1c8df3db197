"""A sweep whose jobs run elsewhere: it may be left, is not taken for dead, keeps its numbers, and can be told of."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from fake_engine import FOREVER, World, fails, paused
from test_upgraded_sweeps import Left

from cifar_sweeps.errors import ConfigError, MachineError, TrackingError
from cifar_sweeps.search.decisions import Decision, DecisionLog
from cifar_sweeps.search.early_stopping import Candidate, EarlyStoppingScheduler
from cifar_sweeps.search.rungs import make_ladder
from cifar_sweeps.search.searching import SearchScheduler
from cifar_sweeps.search.trials import Trial
from cifar_sweeps.sweeps import resume, status, stopping
from cifar_sweeps.sweeps.controller_note import read_note, write_note
from cifar_sweeps.sweeps.engines.setup import make_setup
from cifar_sweeps.sweeps.job_states import JobStates
from cifar_sweeps.sweeps.jobs import JobExit, TrainingStarted
from cifar_sweeps.sweeps.launch import check_left_sweep
from cifar_sweeps.sweeps.manifest import read_manifest
from cifar_sweeps.sweeps.previous.launches import JobNumbering, PreviousJob, queued_jobs, read_previous_jobs
from cifar_sweeps.sweeps.retry_policy import MAX_MOVES
from cifar_sweeps.sweeps.tasks import Placement, read_placement, write_placement
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.recovery import append_end, mark_abandoned

RUNS = [TrainingStarted(0, 3), FOREVER]


def test_a_detached_sweep_starts_what_it_may_and_leaves_it():
    world = World({0: [RUNS], 1: [RUNS], 2: [RUNS]}, n_jobs=2, can_be_left=True)
    results = world.run(detach=True)
    assert (world.engine.started(), world.engine.left, world.engine.closed) == ([0, 1], 1, 0)
    assert [each.state for each in results] == ["training", "training", "waiting"]
    assert world.record.failures == {}
    assert world.controller.was_left
    assert world.display.lines == ["2 jobs run on; 1 is started by cifar-sweeps attach"]


def test_jobs_that_no_machine_has_room_for_are_not_said_to_run_on():
    world = World({0: [RUNS], 1: [RUNS], 2: [RUNS]}, n_jobs=3, can_be_left=True)
    world.engine.unplaced = [1, 2]
    assert [each.state for each in world.run(detach=True)] == ["training", "waiting", "waiting"]
    assert world.display.lines == ["1 job runs on; 2 are started by cifar-sweeps attach"]


def test_a_sweep_of_which_no_job_found_room_is_not_left():
    world = World({0: [RUNS], 1: [RUNS]}, n_jobs=2, can_be_left=True)
    world.engine.unplaced = [0, 1]
    with pytest.raises(MachineError, match="no job was left to run"):
        world.run(detach=True)
    assert not world.controller.was_left
    assert world.engine.closed == 1


@pytest.mark.parametrize(("can_be_left", "states"), [(True, "training"), (False, "killed")])
def test_when_the_terminal_is_gone_jobs_that_can_run_on_do(can_be_left, states):
    world = World({0: [RUNS]}, interrupted_after=1, can_be_left=can_be_left)
    world.interrupts.is_hangup = True
    [result] = world.run()
    assert (result.state, world.engine.left) == (states, int(can_be_left))


def test_ctrl_c_stops_also_jobs_that_could_run_on():
    world = World({0: [RUNS]}, interrupted_after=1, can_be_left=True)
    [result] = world.run()
    assert (result.state, world.engine.stopped(), world.engine.closed) == ("killed", [0], 1)


@pytest.mark.parametrize(
    ("cause", "starts", "reason"),
    [
        ("cancelled", 1, "it was cancelled in the scheduler's queue (by user 7)"),
        ("preempted", 1 + MAX_MOVES, "the scheduler ended it for a job that goes first (by user 7)"),
        ("node_failed", 1 + MAX_MOVES, "the machine that it ran on is gone (by user 7)"),
    ],
)
def test_what_a_scheduler_did_is_said_as_such_and_is_no_failure_of_the_job(cause, starts, reason):
    world = World({0: [fails(0, cause, detail="by user 7") for _ in range(9)]})
    [result] = world.run()
    assert (result.state, result.reason) == ("killed", reason)
    assert world.engine.started() == [0] * starts


def test_jobs_that_are_queued_keep_their_numbers_whatever_is_added():
    numbering = JobNumbering([], {0: "a", 2: "c"})
    assert [numbering.assign(identity)[0] for identity in ("new", "c", "a", "a", "b")] == [1, 2, 0, 3, 4]


@pytest.fixture
def left(tmp_path):
    """A sweep of three jobs as it looks while it runs on other machines without a command: one is queued."""
    found = Left("stopped", tmp_path)
    job = found.sweep / "0"
    for folder in (found.sweep, job):
        path = folder / "journal.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if '"op": "close"' not in line))
    with (found.sweep / "journal.jsonl").open("a") as file:
        file.write('{"op": "tags", "time": 1, "values": {"cifar_sweeps.jobs": "3"}}\n')
    write_placement(found.sweep, Placement("fake", {"option": 1}))
    for number, identity in ((0, "planned"), (1, "queued")):
        folder = found.sweep / ".tasks" / str(number)
        folder.mkdir()
        fields = {"job": number, "attempt": "1", "identity": identity, "folder": str(found.sweep / str(number))}
        rest = {"log_file": "", "threads": 1, "timeout": None, "gpu": None, "until": None, "code": "", "delivers": True}
        rest["swept"] = {"optimizer.lr": "0.1", "seed": str(number)}
        (folder / "task.json").write_text(json.dumps(fields | rest))
    return found


def test_it_is_not_taken_for_dead(left):
    assert mark_abandoned(left.outputs) == []
    (left.sweep / journal.PLACED).unlink()
    assert mark_abandoned(left.outputs) == [left.sweep, left.sweep / "0"]


def test_its_jobs_are_found_under_the_hash_that_planned_them(left):
    previous = read_previous_jobs(left.sweep)
    assert [(job.number, job.identity) for job in previous] == [(0, "planned")]
    assert queued_jobs(left.sweep, previous) == {1: "queued"}


class FakeSetup:
    def __init__(self, engine=None, where=None):
        self.engine, self.known = engine, where

    def where(self, sweep):
        if self.known is None:
            raise ConfigError("squeue: not found")
        return self.known

    def open(self, sweep, parallelism, delivers):
        return self.engine


def with_setup(monkeypatch, **options):
    def make(name, given):
        assert (name, given) == ("fake", {"option": 1})
        return FakeSetup(**options)

    for module in (status, stopping):
        monkeypatch.setattr(module, "make_setup", make)


def test_a_sweep_of_which_all_jobs_have_finished_is_closed_and_not_stopped(left, monkeypatch):
    with (left.sweep / "journal.jsonl").open("a") as file:
        file.write('{"op": "tags", "time": 1, "values": {"cifar_sweeps.jobs": "1"}}\n')
    append_end(left.sweep / "0", "FINISHED", "", 1.0)
    engine = StoppableEngine(True)
    engine.adopted = {}
    with_setup(monkeypatch, engine=engine)
    name = read_manifest(left.sweep).sweep_id
    with pytest.raises(TrackingError, match=f"all of its jobs have finished; cifar-sweeps attach {name} closes it"):
        stopping.stop_sweep(left.sweep, left.outputs, pytest.fail)
    assert read_run(left.sweep).state == "RUNNING"
    assert read_placement(left.sweep) is not None


def test_its_status_tells_what_journals_and_engine_say(left, monkeypatch):
    with_setup(monkeypatch, where={0: "running on n1", 1: "queued (Priority)"})
    found = status.read_status(left.sweep, left.outputs)
    assert (found.state, found.engine, found.controller, found.not_started) == ("left to run", "fake", "", 1)
    assert [(job.job, job.state, job.where, job.epoch) for job in found.jobs] == [
        (0, "running", "running on n1", 11),
        (1, "queued", "queued (Priority)", 0),
    ]
    assert status.summary_line(found) == "1 running, 1 queued, 1 not started"
    assert found.jobs[1].name == "lr=0.1 seed=1"
    assert [command.split()[-2] for command in found.next_commands] == ["attach", "stop"]
    assert json.loads(found.to_json())["jobs"][0]["epochs"] == found.jobs[0].epochs
    shown = status.status_table(found).rows
    assert [row[-1] for row in shown] == ["running on n1", "queued (Priority)"]


def test_a_status_is_told_also_where_the_engine_does_not_answer(left, monkeypatch):
    with_setup(monkeypatch)
    found = status.read_status(left.sweep, left.outputs)
    assert found.problem == "fake does not say where the jobs are: squeue: not found"
    assert [job.state for job in found.jobs] == ["running", "queued"]


@pytest.mark.parametrize(
    ("place", "shown"), [("queued", ("queued", "queued")), ("on n1", ("running", "running on n1"))]
)
def test_a_paused_job_that_goes_on_is_said_to(left, monkeypatch, place, shown):
    run = journal.Journal(left.sweep / "0")
    run.append("tags", values={"cifar_sweeps.early_stopped": "11"})
    run.append("close", state="FINISHED", reason="")
    run.close()
    with_setup(monkeypatch, where={0: place})
    found = status.read_status(left.sweep, left.outputs)
    assert (found.jobs[0].state, status.status_table(found).rows[0][-1]) == shown


def test_a_sweep_of_which_no_job_runs_any_more_says_so_and_offers_no_stop(left, monkeypatch):
    with_setup(monkeypatch, where={0: "ended: COMPLETED", 1: "ended: COMPLETED"})
    found = status.read_status(left.sweep, left.outputs)
    assert found.state == "left"
    assert [command.split()[-2] for command in found.next_commands] == ["attach"]


def test_a_sweep_is_found_by_its_study_and_the_newest_are_named_first(left, tmp_path):
    assert resume.find_sweep(read_manifest(left.sweep).study, left.outputs) == left.sweep
    for name in ("2030-01-01_00-00-00-000001", "2030-01-01_00-00-00-000002"):
        shutil.copytree(left.sweep, left.sweep.with_name(name))
        manifest = left.sweep.with_name(name) / "sweep.json"
        manifest.write_text(manifest.read_text().replace(left.sweep.name, name))
    with pytest.raises(TrackingError) as caught:
        resume.find_sweep("gone", left.outputs)
    newest = str(caught.value).partition("the newest: ")[2].split(", ")
    assert [each.split()[0] for each in newest][:2] == ["2030-01-01_00-00-00-000002", "2030-01-01_00-00-00-000001"]


def test_to_attach_to_a_sweep_that_has_finished_leads_to_its_results(left):
    (left.sweep / journal.PLACED).unlink()
    append_end(left.sweep, "FINISHED", "", 1.0)
    with pytest.raises(TrackingError, match=f"has finished; what came out: cifar-sweeps results {left.sweep.name}"):
        resume.attach(left.sweep.name, left.outputs)


def test_a_local_sweep_that_was_killed_is_said_to_be_stopped(left):
    (left.sweep / journal.PLACED).unlink()
    found = status.read_status(left.sweep, left.outputs)
    assert (found.state, found.engine, [job.state for job in found.jobs]) == ("stopped", "local", ["stopped"])
    assert "resume" in found.next_commands[0]


class StoppableEngine:
    def __init__(self, obeys):
        self.obeys, self.calls, self.running, self.adopted = obeys, [], set(), dict.fromkeys((0, 1))

    def adopt(self, sweep):
        with pytest.raises(TrackingError, match="another process"):
            journal.Journal(sweep)  # no other command may control it now
        self.running = {*self.adopted}
        return self.adopted

    def stop(self, job, *, now=False):
        self.calls.append((job, now))

    def wait(self, seconds):
        ended = {job for job, now in self.calls if (now or self.obeys)} & self.running
        self.running -= ended
        return [JobExit(job, "stopped") for job in ended]

    def close(self):
        self.calls.append("closed")


@pytest.mark.parametrize("obeys", [True, False])
def test_it_is_stopped_without_a_command_and_its_record_is_closed(left, monkeypatch, obeys):
    monkeypatch.setattr(stopping, "STOP_SECONDS", 0.05)
    engine = StoppableEngine(obeys)
    with_setup(monkeypatch, engine=engine)
    lines = []
    stopping.stop_sweep(left.sweep, left.outputs, lines.append)
    killed = [] if obeys else [(0, True), (1, True)]
    assert engine.calls == [(0, False), (1, False), *killed, "closed"]
    assert [read_run(folder).state for folder in (left.sweep, left.sweep / "0")] == ["KILLED", "KILLED"]
    assert read_placement(left.sweep) is None
    assert lines[-1].endswith(f"cifar-sweeps resume {read_manifest(left.sweep).sweep_id}")
    assert f"CIFAR_SWEEPS_OUTPUTS={left.outputs}" in lines[-1]
    with pytest.raises(
        TrackingError, match=r"has ended \(its command may still write the report\); nothing was stopped"
    ):
        stopping.stop_sweep(left.sweep, left.outputs, lines.append)


HOLDER = """
import signal, sys, time
from pathlib import Path
from cifar_sweeps.sweeps.controller_note import write_note
from cifar_sweeps.tracking.journal import Journal
held = Journal(Path(sys.argv[1]))
write_note(Path(sys.argv[1]))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("held", flush=True)
time.sleep(60)
"""


def test_a_sweep_with_a_command_is_stopped_by_it_and_not_attached_to(left):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(left.sweep)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TrackingError, match=rf"controls it \(process {holder.pid} on this machine\)"):
            resume.attach(left.sweep.name, left.outputs)
        lines = []
        stopping.stop_sweep(left.sweep, left.outputs, lines.append)
        assert holder.wait(10) == 0
    assert lines == [f"Asked its command (process {holder.pid}) to stop; its jobs end at safe points …", "Stopped."]


def test_a_command_on_another_machine_is_named(left, monkeypatch):
    write_note(left.sweep)
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    note = read_note(left.sweep)
    assert not note.is_here
    assert abs(note.began - time.time()) < 60
    held = journal.Journal(left.sweep)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a process of this machine is meant by chance"))
    with pytest.raises(TrackingError, match=f"its command runs on {note.host}"):
        stopping.stop_sweep(left.sweep, left.outputs, pytest.fail)
    held.close()


def test_what_is_over_cannot_be_attached_to(left):
    (left.sweep / journal.PLACED).unlink()
    append_end(left.sweep, "KILLED", "it was stopped")
    with pytest.raises(
        TrackingError, match="no job of it runs on other machines; what is left of it: cifar-sweeps resume"
    ):
        resume.attach(left.sweep.name, left.outputs)


def test_attaching_types_the_command_again_without_leaving(left, monkeypatch):
    path = left.sweep / "sweep.json"
    content = json.loads(path.read_text())
    content["command"].append("sweep.detach=true")
    path.write_text(json.dumps(content))
    seen = {}

    def execve(program, arguments, environment):
        seen.update(arguments=arguments, environment=environment)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.chdir(left.folder)
    with pytest.raises(SystemExit):
        resume.attach(left.sweep.name, left.outputs)
    assert seen["arguments"][3:] == [*content["command"][:-1], "sweep.detach=false"]
    assert seen["environment"]["CIFAR_SWEEPS_GOES_ON"] == str(left.sweep)


@pytest.mark.parametrize(
    ("uri", "own", "expected"),
    [
        ("http://team:5000", None, "http://team:5000"),
        ("http://team:5000", "http://me:secret@team:5000", "http://me:secret@team:5000"),
        ("http://***@team:5000", None, None),
        (None, None, None),
    ],
)
def test_a_sweep_goes_on_in_the_store_that_it_was_started_with(left, monkeypatch, uri, own, expected):
    path = left.sweep / "journal.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps({**json.loads(first), "uri": uri}) + "\n" + "".join(rest))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if own is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", own)
    seen = {}

    def execve(program, arguments, environment):
        seen.update(environment)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.chdir(left.folder)
    for go_on in (resume.attach, resume.resume):
        with pytest.raises(SystemExit):
            go_on(left.sweep.name, left.outputs)
        assert seen.pop("MLFLOW_TRACKING_URI", None) == expected


@pytest.mark.parametrize(
    ("engine", "options", "jobs", "message"),
    [
        ("fake", {}, {0, 1, 2}, None),
        ("fake", {}, None, None),
        ("local", {}, {0, 1}, "hydra/launcher=local: sweep {} was left to run on fake; first cifar-sweeps attach {},"),
        ("local", {}, None, "hydra/launcher=local: sweep {} was left to run on fake; first cifar-sweeps attach {},"),
        (
            "fake",
            {"address": "b:6379"},
            {0, 1},
            "hydra/launcher=fake at b:6379: sweep {} was left to run on fake at a:6379",
        ),
        ("fake", {}, {1, 2}, "sweep {} was left to run on fake, and its jobs 0 are none of this command's; first"),
        ("fake", {}, {5}, "sweep {} was left to run on fake, and its jobs 0, 1 are none of this command's; first"),
    ],
)
def test_a_launch_that_would_not_watch_the_jobs_that_run_is_refused(left, engine, options, jobs, message):
    if options:
        write_placement(left.sweep, Placement("fake", {"address": "a:6379"}))
    setup = SimpleNamespace(name=engine, found=options)
    if message is None:
        check_left_sweep(left.sweep, setup, jobs)
        return
    with pytest.raises(ConfigError) as refused:
        check_left_sweep(left.sweep, setup, jobs)
    assert message.format(left.sweep.name, left.sweep.name) in str(refused.value)


def test_a_sweep_that_a_command_controls_is_not_resumed_beside_it(left):
    with (left.sweep / "journal.jsonl").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TrackingError, match="a command controls it"):
            resume.resume(left.sweep.name, left.outputs)


def test_trials_that_run_are_adopted_and_not_proposed_or_started_again():
    trials = [Trial(0, {"x": "a"}, "killed"), Trial(1, {"x": "b"}, "killed"), Trial(2, {"x": "c"}, "killed")]
    scheduler = SearchScheduler(trials, 4, lambda before, number: {"x": "d"}, lambda job: (0.5,))
    finished = [[TrainingStarted(job, 3), JobExit(job, "returned", 0.5)] for job in range(4)]
    world = World(
        {job: [script] for job, script in enumerate(finished)},
        scheduler=scheduler,
        adopted={1: None, 2: None},
        n_jobs=2,
    )
    jobs, world.controller._jobs = dict(world.controller._jobs), {}
    world.controller._states = JobStates({})
    world.controller._plan_job = jobs.get
    world.run()
    assert world.engine.started() == [0, 3]
    assert world.engine.stopped() == []
    assert {number: trial.ending for number, trial in scheduler.trials.items()} == dict.fromkeys(range(4), "finished")


def test_a_promoted_job_that_runs_is_adopted_and_not_started_again(tmp_path):
    log = DecisionLog(tmp_path / "decisions.jsonl")
    for kind, until in (("start", 1), ("promote", None)):
        log.append(Decision(kind, (0,), until, "arm 0", 1))
    scheduler = EarlyStoppingScheduler(
        [Candidate(0, "arm 0", 3, "paused", {1: 0.5})], make_ladder("asha", eta=2, grace_epochs=1), log, rises=True
    )
    script = [TrainingStarted(0, 3), JobExit(0, "returned", 0.5)]
    before = PreviousJob(0, tmp_path, "same", paused(1))
    world = World({0: [script]}, scheduler=scheduler, adopted={0: None}, previous={0: before}, recorded={0: None})
    [result] = world.run()
    assert (result.state, world.engine.started(), world.engine.stopped()) == ("finished", [], [])


def test_a_local_sweep_cannot_be_left(outputs):
    from conftest import TINY, cifar_train

    done = cifar_train("-m", "seed=0,1", "sweep.detach=true", *TINY)
    assert done.returncode == 1
    assert done.stderr.startswith("ConfigError: sweep.detach=true: jobs of hydra/launcher=local end with their command")
    assert not list(outputs.glob("sweeps/*"))


@pytest.mark.parametrize("name", ["local", "slurm", "ray"])
def test_a_key_that_a_launcher_does_not_have_is_named(name):
    with pytest.raises(ConfigError, match=rf"hydra.launcher.nope: hydra/launcher={name} has no such key; leave it out"):
        make_setup(name, {"nope": 1})


@pytest.mark.parametrize("ending", [None, "killed"], ids=["no record yet", "a record"])
def test_early_stopping_that_is_asked_for_once_jobs_run_does_not_start_them_again(tmp_path, ending):
    curve = {} if ending is None else {1: 0.5}
    candidates = [
        Candidate(job, f"arm {job}", 3, ending if job == 0 else None, curve if job == 0 else {}) for job in (0, 1)
    ]
    log = DecisionLog(tmp_path / "decisions.jsonl")
    scheduler = EarlyStoppingScheduler(candidates, make_ladder("asha", eta=2, grace_epochs=1), log, rises=True)
    scripts = {job: [[TrainingStarted(job, 3), JobExit(job, "returned", 0.5)]] for job in (0, 1)}
    world = World(scripts, scheduler=scheduler, adopted={0: None}, n_jobs=2)
    results = world.run()
    assert [each.state for each in results] == ["finished", "finished"]
    assert (world.engine.started(), world.engine.stopped()) == ([1], [])
