"""A run that was stopped goes on, in this process."""

import pytest
import torch
from running import SMALL, Told, trained, weights

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.runs.reporters import LogReporter
from cifar_sweeps.runs.run import run


class Stops(LogReporter):
    """Breaks the run off as Ctrl-C does, when an epoch is on record and its checkpoint not yet begun."""

    def __init__(self, epoch):
        self.epoch_to_stop = epoch

    def epoch(self, metrics):
        if metrics.epoch == self.epoch_to_stop:
            raise KeyboardInterrupt


TIMES = {"epoch_seconds", "images_per_second"}


@pytest.mark.parametrize("more", [(), ("lr_schedule=plateau", "trainer.test_at=[2]")], ids=["plain", "plateau, tested"])
@pytest.mark.parametrize("stopped_at", [1, 3, 4])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits_and_doubles_nothing(tmp_path, stopped_at, more):
    more = ("regularization=l2_dropout", "augmentation=flip_crop", "optimizer=adamax", *more)
    whole, told = trained(tmp_path / "whole", *more)
    with pytest.raises(KeyboardInterrupt):
        run(compose([*SMALL, *more]), name="a run", folder=tmp_path / "stopped", watcher=Stops(stopped_at))
    first = Told(tmp_path / "stopped")
    assert (first.state, first.reason) == ("KILLED", "interrupted")

    resumed, again = trained(tmp_path / "stopped", *more)
    for name in ("last", "best"):
        kept = [weights(tmp_path / folder / "checkpoints" / f"{name}.pt") for folder in ("whole", "stopped")]
        kept = [state.get("model", state) for state in kept]
        assert all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])
    for metric in told.by_metric.keys() - TIMES:
        assert again.by_metric[metric] == told.by_metric[metric]
    for metric in TIMES:
        assert [step for step, _ in again.by_metric[metric]] == [1, 2, 3, 4]
    assert again.state == "FINISHED"
    assert again.ops.count("open") == again.ops.count("resume") == again.ops.count("params") == 1
    assert resumed.metrics.keys() == whole.metrics.keys()
    assert sorted(path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir()) == ["best.pt", "last.pt"]


def test_a_run_that_stops_early_stays_stopped_when_it_is_taken_up(tmp_path):
    stopping = ("trainer.early_stopping.patience=1", "trainer.early_stopping.min_delta=1.0", "trainer.epochs=9")
    with pytest.raises(KeyboardInterrupt):
        run(compose([*SMALL, *stopping]), name="a run", folder=tmp_path, watcher=Stops(2))
    resumed, told = trained(tmp_path, *stopping)
    assert [metrics.epoch for metrics in resumed.history] == [1, 2]
    assert told.state == "FINISHED"


def test_a_run_may_begin_anew_in_its_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(compose([*SMALL]), name="a run", folder=tmp_path, watcher=Stops(3))
    _, told = trained(tmp_path, "trainer.resume=never")
    assert [step for step, _ in told.by_metric["train/loss"]] == [1, 2, 3, 4]


def test_the_folder_of_another_run_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(compose([*SMALL]), name="a run", folder=tmp_path, watcher=Stops(1))
    with pytest.raises(ConfigError, match="another config or of other images; choose another folder"):
        trained(tmp_path, "trainer.epochs=2")
    trained(tmp_path)
    with pytest.raises(ConfigError, match="which has finished; choose another folder"):
        trained(tmp_path)


def test_a_run_that_is_taken_up_has_the_threads_that_it_had(tmp_path):
    free = [*SMALL, "trainer.threads=auto"]
    with pytest.raises(KeyboardInterrupt):
        run(compose(free), name="a run", folder=tmp_path, threads=2, watcher=Stops(2))
    run(compose(free), name="a run", folder=tmp_path, threads=1)
    assert Told(tmp_path).tagged["cifar_sweeps.threads"] == "2"
