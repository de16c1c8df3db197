import io

import pytest
from rich.console import Console

from cifar_sweeps.sweeps.jobs import EpochReport, TrainingEnded, TrainingStarted, WorkStarted
from cifar_sweeps.sweeps.terminal.progress import JobProgress, SweepProgress


def console(width=80, height=24):
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)


def drawn(progress):
    screen = console(progress.console.width, progress.console.height)
    screen.print(progress.table())
    return screen.file.getvalue().splitlines()


def sweep(count, width=80, height=24):
    jobs = [JobProgress(number, f"regularization=l2_dropout seed={number}", 10) for number in range(count)]
    return SweepProgress(jobs, console(width, height), at_once=2)


def report_epoch(progress, number, accuracy):
    progress.handle(TrainingStarted(number, 10))
    progress.handle(EpochReport(number, 5, 1.25, accuracy))


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("count", [3, 300])
def test_the_table_fits_the_terminal(width, count):
    progress = sweep(count, width)
    progress.started(count - 1)
    report_epoch(progress, count - 1, 0.5)
    lines = drawn(progress)
    assert len(lines) <= 24
    assert max(len(line) for line in lines) <= width
    assert any("running" in line for line in lines)  # though it is the last of all jobs


def test_events_reach_the_row_and_the_best_is_marked():
    progress = sweep(3)
    for number, accuracy in ((0, 0.51), (1, 0.62)):
        progress.started(number)
        report_epoch(progress, number, accuracy)
    first, second = (line for line in drawn(progress) if "running" in line)
    assert "5/10" in first
    assert "1.250" in first
    assert "0.5100" in first
    assert "★" not in first
    assert "★ 0.6200" in second


def test_the_best_accuracy_stays_when_a_later_epoch_is_worse():
    progress = sweep(1)
    for accuracy in (0.6, 0.5):
        report_epoch(progress, 0, accuracy)
    assert progress.job(0).best == 0.6


def test_whole_sweep_progress_counts_every_end():
    progress = sweep(4)
    for number, phase in ((0, "finished"), (1, "failed")):
        progress.started(number)
        progress.ended(number, phase, "it broke")
    assert drawn(progress)[-1].startswith("2 of 4 jobs done, 2 at once")


def test_a_resumed_job_s_pace_is_that_of_its_own_process(monkeypatch):
    progress, now = sweep(1), [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress.started(0)
    progress.handle(TrainingStarted(0, 10))
    now[0] = 104.0
    progress.handle(EpochReport(0, 7, 1.25, 0.5))  # the first here: six were done before
    assert progress.job(0).seconds_an_epoch(now[0]) == 4.0
    assert progress.job(0).seconds_left(now[0]) == 12.0


def test_what_may_be_paused_or_is_not_there_yet_is_in_the_time_that_is_left(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 10.0)
    progress = sweep(1)
    progress.total, progress.pauses = 3, True
    progress.started(0)
    progress.job(0).epochs, progress.job(0).done, progress.job(0).first_step = 10, 5, 0.0
    # 2 s an epoch: 5 of its own, and 20 of the two that come, two at once
    assert drawn(progress)[-1].endswith("at most 0:25 left")


def test_elsewhere_than_on_a_terminal_plain_lines_tell_of_each_job():
    file = io.StringIO()
    progress = sweep(2)
    progress.console = Console(file=file, width=80)
    with progress:
        progress.started(0)
        report_epoch(progress, 0, 0.5)
        progress.ended(0, "finished")
        progress.started(1)
        progress.ended(1, "failed", "its process was killed by SIGKILL")
    lines = file.getvalue().splitlines()
    assert lines[0] == "job 0 started: regularization=l2_dropout seed=0"
    assert "job 0 finished in 0 s (1 of 2)" in lines[1]
    assert "best val accuracy 0.5000" in lines[1]
    assert lines[3].endswith("regularization=l2_dropout seed=1: its process was killed by SIGKILL")


def test_names_are_never_read_as_markup():
    progress = SweepProgress([JobProgress(0, "conv=[3,[3,5]] note=[bold]", 1)], console(120))
    assert any("[3,[3,5]] / [bold]" in line for line in drawn(progress))


class File(io.StringIO):
    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


@pytest.mark.parametrize(
    ("environment", "is_terminal", "is_live"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "unknown"}, True, False),
        ({}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"FORCE_COLOR": "1", "TERM": "xterm"}, False, False),
        ({"TTY_COMPATIBLE": "1", "TERM": "xterm"}, False, False),
    ],
)
def test_a_table_that_is_redrawn_only_where_it_can_be_and_lines_elsewhere(environment, is_terminal, is_live):
    file = File(is_terminal)
    progress = sweep(2)
    progress.console = Console(file=file, width=80, _environ=environment)
    with progress:
        progress.started(0)
    assert ("job 0 started" in file.getvalue()) == (not is_live)


def test_a_job_that_saves_its_model_is_said_to():
    progress = sweep(2)
    progress.started(0)
    report_epoch(progress, 0, 0.5)
    progress.handle(TrainingEnded(0))
    assert any("saving" in line for line in drawn(progress))


@pytest.mark.parametrize("width", [80, 120])
def test_a_job_says_what_it_does_after_its_last_epoch(width):
    progress = sweep(2, width)
    progress.started(0)
    report_epoch(progress, 0, 0.5)
    for work in ("testing", "pictures", "model", "record"):
        progress.handle(WorkStarted(0, work))
        lines = [line.rstrip() for line in drawn(progress)]
        assert next(line.split()[-1] for line in lines if line.strip().startswith("0 ")) == work
        assert max(map(len, lines)) <= width
        if work == "testing":
            progress.handle(TrainingEnded(0))
    progress.handle(TrainingStarted(0, 3))  # it was queued again
    assert progress.jobs[0].doing == "running"
    progress.handle(WorkStarted(0, "record"))
    progress.ended(0, "finished")
    assert progress.jobs[0].doing == "finished"


def test_a_job_in_a_scheduler_s_queue_is_queued_until_it_trains(capsys):
    progress = SweepProgress([JobProgress(0, "seed=0", 3)], Console(), queues=True)
    progress.started(0)
    assert progress.jobs[0].phase == "queued"
    progress.handle(TrainingStarted(0, 3))
    assert progress.jobs[0].phase == "running"
    progress.handle(TrainingEnded(0))  # at the end of an allocation, after which it is queued again and goes on
    progress.handle(TrainingStarted(0, 3))
    assert progress.jobs[0].phase == "running"
    progress.handle(EpochReport(0, 3, 1.0, 0.5))
    progress.ended(0, "finished")
    assert capsys.readouterr().out.splitlines() == [
        "job 0 queued: seed=0",
        "job 0 trains: seed=0",
        "job 0 trains again, for the scheduler had queued it again: seed=0",
        "job 0 finished (1 of 1): seed=0, best val accuracy 0.5000",  # what it took before was another allocation's
    ]


def test_the_seconds_of_a_job_do_not_hold_those_in_the_queue(capsys, monkeypatch):
    clock = iter([0.0, 100.0, 105.0])  # it is created, queued; it trains; it ends
    monkeypatch.setattr("cifar_sweeps.sweeps.terminal.progress.time.monotonic", lambda: next(clock))
    progress = SweepProgress([JobProgress(0, "seed=0", 3)], Console(), queues=True, _began=0.0)
    progress.started(0)
    progress.handle(TrainingStarted(0, 3))
    progress.ended(0, "finished")
    assert "job 0 finished in 5 s (1 of 1)" in capsys.readouterr().out
