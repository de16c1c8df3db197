import os
import signal
import threading
import time

import pytest
from fake_cluster import FakeCluster, ScriptedActor, end_process, exit_of, exits, make_engine, make_spec, wait_for

from cifar_sweeps.sweeps.jobs import EpochReport, JobExit, TrainingEnded, TrainingStarted
from cifar_sweeps.tracking import journal


@pytest.fixture
def sweep(tmp_path):
    return tmp_path / "home" / "outputs" / "sweeps" / "S"


@pytest.fixture
def cluster(tmp_path):
    cluster = FakeCluster({"one": str(tmp_path / "disk-1"), "two": str(tmp_path / "disk-2")})
    yield cluster
    for actor in cluster.actors.values():
        end_process(actor)


@pytest.fixture(params=[True, False], ids=["shared disk", "no shared disk"])
def is_shared(request):
    return request.param


def epochs_in(folder):
    return [entry.fields["step"] for entry in journal.read(folder) if "train/loss" in entry.fields.get("values", {})]


def test_a_job_trains_reports_and_leaves_all_of_its_files(sweep, cluster, is_shared, tmp_path):
    engine = make_engine(cluster, sweep, use_shared=is_shared)
    engine.start(make_spec(sweep, typed_in=tmp_path))
    items = wait_for(engine, exits)
    engine.close()

    folder = sweep / "0"
    assert items[0] == TrainingStarted(0, 3)
    assert [item.val_accuracy for item in items if isinstance(item, EpochReport)] == [0.1, 0.2, 0.3]
    assert isinstance(items[-2], TrainingEnded)
    assert items[-1] == JobExit(0, "returned", 0.3, f"in {folder}")
    assert epochs_in(folder) == [1, 2, 3]
    assert journal.is_closed(folder)
    assert not journal.is_locked(folder)
    assert journal.read(folder)[0].fields["tags"]["folder"] == str(folder)
    assert (folder / "curves.png").read_text() == "a picture"
    assert "hello from the worker" in (folder / "run.log").read_text()
    assert cluster.actors == {}, "it holds its node's resources no more"
    if not is_shared:
        assert not list((tmp_path / "disk-1").glob("job-*")), "nothing is left on the node"


def test_a_job_whose_node_dies_resumes_on_another_from_the_checkpoint_that_is_here(sweep, cluster, tmp_path):
    engine = make_engine(cluster, sweep, "wait@2", use_shared=False)
    engine.start(make_spec(sweep))
    wait_for(engine, lambda _: (sweep / "0/checkpoints/resume-000002.pt").exists())
    cluster.kill_node("one")
    assert exit_of(engine) == JobExit(0, "node_failed", detail="one")
    assert not journal.is_locked(sweep / "0"), "the controller may close it"

    engine.start(make_spec(sweep))
    items = wait_for(engine, exits)
    engine.close()
    assert items[-1].cause == "returned"
    assert [item.epoch for item in items if isinstance(item, EpochReport)] == [3], "what was trained is not repeated"
    assert epochs_in(sweep / "0") == [1, 2, 3]
    assert [entry.op for entry in journal.read(sweep / "0")].count("resume") == 1
    assert (sweep / "0/run.log").read_text().count("hello from the worker") == 2
    assert len({name for name, *_ in cluster.started}) == 2


@pytest.mark.parametrize(
    ("step", "cause", "code"),
    [("die@2", "signalled", signal.SIGKILL), ("abort@1", "signalled", signal.SIGABRT), ("exit@1", "exited", 3)],
)
def test_a_process_that_dies_is_told_with_how_and_its_journal_is_here(sweep, cluster, is_shared, step, cause, code):
    engine = make_engine(cluster, sweep, step, use_shared=is_shared)
    engine.start(make_spec(sweep))
    found = exit_of(engine)
    engine.close()
    assert (found.cause, found.code) == (cause, code)
    assert epochs_in(sweep / "0")[-1] == int(step[-1])


def test_out_of_memory_is_told_apart_where_the_kernel_counts_it(sweep, cluster, monkeypatch):
    counts = iter([5, 5, 6, 6])
    monkeypatch.setattr("cifar_sweeps.sweeps.engines.local.oom_kills._oom_kills", lambda: next(counts))
    engine = make_engine(cluster, sweep, "die@1")
    engine.start(make_spec(sweep))
    assert exit_of(engine) == JobExit(0, "out_of_memory", code=signal.SIGKILL)
    engine.close()


def test_a_job_stops_at_a_safe_point_and_one_that_is_killed_at_once(sweep, cluster, is_shared):
    engine = make_engine(cluster, sweep, "wait@1", use_shared=is_shared)
    for job in (0, 1):
        engine.start(make_spec(sweep, job))
    wait_for(engine, lambda _: all((sweep / f"{job}/checkpoints/resume-000001.pt").exists() for job in (0, 1)))
    engine.stop(0)
    engine.stop(0)
    assert exit_of(engine) == JobExit(0, "stopped", detail=f"in {sweep / '0'}")
    assert journal.is_closed(sweep / "0")
    engine.stop(1, now=True)
    killed = exit_of(engine)
    assert (killed.job, killed.cause, killed.code) == (1, "signalled", signal.SIGKILL)
    assert not journal.is_closed(sweep / "1")
    engine.stop(1)
    engine.close()
    engine.close()


def test_a_job_that_waits_for_room_ends_at_once_when_it_is_stopped(sweep, cluster):
    cluster.has_room = False
    engine = make_engine(cluster, sweep)
    engine.start(make_spec(sweep))
    assert engine.wait(0.1) == []
    engine.stop(0)
    assert exit_of(engine) == JobExit(0, "stopped")
    assert cluster.actors == {}
    engine.close()


def test_closing_ends_every_actor(sweep, cluster):
    engine = make_engine(cluster, sweep, "wait@1")
    for job in (0, 1):
        engine.start(make_spec(sweep, job))
    wait_for(engine, lambda _: (sweep / "1/checkpoints/resume-000001.pt").exists())
    processes = [actor._process.pid for actor in cluster.actors.values()]
    engine.close()
    assert cluster.actors == {}
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_a_job_that_was_left_is_found_again_and_followed_to_its_end(sweep, cluster, is_shared):
    first = make_engine(cluster, sweep, "wait@2", use_shared=is_shared, outlives_us=True)
    first.start(make_spec(sweep))
    wait_for(first, lambda _: (sweep / "0/checkpoints/resume-000002.pt").exists())
    first.leave()
    assert [outlives for *_, outlives in cluster.started] == [True]
    assert len(cluster.actors) == 1
    if not is_shared:  # another command meanwhile takes it for one whose process is gone
        with (sweep / "0" / journal.NAME).open("ab") as file:
            file.write(b'{"op": "close", "time": 1, "state": "KILLED", "reason": "its process was killed"}\n')

    cluster.is_connected = True
    second = make_engine(cluster, sweep, use_shared=is_shared, outlives_us=True)
    assert second.adopt(sweep) == {0: None}
    items = wait_for(second, lambda items: any(isinstance(each, EpochReport) for each in items))
    assert not any(isinstance(each, TrainingEnded) for each in items)
    second.stop(0)
    assert exit_of(second).cause == "stopped"
    second.close()
    assert [entry.op for entry in journal.read(sweep / "0")][-2:] == ["metrics", "close"]
    assert journal.read(sweep / "0")[-1].fields["reason"] == "interrupted"
    assert (sweep / "0/run.log").read_text().count("hello from the worker") == 1


def test_a_job_that_no_node_has_room_for_is_not_left_behind_without_a_process(sweep, cluster, monkeypatch):
    monkeypatch.setattr("cifar_sweeps.sweeps.engines.ray.engine._START_SECONDS", 0.1)
    cluster.has_room = False
    engine = make_engine(cluster, sweep, outlives_us=True)
    engine.start(make_spec(sweep))
    assert engine.leave() == [0]
    assert cluster.actors == {}
    cluster.is_connected = True
    assert make_engine(cluster, sweep).adopt(sweep) == {}


@pytest.mark.parametrize("killed_before", ["locate", "start"])
def test_a_job_whose_controller_was_killed_before_its_process_ran_is_found_and_started(
    sweep, cluster, is_shared, monkeypatch, killed_before
):
    call = cluster.call
    never = threading.Event()
    first = make_engine(cluster, sweep, use_shared=is_shared, outlives_us=True)
    reached = threading.Event()

    def hang(actor, method, *arguments, given_up):
        if method == killed_before:
            reached.set()
            never.wait()
        return call(actor, method, *arguments, given_up=given_up)

    monkeypatch.setattr(cluster, "call", hang)
    first.start(make_spec(sweep))
    assert reached.wait(10)
    if (mirror := first._followers[0]._mirror) is not None:
        mirror.close()  # as its process is killed
    monkeypatch.setattr(cluster, "call", call)

    second = make_engine(cluster, sweep, use_shared=is_shared, outlives_us=True)
    assert second.adopt(sweep) == {0: None}
    assert exit_of(second) == JobExit(0, "returned", 0.3, f"in {sweep / '0'}")
    second.close()
    assert len(cluster.started) == 1
    assert cluster.actors == {}, "no actor is left behind"


def test_a_job_that_waits_for_room_without_a_controller_can_be_stopped(sweep, cluster):
    cluster.has_room = False
    first = make_engine(cluster, sweep, outlives_us=True)
    first.start(make_spec(sweep))
    wait_for(first, lambda _: cluster.actors)
    second = make_engine(cluster, sweep, outlives_us=True)
    assert second.adopt(sweep) == {0: None}
    second.stop(0)
    assert exit_of(second) == JobExit(0, "stopped")
    assert cluster.actors == {}
    second.close()
    first.close()


def test_an_actor_ends_when_nobody_starts_its_job(monkeypatch):
    monkeypatch.setattr("cifar_sweeps.sweeps.engines.ray.actor._UNSTARTED_SECONDS", 0.2)
    ended = threading.Event()
    monkeypatch.setattr(ScriptedActor, "_end_own_process", lambda _: ended.set())
    ScriptedActor()
    assert ended.wait(10)


def test_nothing_is_adopted_of_jobs_that_have_ended(sweep, cluster):
    engine = make_engine(cluster, sweep)
    engine.start(make_spec(sweep))
    exit_of(engine)
    assert make_engine(cluster, sweep).adopt(sweep) == {}
    engine.close()


def test_images_that_a_node_lacks_fail_the_job_with_the_nodes_name(sweep, cluster, tmp_path):
    engine = make_engine(cluster, sweep, use_shared=False)
    engine.start(make_spec(sweep, images=tmp_path / "photos"))
    found = exit_of(engine)
    engine.close()
    assert found.cause == "raised"
    assert found.detail.startswith(
        f"DataError: data.root={tmp_path / 'photos'}: is not on the node one; put the images"
    )


def test_a_run_to_start_from_cannot_be_looked_up_without_a_shared_disk(sweep, cluster):
    engine = make_engine(cluster, sweep, use_shared=False)
    engine.start(make_spec(sweep, init_from="0a1b2c3d"))
    found = exit_of(engine)
    engine.close()
    assert found.detail.startswith("ConfigError: trainer.init_from=0a1b2c3d: the node one does not share")


def test_a_full_disk_at_the_start_is_told_of_the_job(sweep, cluster, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cifar_sweeps.sweeps.engines.ray.engine.write_task", full)
    engine = make_engine(cluster, sweep)
    engine.start(make_spec(sweep))
    assert exit_of(engine).cause == "lost"
    engine.close()


def test_a_job_waits_until_the_process_of_its_dead_node_has_let_go_of_its_journal(sweep, cluster):
    (sweep / "0").mkdir(parents=True)
    holder = journal.Journal(sweep / "0")
    holder.append("open", identity="a")
    engine = make_engine(cluster, sweep)
    engine.start(make_spec(sweep))
    time.sleep(0.3)
    assert [entry.op for entry in journal.read(sweep / "0")] == ["open"]
    holder.close()
    assert exit_of(engine).cause == "returned"
    engine.close()
