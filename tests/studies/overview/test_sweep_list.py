"""The list of sweeps: of the folder's journals, and of what the store alone has."""

import json

import pytest
from study_toys import ToyStore
from typer.testing import CliRunner

from cifar_sweeps.cli.main import app
from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking.journal import PLACED, Journal
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger


def record(outputs, folder, name, tags, *, state="FINISHED", val=None, backend="mlflow", uri=None):
    header = RunHeader(
        folder=folder,
        outputs=outputs,
        backend=backend,
        uri=uri,
        study="mine",
        name=name,
        tags={f"cifar_sweeps.{key}": value for key, value in tags.items()},
        identity="x",
    )
    folder.mkdir(parents=True)
    logger = RunLogger(header)
    if val is not None:
        logger.log_metrics({"best/val_accuracy": val}, 1)
    if state is not None:
        logger.end_run(state, "")
    return logger


def record_sweep(outputs, sweep_id, jobs, **given):
    folder = outputs / "sweeps" / sweep_id
    tags = {"role": "sweep", "sweep_id": sweep_id, "study": "mine", "overrides": "seed=0,1", "jobs": "3"}
    record(outputs, folder, f"sweep {sweep_id}", tags, **given)
    for number, (state, val) in enumerate(jobs):
        own = {"sweep_id": sweep_id, "job": str(number)}
        record(outputs, folder / str(number), f"seed={number}", own, state=state, val=val, backend="none")


@pytest.fixture
def ask(outputs):
    def run(*arguments, width=80):
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": str(width)})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    return run


def test_sweeps_are_listed_newest_first_with_their_jobs_by_state(ask, outputs):
    record_sweep(outputs, "2026-01-01_first", [("FINISHED", 0.5), ("FAILED", 0.9)], state="FAILED", backend="none")
    record_sweep(outputs, "2026-01-02_second", [("FINISHED", 0.25)] * 3, backend="none")
    toy = ToyStore(outputs)
    parent = toy.sweep("elsewhere", "of-another-machine")
    toy.run("elsewhere", 0.75, swept={}, parent=parent, tags={"sweep_id": "of-another-machine"})
    rows = json.loads(ask("sweeps", "--json"))
    assert [row["sweep_id"] for row in rows] == ["of-another-machine", "2026-01-02_second", "2026-01-01_first"]
    assert [row["jobs"] for row in rows] == [
        {"finished": 1},
        {"finished": 3},
        {"finished": 1, "failed": 1, "not started": 1},
    ]
    assert [row["best"] for row in rows][1:] == [0.25, 0.5]  # the failed one's does not count
    assert rows[1]["command"] == "cifar-train -m seed=0,1"
    lines = ask("sweeps").splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[-2:] == ["best", "val"] for line in lines)
    assert "1 finished, 1 failed," in next(line for line in lines if "2026-01-01_first" in line)
    assert [row["study"] for row in json.loads(ask("sweeps", "elsewhere", "--json"))] == ["elsewhere"]
    listed = ask("results")
    assert "2026-01-02_second" in listed
    assert "cifar-sweeps results ID" in listed
    with pytest.raises(TrackingError, match=r"elsewere: no sweep of this study; .*did you mean 'elsewhere'"):
        ask("sweeps", "elsewere")


def test_an_abandoned_sweep_is_killed_and_what_the_store_lacks_is_told(ask, outputs, tmp_path):
    folder = outputs / "sweeps" / "2026-01-03_dead"
    logger = record(outputs, folder, "sweep 2026-01-03_dead", {"role": "sweep", "sweep_id": "2026-01-03_dead"})
    logger.run_id  # noqa: B018 (delivered)
    away = outputs / "sweeps" / "2026-01-04_away"
    away.mkdir(parents=True)
    journal = Journal(away)
    tags = {"cifar_sweeps.role": "sweep", "cifar_sweeps.sweep_id": "2026-01-04_away", "cifar_sweeps.study": "mine"}
    header = {"journal": "j", "identity": "x", "backend": "mlflow", "uri": "http://127.0.0.1:9", "outputs": "../.."}
    journal.append("open", **header, study="mine", name="sweep 2026-01-04_away", parent=None, tags=tags)
    journal.close()  # its process died: neither closed nor locked
    text = ask("sweeps")
    row = next(line for line in text.splitlines() if "2026-01-04_away" in line)
    assert "none, killed" in row
    assert "2026-01-04_away: 1 of its journals are not all in the store yet: cifar-sweeps sync" in text
    placed = away / PLACED
    placed.parent.mkdir()
    placed.touch()  # its jobs run elsewhere, and the command that watches them sends what they record
    assert "not all in the store yet: cifar-sweeps attach 2026-01-04_away sends them" in " ".join(ask("sweeps").split())


def test_a_folder_without_sweeps_says_how_to_train_one(ask):
    with pytest.raises(TrackingError, match="holds no sweeps yet; train one: cifar-train study=quickstart"):
        ask("sweeps")


def test_sync_takes_a_sweep_or_run_by_its_id_and_refuses_what_two_could_be(ask, outputs):
    record_sweep(outputs, "2026-01-01_first", [("FINISHED", 0.5)], backend="none")
    record_sweep(outputs, "2026-01-02_second", [("FINISHED", 0.5)], backend="none")
    assert "2 runs and sweeps: 0 sent" in ask("sync", "2026-01-02")
    for name in ("2026", "seed=0"):
        with pytest.raises(TrackingError, match=r"2 sweeps or runs have .*2026-01-02_second.*2026-01-01_first"):
            ask("sync", name)
    with pytest.raises(TrackingError, match=r"nope: no sweep or run has this id or name"):
        ask("sync", "nope")
