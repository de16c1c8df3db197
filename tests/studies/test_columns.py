"""Runs selected, sorted, averaged and shown by any column; one heading for each number in every table."""

import io
import json

import pandas as pd
import pytest
from study_toys import ToyStore
from typer.testing import CliRunner

from cifar_sweeps.cli.main import app
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.studies import columns
from cifar_sweeps.studies.reports.report_tables import ranking_table
from cifar_sweeps.sweeps.terminal.summary import results_table
from cifar_sweeps.tracking.recorded_run import RecordedRun

TABLE = pd.DataFrame(
    {
        "arm": ["a", "b", "c", "d"],
        "seed": pd.array([0, 1, None, 3], dtype="Int64"),
        "optimizer": ["sgd", "adam", "sgd", None],
        "optimizer.lr": ["0.1", "1e-3", "0.01", "0.02"],
        "optimizer.nesterov": ["True", "False", "None", "False"],
        "val/accuracy": [0.5, 0.7, float("nan"), 0.6],
        "val/loss": [1.0, 0.5, 2.0, 0.25],
    }
)


@pytest.mark.parametrize(
    ("conditions", "arms"),
    [
        (["optimizer=sgd"], "ac"),
        (["optimizer==SGD"], "ac"),
        (["optimizer!=sgd"], "bd"),
        (["optimizer=null"], "d"),
        (["optimizer!=null"], "abc"),
        (["optimizer.lr=0.001"], "b"),
        (["lr<0.02"], "bc"),
        (["lr<=2e-2", "optimizer=sgd"], "c"),
        (["lr <= 0.02 and optimizer = sgd"], "c"),
        (["val>0.55"], "bd"),
        (["val >= 0.6"], "bd"),
        (["val/loss<1 and val/accuracy<0.65"], "d"),
        (["seed=3"], "d"),
        (["seed>0"], "bd"),
        (["nesterov=true"], "a"),
        (["arm='a'"], "a"),
    ],
    ids=str,
)
def test_conditions_select_rows(conditions, arms):
    assert "".join(columns.where(TABLE, conditions)[0]["arm"]) == arms


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("optimizr=sgd", "optimizr: no such column; the nearest: optimizer"),
        ("accuracy>1", "no row fulfils it; val/accuracy is 0.5, 0.7, null, 0.6 here"),
        ("optimizer=lion", "no row fulfils it; optimizer is sgd, adam, null here"),
        ("val>high", "'high' is not a number, which > needs"),
        ("sgd", "is no condition; write for example"),
        ("=sgd", "is no condition"),
    ],
)
def test_a_condition_that_cannot_be_met_says_what_there_is(condition, message):
    with pytest.raises(ConfigError) as caught:
        columns.where(TABLE, [condition])
    assert message in str(caught.value)


@pytest.mark.parametrize("typed", ["x, y (z)", "'x, y (z)'", '"x, y (z)"'])
def test_a_value_in_quotes_is_found_as_it_is_shown_and_without_its_quotes(typed):
    table = pd.DataFrame({"data.root": ["'x, y (z)'", '"it\'s"', "plain"]})
    assert [*columns.where(table, [f"root={typed}"])[0]["data.root"]] == ["'x, y (z)'"]
    assert [*columns.where(table, ["root=it's"])[0]["data.root"]] == ['"it\'s"']


def test_paused_rows_are_found_by_that_word():
    table = pd.DataFrame({"state": ["finished", "paused at epoch 1 of 4", "paused at epoch 2 of 4"]})
    assert len(columns.where(table, ["state=paused"])[0]) == 2
    assert len(columns.where(table, ["state=paused at epoch 1 of 4"])[0]) == 1
    assert [*columns.where(table, ["state!=paused"])[0]["state"]] == ["finished"]


def test_rows_without_the_value_are_told():
    assert columns.where(TABLE, ["optimizer=sgd"])[1] == [
        "--where 'optimizer=sgd' leaves out 1 rows for which no optimizer is recorded."
    ]
    assert columns.where(TABLE, ["optimizer!=sgd"])[1] == []


@pytest.mark.parametrize(
    ("by", "arms"),
    [
        ("val", "bdac"),
        ("-val", "bdac"),
        ("+val/accuracy", "adbc"),
        ("val loss", "dbac"),
        ("-val loss", "cabd"),
        ("lr", "bcda"),
        ("-optimizer.lr", "adcb"),
        ("optimizer", "bacd"),
        ("-seed", "dbac"),
    ],
)
def test_accuracies_are_sorted_from_the_best_others_from_the_lowest(by, arms):
    assert "".join(columns.sort(TABLE, by)["arm"]) == arms


def test_a_column_that_could_be_two_is_refused_with_both():
    assert columns.find_column("accuracy", ["val/accuracy"]) == "val/accuracy"
    with pytest.raises(ConfigError, match="loss: could be val/loss, test/loss; write one of them"):
        columns.find_column("loss", ["val/loss", "test/loss"])


def test_every_table_has_the_same_heading_for_the_same_number():
    known = {quantity.heading for quantity in columns.QUANTITIES}
    run = RecordedRun("a", "seed=0", "FINISHED", {}, {})
    for table in (ranking_table([]), results_table([run])):
        titles = [getattr(column, "title", None) or str(column.header) for column in table.columns]
        assert set(titles) <= known | {"seed"}
    assert len(known) == len({quantity.key for quantity in columns.QUANTITIES}) == len(columns.QUANTITIES)


def test_a_key_that_is_in_no_table_is_headed_by_itself_and_is_a_number_only_if_all_values_are():
    assert columns.quantity("optimizer.lr", ["0.1", None, 0.01]).text("0.0010") == "0.001"
    assert columns.quantity("name", ["seed=0", "1"]).text("1") == "1"
    assert columns.quantity("name", ["seed=0", "1"]).spec == ""
    assert columns.quantity("val/accuracy") == columns.quantity("val")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Two sweeps of one study: two optimizers, two seeds, and a failed run."""
    toy = ToyStore(tmp_path_factory.mktemp("store"))
    parent = toy.sweep("mine", "one")
    for optimizer, val in (("sgd", 0.5), ("adam", 0.7)):
        for seed in (0, 1):
            swept = {"optimizer": optimizer, "model": "a_network_with_a_long_name"}
            params = {"optimizer.lr": "0.1" if optimizer == "sgd" else "0.001", "seed": str(seed)}
            toy.run(
                "mine",
                val + seed / 100,
                swept=swept,
                seed=seed,
                parent=parent,
                tags={"sweep_id": "one"},
                params=params,
                state="FAILED" if (optimizer, seed) == ("sgd", 1) else "FINISHED",
            )
    return toy


@pytest.fixture
def ask(toy, monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(toy.store.outputs))

    def run(*arguments, width=80):
        done = CliRunner().invoke(app, ["results", "mine", *arguments], env={"COLUMNS": str(width)})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    return run


def test_rows_and_columns_of_any_key_as_csv_and_json(ask):
    chosen = ("--where", "lr<1", "--columns", "arm,seed,optimizer.lr,val", "--sort", "-lr")
    table = pd.read_csv(io.StringIO(ask(*chosen, "--csv")))
    assert list(table.columns) == ["arm", "seed", "optimizer.lr", "val/accuracy"]
    assert list(table["optimizer.lr"]) == [0.1, 0.1, 0.001, 0.001]
    assert json.loads(ask(*chosen, "--json"))[0]["optimizer.lr"] == "0.1"
    epochs = pd.read_csv(io.StringIO(ask("--epochs", "--csv", "--where", "optimizer=adam and epoch>1")))
    assert set(epochs["epoch"]) == {2, 3}
    assert len(epochs) == 4


def test_means_over_seeds_count_finished_runs_and_say_what_is_left_out(ask):
    text = ask("--arms", width=120)
    assert "0.7050 ± 0.0635" in text
    assert "1 run is in no mean" in text
    (adam, sgd) = json.loads(ask("--arms", "--json"))
    assert (adam["seeds"], sgd["seeds"], sgd["val/accuracy"], sgd["val/accuracy ±"]) == (2, 1, 0.5, None)
    by_epoch = json.loads(ask("--arms", "--epochs", "--json", "--columns", "val"))
    assert [(row["epoch"], row["seeds"]) for row in by_epoch if "adam" in row["arm"]] == [(1, 2), (2, 2), (3, 2)]


@pytest.mark.parametrize("arguments", [(), ("--epochs",), ("--arms",), ("--arms", "--epochs")], ids=str)
@pytest.mark.parametrize("width", [80, 120])
def test_no_word_breaks_and_what_is_not_shown_is_named(ask, arguments, width):
    lines = ask(*arguments, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("model=a_network_with_a_long_name" in line for line in lines) >= 2
    assert any("Not shown:" in line for line in lines) == (width == 80 or arguments == ("--arms",))


@pytest.mark.parametrize("key", ["test", "gap", "parameters", "optimizer.lr"])
def test_the_column_that_rows_are_sorted_by_is_shown_at_any_width(ask, key):
    heading = next(line for line in ask("--sort", key).splitlines() if line.strip())
    assert f" {key}" in heading


def test_all_columns_are_shown_as_a_block_of_lines_a_run(ask):
    lines = ask("--columns", "all").splitlines()
    assert lines.count("optimizer.lr: 0.001") == 2
    assert sum(line.startswith("val: ") for line in lines) == 4
