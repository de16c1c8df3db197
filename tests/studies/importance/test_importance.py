"""What mattered in made runs: which runs count, keys as factors, notes, tables and records."""

import dataclasses
import datetime
import itertools

import pytest
from made_runs import NOW, make_run

from cifar_sweeps.analysis.importance import ped_anova
from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.studies.importance.choice import find_metric, is_lower_better, of_one_design, usable_runs
from cifar_sweeps.studies.importance.factors import find_factors
from cifar_sweeps.studies.importance.importance import find_importance
from cifar_sweeps.studies.importance.tables import as_frame, as_json, counts, importance_table
from cifar_sweeps.studies.study import Study, SweepRun

METRIC = "best/val_accuracy"


def run(seed=0, value=0.5, state="finished", sweep="s", tags=(), when=0, metrics=(), **swept):
    """Return a run of a sweep. swept: with __ for a dot; None: without this key."""
    keys = {key.replace("__", "."): str(text) for key, text in swept.items() if text is not None}
    name = " ".join(f"{key}={text}" for key, text in keys.items())
    made = make_run(name, seed, keys, {"sweep_id": sweep, **dict(tags)}, state)
    measured = {} if value is None else {METRIC: value}
    return dataclasses.replace(
        made, metrics={**measured, **dict(metrics)}, started=NOW + datetime.timedelta(minutes=when)
    )


def study(runs, *commands):
    sweeps = [SweepRun(f"id {i}", "s", "", NOW, None, command) for i, command in enumerate(commands)]
    return Study("mine", tuple(runs), tuple(sweeps))


def a_grid(seeds=(0, 1, 2), **more):
    """Model by learning rate with the cell means of the hand-made example, in hundredths."""
    means = {("a", "0.1"): 10, ("a", "0.2"): 20, ("a", "0.3"): 30, ("b", "0.1"): 20, ("b", "0.2"): 30, ("b", "0.3"): 70}
    return [
        run(seed, (mean + seed - 1) / 100, model=model, optimizer__lr=lr, **more)
        for (model, lr), mean in means.items()
        for seed in seeds
    ]


def test_the_parts_of_a_grid_are_omega_squared_with_the_largest_first_and_the_seeds_last():
    found = find_importance(study(a_grid()), METRIC)
    assert found.measure == "omega squared"
    assert [(part.name, part.is_rest) for part in found.parts] == [
        ("optimizer.lr", False), ("model", False), ("model × optimizer.lr", False), ("seeds", True),
    ]  # fmt: skip
    assert [part.value for part in found.parts] == pytest.approx([3898 / 6613, 1799 / 6613, 898 / 6613, 18 / 6613])
    assert [part.freedom for part in found.parts] == [2, 1, 2, 12]
    assert all(part.low <= part.value <= part.high for part in found.parts)
    assert (found.runs, found.arms, found.seeds, found.notes, found.guessing) == (18, 6, (0, 1, 2), (), 0)
    assert counts(found) == "mine: 18 runs of 6 arms, 3 seeds (0, 1, 2)."
    assert (found.cells.row_key, found.cells.column_key) == ("model", "optimizer.lr")
    assert found.cells.means.tolist() == [pytest.approx([0.1, 0.2, 0.3]), pytest.approx([0.2, 0.3, 0.7])]
    assert found.cells.runs.tolist() == [[3, 3, 3], [3, 3, 3]]


def test_the_table_the_frame_and_the_json_say_the_same():
    found = find_importance(study(a_grid()), METRIC)
    table = importance_table(found)
    assert [column.title for column in table.columns] == ["keys", "share", "95% interval", "df", "F", "p"]
    assert table.rows[0][:2] == ("optimizer.lr", "58.9%")
    assert table.rows[0][3:] == ("2", "1,950.00", "< 0.0001")
    assert table.rows[-1][3:] == ("12", "–", "–")
    assert "omega squared" in table.note
    assert "a × b" in table.note
    frame = as_frame(found)
    assert frame["keys"].tolist() == ["optimizer.lr", "model", "model optimizer.lr", ""]
    assert frame["sum_of_squares"].tolist() == pytest.approx([0.39, 0.18, 0.09, 0.0012])
    whole = as_json(found)
    assert whole["parts"][0]["value"] == pytest.approx(3898 / 6613)
    assert whole["means"]["rows"] == {"key": "model", "values": ["a", "b"]}
    assert whole["means"]["runs"] == [[3, 3, 3], [3, 3, 3]]


def test_one_seed_has_shares_without_an_interval_and_says_so():
    found = find_importance(study(a_grid(seeds=(1,))), METRIC)
    assert found.measure == "eta squared"
    assert {part.name: part.value for part in found.parts} == pytest.approx(
        {"optimizer.lr": 39 / 66, "model": 18 / 66, "seeds and other interactions": 9 / 66}
    )
    assert found.notes[0].startswith("One seed: no interval")
    table = importance_table(found)
    assert [column.title for column in table.columns] == ["keys", "share", "df", "F"]
    assert "eta squared" in table.note


def test_runs_that_failed_were_stopped_or_repeated_are_left_out_and_counted_in_one_line():
    runs = [
        *a_grid(),
        run(3, 0.9, "failed", model="a", optimizer__lr="0.1"),
        run(4, None, "running", model="a", optimizer__lr="0.1"),
        run(5, 0.9, model="a", optimizer__lr="0.1", tags={"early_stopped": "4"}),
        run(9, None, model="b", optimizer__lr="0.3"),
    ]
    runs.insert(0, dataclasses.replace(runs[0], metrics={METRIC: 0.99}))
    found = find_importance(study(runs), METRIC)
    assert found.parts == find_importance(study(a_grid()), METRIC).parts
    (line,) = found.notes
    assert line.startswith(
        f"Left out of 23 runs: 1 failed, 1 running, 1 stopped early, 1 repeat of an arm and seed, 1 without {METRIC}."
    )
    assert "among the arms that it kept" in line


def test_an_incomplete_grid_says_that_it_is_one():
    runs = [each for each in a_grid() if each.swept != {"model": "b", "optimizer.lr": "0.2"}][:-1]
    found = find_importance(study(runs), METRIC)
    (line,) = found.notes
    assert line.startswith("Not a balanced grid: 14 runs in 5 of its 6 cells. Sums of squares are of type II")
    assert found.cells.runs.tolist() == [[3, 3, 3], [3, 0, 2]]


def test_too_little_of_a_grid_is_refused_and_names_what_stopped_it():
    sparse = [run(seed, 0.1 * (i + seed), a=i, b=i // 2, c=(i * i) % 3) for i in range(4) for seed in (0, 1)]
    with pytest.raises(DataError, match=r"4 of the 16 settings of the grid .* too few to judge as a search"):
        find_importance(study(sparse), METRIC)
    stopped = [
        dataclasses.replace(
            sparse[0], swept={"a": "0", "b": "9", "c": "9"}, tags={**sparse[0].tags, "cifar_sweeps.early_stopped": "4"}
        )
    ]
    with pytest.raises(DataError, match=r"half are needed\), as 1 of all runs were stopped early; --epoch 4 judges"):
        find_importance(study([*sparse, *stopped]), METRIC)


def test_a_level_that_no_run_reached_the_end_with_counts_to_the_grid():
    lost = [run(0, None, "failed", model=model, optimizer__lr="0.4") for model in "ab"]
    found = find_importance(study([*a_grid(), *lost]), METRIC)
    assert found.notes[0] == "Left out of 20 runs: 2 failed."
    assert found.notes[1].startswith("Not a balanced grid: 18 runs in 6 of its 8 cells.")
    alone = [run(seed, 0.1 * seed, model="a", size=1) for seed in (0, 1)]
    alone += [run(seed, 0.1 + 0.1 * seed, model="a", size=2) for seed in (0, 1)]
    found = find_importance(study([*alone, run(0, None, "failed", model="b", size=1)]), METRIC)
    assert [part.name for part in found.parts] == ["size", "seeds"]
    assert "model has one value in the runs that are left, and cannot be judged." in found.notes


def test_keys_that_change_together_are_judged_as_one():
    pairs = [("a", "0.1"), ("b", "0.2"), ("c", "0.3")]
    runs = [
        run(seed, 0.1 * i + 0.3 * (size == "s") + 0.01 * seed, model=model, lr=lr, size=size)
        for i, (model, lr) in enumerate(pairs)
        for size in "sl"
        for seed in (0, 1)
    ]
    found = find_importance(study(runs), METRIC)
    assert {part.name for part in found.parts} == {"model + lr", "size", "model + lr × size", "seeds"}
    assert found.notes == ("model and lr always change together, and are judged as one.",)
    assert found.cells.rows == ("s", "l")
    assert found.cells.columns == ("a / 0.1", "b / 0.2", "c / 0.3")


def test_a_key_within_another_is_judged_within_it():
    settings = [("sgd", "0", 2), ("sgd", "0.9", 6), ("adam", None, 10)]
    runs = [
        run(seed, (mean + (2 * seed - 1)) / 100, optimizer=name, momentum=momentum)
        for name, momentum, mean in settings
        for seed in (0, 1)
    ]
    found = find_importance(study(runs), METRIC)
    assert {part.name: part.sum_of_squares for part in found.parts} == pytest.approx(
        {"optimizer": 48e-4, "momentum (within optimizer)": 16e-4, "seeds": 6e-4}
    )
    assert found.notes == ("momentum has values only with some of optimizer: judged within it.",)


def test_a_key_that_some_runs_lack_without_a_reason_is_refused():
    runs = [run(seed, 0.1 * i, a=i, b=None if i == seed else i) for i in range(2) for seed in (0, 1)]
    with pytest.raises(ConfigError, match="b has no value in 2 of 4 runs, and no other key decides which"):
        find_importance(study(runs), METRIC)


def test_numbers_spelled_differently_are_one_level():
    runs = [run(0, 0.1, lr="1e-3"), run(1, 0.2, lr="0.001"), run(0, 0.5, lr="0.01"), run(1, 0.6, lr="1e-2")]
    assert find_factors(study(runs), runs).levels == {"lr": ["1e-3", "1e-3", "0.01", "0.01"]}


@pytest.mark.parametrize("command", ["", "cifar-train -m hydra/sweeper=optuna 'lr=interval(0,1)'"])
def test_drawn_values_are_judged_as_a_search(monkeypatch, command):
    pytest.importorskip("optuna")
    monkeypatch.setattr(ped_anova, "_RESAMPLES", 4)
    runs = [
        run(seed, 0.9 - abs(i * 7 % 20 - 9) / 20 + seed / 1000, lr=0.001 * (1 + i * 7 % 20), decay=f"0.{i + 10}")
        for i in range(20)
        for seed in (0, 1)
    ]
    found = find_importance(study(runs, command), METRIC)
    assert (found.measure, found.runs, found.arms, found.best) == ("PED-ANOVA", 40, 20, 0.25)
    assert {part.name for part in found.parts} == {"lr", "decay"}
    assert found.parts[0].name == "lr"
    assert found.cells is None
    table = importance_table(found)
    assert [column.title for column in table.columns] == ["key", "importance", "95% interval"]
    assert "best 25% of the arms" in table.note
    assert "no share of the variance" in table.note


def test_a_grid_of_many_numbers_and_a_zip_are_no_searches():
    rates = [run(seed, 0.1 * i + 0.01 * seed, lr=i + 1) for i in range(12) for seed in (0, 1)]
    assert find_importance(study(rates), METRIC).measure == "omega squared"
    zipped = [run(seed, 0.1 * i + 0.01 * seed, lr=i + 1, wd=i + 1) for i in range(12) for seed in (0, 1)]
    found = find_importance(study(zipped, "cifar-train -m 'pair=zip(lr=[0.1],wd=[1])'"), METRIC)
    assert [part.name for part in found.parts] == ["lr + wd", "seeds"]


def test_runs_that_never_learned_are_counted_and_the_shares_without_them_stand_beside():
    guessing = {"classes": "10", "train_images": "50000"}
    runs = [
        dataclasses.replace(
            each,
            metrics={**each.metrics, "train/accuracy": 0.5},
            tags={**each.tags, "cifar_sweeps.classes": "10", "cifar_sweeps.train_images": "50000"},
        )
        for each in a_grid()
    ]
    lost = run(0, 0.1, model="b", optimizer__lr="0.3", metrics={"train/accuracy": 0.1}, tags=guessing)
    runs = [lost if (each.swept, each.seed) == (lost.swept, 0) else each for each in runs]
    found = find_importance(study(runs), METRIC)
    assert found.guessing == 1
    assert any(note.startswith("NEVER LEARNED: 1 of 18 runs") for note in found.notes)
    without = find_importance(study([each for each in runs if each is not lost]), METRIC)
    assert {part.name: part.learned for part in found.parts} == {part.name: part.value for part in without.parts}
    assert "learned" in [column.title for column in importance_table(found).columns]


def test_runs_of_equal_swept_values_that_were_trained_otherwise_are_no_seeds():
    older = [dataclasses.replace(each, arm=f"{each.arm} [code 1]") for each in a_grid() if each.seed == 0]
    moved = [dataclasses.replace(each, metrics={METRIC: 0.9}) for each in older]
    found = find_importance(study([*moved, *a_grid()]), METRIC)
    assert found.runs == 18
    assert found.notes == ("6 older runs are left out: of the same swept values, but trained otherwise.",)


def test_a_study_s_newest_sweep_is_judged_with_those_of_its_design():
    runs = [
        *[run(seed, 0.1, sweep="old", when=0, depth=seed) for seed in (0, 1)],
        *[run(seed, 0.1 * i, sweep="first", when=1, model=i) for i in (0, 1) for seed in (0, 1)],
        *[run(2, 0.1 * i, sweep="more seeds", when=2, model=i) for i in (0, 1)],
        run(0, 0.5, sweep="", when=3, model="x"),
    ]
    chosen, notes = of_one_design(study(runs))
    assert {each.tag("sweep_id") for each in chosen.runs} == {"first", "more seeds"}
    assert notes == [
        "Left out beside the newest sweep: 1 single run; old, of other keys or another setting (--sweep names them)."
    ]
    alone = study([run(0, 0.5, sweep="", model="x"), run(0, 0.6, sweep="", model="y")])
    assert of_one_design(alone) == (alone, [])


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([run(seed, 0.1 * seed) for seed in (0, 1)], "no key but the seed varies"),
        ([run(seed, 0.1, model="a") for seed in (0, 1)], "model: one value each"),
        ([run(0, 0.1, "failed", model="a")], "no run was trained to its end with best/val_accuracy; Left out of 1 run"),
    ],
    ids=["no keys", "one value", "no run"],
)
def test_nothing_to_judge_is_one_clear_error(runs, message):
    with pytest.raises(ConfigError, match=message):
        find_importance(study(runs), METRIC)


def test_a_metric_is_found_by_its_heading_and_an_unknown_one_is_refused():
    runs = study([run(0, 0.1, metrics={"test/accuracy": 0.2, "val/loss": 1.0})])
    assert find_metric(runs, "test") == "test/accuracy"
    assert find_metric(runs, "best val") == METRIC
    with pytest.raises(ConfigError, match="the nearest: test/accuracy"):
        find_metric(runs, "test/accurcy")
    assert usable_runs(runs, "val/loss") == (list(runs.runs), [])


@pytest.mark.parametrize(
    ("metric", "lower"),
    [("best/val_accuracy", False), ("val/loss", True), ("gap/accuracy", True), ("test/recall/cat", False),
     ("seconds_an_epoch", True), ("images_per_second", False), ("test/f1/cat", False)],
)  # fmt: skip
def test_which_way_is_better(metric, lower):
    assert is_lower_better(metric) == lower


def test_a_hand_made_search_space_of_three_keys_has_its_higher_interactions_pooled():
    runs = [
        run(seed, 0.1 * (a + b * c) + 0.01 * seed * (1 + a), a=a, b=b, c=c)
        for a, b, c in itertools.product((0, 1), repeat=3)
        for seed in (0, 1)
    ]
    names = [part.name for part in find_importance(study(runs), METRIC).parts]
    assert "three or more keys together" in names
    assert len(names) == 8


def test_the_means_shown_are_of_keys_that_matter_together_though_one_has_nothing_of_its_own():
    """The best rate differs by optimizer, whose own means are the same."""
    best = {"adam": "0.001", "sgd": "0.1"}

    def value(optimizer, lr, decay, seed):
        return (0.5 if best[optimizer] == lr else 0.2) + 0.02 * (decay == "on") + 0.001 * seed + 0.05 * (lr == "0.1")

    runs = [
        run(seed, value(optimizer, lr, decay, seed), optimizer=optimizer, optimizer__lr=lr, decay=decay)
        for optimizer, lr, decay, seed in itertools.product(best, ("0.001", "0.1"), ("off", "on"), (0, 1))
    ]
    found = find_importance(study(runs), METRIC)
    own = {part.keys: part.value for part in found.parts if len(part.keys) == 1}
    assert own[("optimizer",)] < own[("decay",)]
    assert {found.cells.row_key, found.cells.column_key} == {"optimizer", "optimizer.lr"}
