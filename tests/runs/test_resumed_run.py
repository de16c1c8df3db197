"""A stopped run is resumed, in this process."""

import pytest
import torch
from running import SMALL, JournalContents, train, weights

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.runs.reporters import LogReporter
from cifar_sweeps.runs.run import run
from cifar_sweeps.system.scripts import typed


class StopAfterEpoch(LogReporter):
    """Interrupts the run as Ctrl-C does, after an epoch is recorded and before its checkpoint."""

    def __init__(self, epoch):
        self.epoch_to_stop = epoch

    def on_epoch(self, metrics):
        if metrics.epoch == self.epoch_to_stop:
            raise KeyboardInterrupt


TIMES = {"epoch_seconds", "images_per_second"}


@pytest.mark.parametrize("more", [(), ("lr_schedule=plateau", "trainer.test_at=[2]")], ids=["plain", "plateau, tested"])
@pytest.mark.parametrize("stopped_at", [1, 3, 4])
def test_a_resumed_run_is_bit_identical_and_records_nothing_twice(tmp_path, stopped_at, more):
    more = ("regularization=l2_dropout", "augmentation=flip_crop", "optimizer=adamax", *more)
    whole, contents = train(tmp_path / "whole", *more)
    with pytest.raises(KeyboardInterrupt):
        run(compose([*SMALL, *more]), name="a run", folder=tmp_path / "stopped", reporter=StopAfterEpoch(stopped_at))
    first = JournalContents(tmp_path / "stopped")
    assert (first.state, first.reason) == ("KILLED", "interrupted")

    resumed, again = train(tmp_path / "stopped", *more)
    for name in ("last", "best"):
        kept = [weights(tmp_path / folder / "checkpoints" / f"{name}.pt") for folder in ("whole", "stopped")]
        kept = [state.get("model", state) for state in kept]
        assert all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])
    for metric in contents.metrics.keys() - TIMES:
        assert again.metrics[metric] == contents.metrics[metric]
    for metric in TIMES:
        assert [step for step, _ in again.metrics[metric]] == [1, 2, 3, 4]
    assert again.state == "FINISHED"
    assert again.ops.count("open") == again.ops.count("resume") == again.ops.count("params") == 1
    assert resumed.metrics.keys() == whole.metrics.keys()
    assert sorted(path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir()) == ["best.pt", "last.pt"]


def test_early_stopping_holds_in_a_resumed_run(tmp_path):
    stopping = ("trainer.early_stopping.patience=1", "trainer.early_stopping.min_delta=1.0", "trainer.epochs=9")
    with pytest.raises(KeyboardInterrupt):
        run(compose([*SMALL, *stopping]), name="a run", folder=tmp_path, reporter=StopAfterEpoch(2))
    resumed, contents = train(tmp_path, *stopping)
    assert [metrics.epoch for metrics in resumed.history] == [1, 2]
    assert contents.state == "FINISHED"


def test_a_run_can_restart_in_its_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(compose([*SMALL]), name="a run", folder=tmp_path, reporter=StopAfterEpoch(3))
    _, contents = train(tmp_path, "trainer.resume=never")
    assert [step for step, _ in contents.metrics["train/loss"]] == [1, 2, 3, 4]


def test_the_folder_of_another_run_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(compose([*SMALL]), name="a run", folder=tmp_path, reporter=StopAfterEpoch(1))
    with pytest.raises(ConfigError, match="another config or of other images; choose another folder"):
        train(tmp_path, "trainer.epochs=2")
    train(tmp_path)
    with pytest.raises(ConfigError, match="which has finished; choose another folder"):
        train(tmp_path)


def test_a_resumed_run_keeps_its_threads(tmp_path):
    free = [*SMALL, "trainer.threads=auto"]
    with pytest.raises(KeyboardInterrupt):
        run(compose(free), name="a run", folder=tmp_path, threads=2, reporter=StopAfterEpoch(2))
    run(compose(free), name="a run", folder=tmp_path, threads=1)
    assert JournalContents(tmp_path).tags["cifar_sweeps.threads"] == "2"


@pytest.mark.parametrize("outputs", ["outputs", "./outputs", "absolute"])
def test_a_single_run_that_is_interrupted_says_how_to_resume_it_wherever_its_outputs_are(
    outputs, tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    outputs = str(tmp_path / "outputs") if outputs == "absolute" else outputs
    folder = tmp_path / "outputs" / "runs" / "mine"  # Hydra gives an absolute one
    caplog.set_level("INFO")
    with pytest.raises(KeyboardInterrupt):
        run(compose([*SMALL, f"outputs={outputs}"]), name="a run", folder=folder, reporter=StopAfterEpoch(1))
    assert f"resume it: {typed('cifar-sweeps')} resume mine" in caplog.text
