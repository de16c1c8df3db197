"""A job's journal tells the same events as the job itself."""

import pytest
from running import SMALL

from cifar_sweeps.config.compose import compose
from cifar_sweeps.runs.run import run
from cifar_sweeps.sweeps.engines.channel import EventChannel
from cifar_sweeps.sweeps.engines.journal_events import JournalEventReader
from cifar_sweeps.sweeps.jobs import EpochReport, TrainingEnded, TrainingStarted


class Told:
    """A run's reporter that keeps what it is told, as events."""

    def __init__(self, stop_after=None):
        self.events, self._stop_after = [], stop_after

    def on_start(self, description):
        self.events.append(TrainingStarted(5, description.epochs))

    def on_loading(self, what, done, total):
        pass

    def on_step(self, progress):
        pass

    def on_epoch(self, metrics):
        self.events.append(EpochReport(5, metrics.epoch, metrics.train_loss, metrics.val_accuracy))
        if metrics.epoch == self._stop_after:
            raise KeyboardInterrupt

    def on_work(self, work):
        pass  # steps within the end of a run are not in its journal

    def on_message(self, text):
        pass

    def on_end(self, text):
        self.events.append(TrainingEnded(5))


def test_the_journal_tells_what_the_reporter_was_told_once(tmp_path):
    told, events = Told(), JournalEventReader(5, tmp_path)
    assert events.poll() == []
    run(compose(SMALL), folder=tmp_path, reporter=told)
    channel = EventChannel()
    events.feed(channel)
    assert channel.drain(0) == told.events
    assert len(told.events) == 6
    assert events.poll() == []


def test_a_run_that_was_stopped_and_resumed_starts_and_ends_twice(tmp_path):
    told, events = Told(stop_after=2), JournalEventReader(5, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(compose(SMALL), folder=tmp_path, reporter=told)
    assert events.poll() == told.events
    again = Told()
    run(compose(SMALL), folder=tmp_path, reporter=again)
    assert again.events[1] == told.events[2]  # its checkpoint had not been written; the journal has it once
    assert events.poll() == [event for event in again.events if event != told.events[2]]
    assert events.poll() == []


def test_epochs_are_counted_over_all_parts(tmp_path):
    told = Told()
    run(compose([*SMALL, "trainer.epochs=1", "trainer.parts=2"]), folder=tmp_path, reporter=told)
    assert told.events[0] == TrainingStarted(5, 2)
    assert JournalEventReader(5, tmp_path).poll() == told.events
