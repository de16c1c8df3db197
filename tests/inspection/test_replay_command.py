"""`cifar-sweeps replay`: what early stopping would have saved and lost, from recorded runs."""

import json

import pytest
from conftest import TINY, cifar_train
from study_toys import ToyStore
from typer.testing import CliRunner

from cifar_sweeps.cli.main import app
from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.inspection.replay import Settings, whole_runs
from cifar_sweeps.search.decisions import NAME, DecisionLog, read_decisions
from cifar_sweeps.search.replay import draw_orders, early_stopping, replay, summarize
from cifar_sweeps.search.rungs import MedianRule, SuccessiveHalving
from cifar_sweeps.search.simulation import WholeRun, simulate
from cifar_sweeps.studies.histories import read_histories
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.results import load_history
from cifar_sweeps.tracking.store import Store

FINALS = {"a": (0.6, 0.62), "b": (0.7, 0.72), "c": (0.65, 0.8), "d": (0.5, 0.52), "e": (0.4, 0.41)}
EPOCHS = 6


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Three sweeps: one whole, one of two arms and two epochs, one with all that cannot be replayed."""
    toy = ToyStore(tmp_path_factory.mktemp("store"))
    grid = toy.sweep("grid", "whole", "model=a,b,c,d,e seed=0,1")
    for arm, finals in FINALS.items():
        for seed, val in enumerate(finals):
            tags = {"sweep_id": "whole"}
            toy.run("grid", val, swept={"model": arm}, seed=seed, parent=grid, tags=tags, epochs=EPOCHS)
    pair = toy.sweep("pair", "two", "model=a,b")
    for arm, val in (("a", 0.6), ("b", 0.5)):
        toy.run("pair", val, swept={"model": arm}, parent=pair, tags={"sweep_id": "two"}, epochs=2)
    mixed = toy.sweep("mixed", "some", "model=a,b,c,d,e seed=0,1")

    def add(arm, seed=0, state="FINISHED", **tags):
        return toy.run(
            "mixed", 0.6, swept={"model": arm}, seed=seed, parent=mixed, state=state, tags={"sweep_id": "some", **tags},
            epochs=EPOCHS if state == "FINISHED" else 3, params={"trainer.epochs": str(EPOCHS)},
        )  # fmt: skip

    add("a")
    add("a")
    add("b")
    add("b", 1, "FAILED")
    toy.client.set_tag(add("c", 0, "FAILED"), "cifar_sweeps.failure", "DivergedError: the loss is not finite")
    add("d", 0, "KILLED")
    add("d", 1, "RUNNING")
    add("e", 0, early_stopped="6", early_stopped_of="12")
    return toy


@pytest.fixture
def cli(toy, monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(toy.store.outputs))

    def run(*arguments):
        return CliRunner().invoke(app, ["replay", *arguments], env={"COLUMNS": "80"}, catch_exceptions=False).stdout

    return run


def test_a_table_by_hand(cli):
    """Both arms train an epoch of 9 s, and the better one its second of 2 s, in either order of arrival."""
    out = cli("two", "grace_epochs=1", "--workers", "1,2")
    assert max(map(len, out.splitlines()[:-1])) <= 80
    rows = [line.split() for line in out.splitlines() if line.endswith("% ")]
    assert rows == [
        ["1", "75.0%", "90.9%", "0:20", "0:22", "0.0000", "0.0000", "100%"],
        ["2", "75.0%", "90.9%", "0:11", "0:11", "0.0000", "0.0000", "100%"],
    ]
    said = " ".join(out.split())
    assert "two: 2 whole runs of 2 arms, in 60 random orders of arrival" in said
    assert "runs of 2 epochs pause after epoch 1; by val/accuracy there, the best 1 in 4" in said
    assert "Fewer arms than eta=4" in said
    assert "of the best arm (model=a: 0.6000)" in said
    command = "cifar-train -m model=a,b sweep.early_stopping=asha sweep.grace_epochs=1 sweep.rerun=all"
    assert out.splitlines()[-1].endswith(f"these join the finished sweep): {command}")
    assert "Warning" not in out


def test_the_command_says_each_setting_once_and_starts_a_sweep_of_its_own(toy, cli):
    typed = "model=a,b sweep.early_stopping=asha sweep.grace_epochs=1 sweep.eta=2 sweep.metric=val/loss"
    sweep = toy.sweep("once", "once", typed)
    for arm, val in (("a", 0.6), ("b", 0.5)):
        toy.run("once", val, swept={"model": arm}, parent=sweep, tags={"sweep_id": "once"}, epochs=EPOCHS)
    said = cli("once", "grace_epochs=2", "eta=3").splitlines()[-1]
    command = "cifar-train -m model=a,b sweep.early_stopping=asha sweep.grace_epochs=2 sweep.eta=3 sweep.rerun=all"
    assert said.endswith(f": {command}")


def runs_by_hand(metric):
    return [
        WholeRun(
            f"model={arm}",
            EPOCHS,
            {
                epoch: (
                    val - 0.05 * (EPOCHS - epoch) if metric == "val/accuracy" else 1.2 - val + 0.05 * (EPOCHS - epoch)
                )
                for epoch in range(1, EPOCHS + 1)
            },
            [9.0, 2.0, 2.0, 2.0, 2.0, 2.0],
        )
        for arm, finals in FINALS.items()
        for val in finals
    ]


@pytest.mark.parametrize(
    ("arguments", "ladder", "metric"),
    [
        (["eta=2", "grace_epochs=1"], SuccessiveHalving(2, 1), "val/accuracy"),
        (["sweep.eta=3", "grace_epochs=2", "metric=val/loss"], SuccessiveHalving(3, 2), "val/loss"),
        (["--early-stopping", "median", "grace_epochs=2"], MedianRule(2), "val/accuracy"),
    ],
    ids=["asha", "loss", "median"],
)
def test_the_store_gives_what_the_same_curves_give(cli, arguments, ladder, metric):
    found = json.loads(cli("whole", *arguments, "--orders", "20", "--workers", "1,3", "--json"))
    runs, rises = runs_by_hand(metric), metric == "val/accuracy"
    for summary in found["workers"]:
        outcomes = [replay(runs, ladder, order, summary["workers"], rises=rises) for order in draw_orders(runs, 20)]
        expected = summarize(outcomes)
        for key in ("epochs", "seconds", "wall_clock", "whole_wall_clock", "best_picked", "orders"):
            assert summary[key] == pytest.approx(getattr(expected, key)), key
        assert summary["regret_worst"] == pytest.approx(expected.regret_worst)
    assert found["best"] == {"arm": "model=c", "value": pytest.approx(0.725 if rises else 0.475)}
    assert found["whole"] == {"epochs": 60, "seconds": 190.0}
    assert found["rungs"] == {"6": list(ladder.rungs(EPOCHS))}


def test_what_cannot_be_replayed_is_left_out_and_counted_and_what_diverged_would_again(cli):
    out = " ".join(cli("some", "grace_epochs=2").split())
    assert out.startswith("Warning: 1 run of some was paused by early stopping and cannot be replayed")
    assert "some: 3 whole runs of 2 arms" in out
    assert "1 run diverged, and would again" in out
    assert "Left out: 1 superseded by a repeat, 1 failed, 1 killed, 1 still running, 1 paused by early stopping" in out
    found = json.loads(cli("some", "grace_epochs=2", "--json"))
    assert found["whole"]["epochs"] == 6 + 6 + 3
    assert found["diverged"] == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["none"], TrackingError, "none"),
        (["two"], TrackingError, "its runs are 2 epochs long, and the first rung is after epoch 4"),
        (["whole", "eta=1"], ConfigError, "eta=1: must be a whole number of at least 2"),
        (["whole", "etta=3"], ConfigError, "etta=3: is no setting.*did you mean 'eta'"),
        (["whole", "metric=loss"], ConfigError, "must be val/accuracy or val/loss"),
        (["whole", "--early-stopping", "hyperband"], ConfigError, "must be asha or median"),
        (["whole", "--workers", "1,x"], ConfigError, "--workers 1,x"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_what_makes_no_sense_is_one_clear_error(cli, arguments, error, message):
    with pytest.raises(error, match=message):
        cli(*arguments)


def test_too_few_whole_arms_are_refused_with_the_reasons(toy, cli):
    lone = toy.sweep("lone", "lone", "model=a,b")
    toy.run("lone", 0.5, swept={"model": "a"}, parent=lone, epochs=EPOCHS)
    toy.run("lone", 0.5, swept={"model": "b"}, parent=lone, state="KILLED", epochs=2)
    with pytest.raises(TrackingError, match=r"at least 2 arms .* and 1 has \(left out: 1 killed\)"):
        cli("lone")


def test_sweeps_of_other_budgets_are_not_compared(toy, cli):
    for budget in ("full", "short: 2 of 6 epochs"):
        sweep_id = budget[:4]
        parent = toy.sweep("budgets", sweep_id, "model=a,b")
        for arm in "ab":
            tags = {"sweep_id": sweep_id, "budget": budget}
            toy.run("budgets", 0.5, swept={"model": arm}, parent=parent, tags=tags, epochs=EPOCHS)
    with pytest.raises(TrackingError, match="name one of its sweeps: shor, full"):
        cli("budgets")
    assert "2 whole runs" in cli("full")


@pytest.mark.slow
def test_a_real_sweep_takes_the_decisions_that_the_replay_of_the_whole_one_foretells(outputs):
    """In the same order, with one job at a time: the same promotions from the same values, and the same epochs."""
    grid = [*TINY, "trainer.epochs=4", "analysis.log_model=false", "analysis.pictures=false", "sweep.report=false"]
    grid += ["-m", "hydra.launcher.n_jobs=1", "seed=0,1", "optimizer.lr=0.1,0.01,0.001"]
    stopping = ["sweep.early_stopping=asha", "sweep.eta=2", "sweep.grace_epochs=1"]
    for more in (["study_name=whole"], ["study_name=stopped", *stopping]):
        assert cifar_train(*grid, *more).returncode == 0
    store, settings = Store.open(outputs), Settings(eta=2, grace_epochs=1)
    study = find_runs("whole", store)
    metrics = ["val/accuracy", "epoch_seconds"]
    histories = read_histories(store.client(), [run.run_id for run in study.runs], metrics)
    runs, _ = whole_runs(study, histories, settings)
    order, foretold = list(dict.fromkeys(run.arm for run in runs)), DecisionLog(None)
    make = early_stopping(runs, settings.ladder, order, rises=True, open_log=lambda: foretold)
    trained = simulate(runs, make, 1)
    [real] = outputs.glob(f"sweeps/*/{NAME}")
    assert read_decisions(real) == foretold.decisions
    history = load_history("stopped", store)
    assert len(history) == sum(trained.epochs) < sum(run.trained for run in runs)


def test_a_run_that_was_not_validated_at_a_rung_cannot_be_compared_there(toy, cli):
    study = find_runs("two", toy.store)
    histories = {
        run.run_id: {"val/accuracy": {2: 0.5, 4: 0.6}, "epoch_seconds": dict.fromkeys(range(1, 5), 1.0)}
        for run in study.runs
    }
    assert len(whole_runs(study, histories, Settings(grace_epochs=2))[0]) == 2
    found, left_out = whole_runs(study, histories, Settings(grace_epochs=1))
    assert not found
    assert left_out == {"not validated at a rung (trainer.validate_every)": 2}
