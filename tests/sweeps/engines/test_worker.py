"""The worker runs what the launch has packed: the job's config, with its GPU and threads, reported to its engine."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from sweeps.fake_engine import planned

from cifar_sweeps.sweeps import launch
from cifar_sweeps.sweeps.engines import worker
from cifar_sweeps.sweeps.engines.channel import EventChannel
from cifar_sweeps.sweeps.engines.local import process
from cifar_sweeps.sweeps.engines.local.event_socket import EventListener
from cifar_sweeps.system.gpus import CUDA_VISIBLE_DEVICES


@pytest.fixture
def ran(monkeypatch):
    """What the task function was given and saw, in place of a training."""
    seen = {}

    def train_job(config, reporter=None, threads=None, until=None):
        seen.update(
            config=config, threads=threads, until=until, gpu=os.environ.get(CUDA_VISIBLE_DEVICES), reporter=reporter
        )
        return seen.get("value", 0.5)

    def run_job(context, config, task, state):
        return SimpleNamespace(status=worker.JobStatus.COMPLETED, return_value=task(config))

    monkeypatch.setattr(worker, "train_job", train_job)
    monkeypatch.setattr(worker, "run_job", run_job)
    monkeypatch.setenv(CUDA_VISIBLE_DEVICES, "0,1,2")
    return seen


def test_a_job_sees_the_gpu_that_it_was_given_and_its_threads(ran):
    payload = worker.make_payload(worker.pack_shared("context"), {"seed": 3})
    assert worker.run_payload(payload, "reporter", 4, "2", 6) == ("returned", 0.5, "")
    assert ran == {"config": {"seed": 3}, "threads": 4, "until": 6, "gpu": "2", "reporter": "reporter"}


def test_a_job_that_was_given_no_gpu_sees_what_the_machine_has(ran):
    worker.run_payload(worker.make_payload(worker.pack_shared("context"), {}), "reporter", 1, None, None)
    assert ran["gpu"] == "0,1,2"


def test_what_the_task_raises_is_the_detail_and_an_interrupt_passes(ran, monkeypatch):
    def fails(error):
        def run_job(*_):
            raise error

        monkeypatch.setattr(worker, "run_job", run_job)

    payload = worker.make_payload(worker.pack_shared("context"), {})
    fails(SystemExit(3))
    assert worker.run_payload(payload, "reporter", 1, None, None) == ("raised", None, "SystemExit: 3")
    fails(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        worker.run_payload(payload, "reporter", 1, None, None)


def test_the_process_of_a_job_passes_it_all_on(ran, monkeypatch, tmp_path):
    monkeypatch.setattr(process, "_exit_with_the_parent", lambda: None)
    monkeypatch.setattr(worker, "redirect_output", lambda path: ran.update(log=path))
    monkeypatch.setattr(process.signal, "signal", lambda *_: None)  # this process keeps its own handlers
    channel = EventChannel()
    listener = EventListener(channel)
    (tmp_path / "payload").write_bytes(worker.make_payload(worker.pack_shared("context"), {"seed": 1}))
    outcome = process.run_job_process(str(tmp_path / "payload"), "a.log", listener.address, 7, 3, "1", 4, True)
    listener.close()
    assert outcome == ("returned", 0.5, "")
    assert (ran["threads"], ran["gpu"], ran["until"], ran["log"]) == (3, "1", 4, Path("a.log"))
    assert [(event.job, event.process_id) for event in channel.drain(0)] == [(7, os.getpid())]


def test_what_the_launch_gives_the_engine(monkeypatch):
    monkeypatch.setattr(launch, "make_payload", lambda shared, node: (shared, node))
    job = planned(4, timeout=15.0)
    spec = launch._make_spec(b"shared", 3, ("seed",), job, "5", 4)
    assert (spec.number, spec.threads, spec.timeout, spec.gpu, spec.until) == (4, 3, 15.0, "5", 4)
    assert spec.payload == (b"shared", job.node)
    assert spec.swept == {"seed": "4"}
    assert (spec.folder, spec.log_file) == (Path("/sweep/4"), Path("/sweep/4/run.log"))
