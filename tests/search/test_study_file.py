"""The study as Optuna's journal file: what the dashboard shows is what the trials are, also after loss and damage."""

import pytest

from cifar_sweeps.search.space import Dimension, Space
from cifar_sweeps.search.trials import Trial

optuna = pytest.importorskip("optuna")

from cifar_sweeps.search.optuna_search.study_file import NAME, StudyFile  # noqa: E402

SPACE = Space(
    (Dimension("optimizer", choices=("adam", "sgd")), Dimension("momentum", low=0.0, high=0.95)),
    {"momentum": lambda values: values["optimizer"] == "sgd"},
)
ADAM, SGD = {"optimizer": "adam"}, {"optimizer": "sgd", "momentum": "0.9"}
TRIALS = [
    Trial(0, ADAM, "finished", (0.5,)),
    Trial(1, SGD, "failed"),
    Trial(2, SGD, "paused", (), {4: 0.3}),
    Trial(3, SGD, "finished", (0.7,)),
    Trial(4, ADAM),
]


def open_file(folder, trials=(), space=SPACE, objectives=("val/accuracy",), rises=(True,)):
    return StudyFile(folder, "a sweep", space, objectives, rises, trials)


def study_of(folder):
    """The study as another program reads it."""
    backend = optuna.storages.journal.JournalFileBackend(str(folder / NAME))
    return optuna.load_study(study_name="a sweep", storage=optuna.storages.JournalStorage(backend))


def contents(folder):
    return [
        (each.user_attrs["job"], each.state.name, each.params, each.values, each.intermediate_values)
        for each in study_of(folder).trials
    ]


def test_trials_are_written_as_they_begin_and_end(tmp_path):
    file = open_file(tmp_path)
    for each in TRIALS:
        file.update(Trial(each.number, each.values))
    assert [row[1] for row in contents(tmp_path)] == ["RUNNING"] * 5
    for each in TRIALS:
        file.update(each)
    file.close(TRIALS)
    assert not file.was_rewritten
    assert contents(tmp_path) == [
        (0, "COMPLETE", {"optimizer": "adam"}, [0.5], {}),
        (1, "FAIL", {"optimizer": "sgd", "momentum": 0.9}, None, {}),
        (2, "PRUNED", {"optimizer": "sgd", "momentum": 0.9}, [0.3], {4: 0.3}),
        (3, "COMPLETE", {"optimizer": "sgd", "momentum": 0.9}, [0.7], {}),
        (4, "RUNNING", {"optimizer": "adam"}, None, {}),
    ]
    assert study_of(tmp_path).best_value == 0.7
    assert study_of(tmp_path).metric_names == ["val/accuracy"]


def test_a_file_that_agrees_is_continued(tmp_path):
    file = open_file(tmp_path)
    for each in TRIALS:
        file.update(Trial(each.number, each.values))
        file.update(each)
    file.close(TRIALS)
    before = (tmp_path / NAME).read_bytes()
    again = open_file(tmp_path, TRIALS)
    assert not again.was_rewritten
    assert (tmp_path / NAME).read_bytes()[: len(before)] == before
    again.update(Trial(4, ADAM, "finished", (0.6,)))
    assert contents(tmp_path)[4][1:4] == ("COMPLETE", {"optimizer": "adam"}, [0.6])


def test_what_happened_since_the_file_was_written_is_added(tmp_path):
    open_file(tmp_path, TRIALS[:4]).update(TRIALS[4])
    ended = [*TRIALS[:4], Trial(4, ADAM, "finished", (0.9,))]
    assert not open_file(tmp_path, ended).was_rewritten
    assert study_of(tmp_path).best_value == 0.9


def damage(how, path):
    content = path.read_bytes()
    if how == "lost":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "torn":
        path.write_bytes(content[: len(content) * 2 // 3])
    elif how == "of another program":
        path.write_bytes(b"\x00\xff not a journal\n" * 3)
    elif how == "of another study":
        path.unlink()
        backend = optuna.storages.journal.JournalFileBackend(str(path))
        optuna.create_study(study_name="another", storage=optuna.storages.JournalStorage(backend))
    elif how == "a trial too many":
        study = study_of(path.parent)
        study.tell(study.ask(), 0.99)


@pytest.mark.parametrize("how", ["lost", "empty", "torn", "of another program", "of another study", "a trial too many"])
def test_a_file_that_is_lost_or_damaged_is_written_anew_and_equal(tmp_path, how):
    (tmp_path / "whole").mkdir()
    open_file(tmp_path / "whole", TRIALS)
    open_file(tmp_path, TRIALS)
    damage(how, tmp_path / NAME)
    assert open_file(tmp_path, TRIALS).was_rewritten
    assert contents(tmp_path) == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "trial",
    [Trial(3, SGD, "finished", (0.8,)), Trial(3, ADAM, "finished", (0.7,)), Trial(3, SGD, "failed")],
    ids=["another value", "other keys", "another end"],
)
def test_a_file_that_disagrees_with_the_runs_is_written_anew(tmp_path, trial):
    open_file(tmp_path, TRIALS)
    true = [*TRIALS[:3], trial, TRIALS[4]]
    assert open_file(tmp_path, true).was_rewritten
    assert contents(tmp_path)[3][2]["optimizer"] == trial.values["optimizer"]
    assert not open_file(tmp_path, true).was_rewritten


def test_a_file_of_another_space_is_written_anew(tmp_path):
    """Optuna allows a key one set of choices in all of a study's trials."""
    open_file(tmp_path, TRIALS)
    wider = Space((Dimension("optimizer", choices=("adam", "sgd", "rmsprop")), SPACE.dimensions[1]), SPACE.exists)
    file = open_file(tmp_path, TRIALS, wider)
    assert file.was_rewritten
    file.update(Trial(5, {"optimizer": "rmsprop"}))
    assert contents(tmp_path)[5][2] == {"optimizer": "rmsprop"}


def test_a_file_of_other_objectives_is_written_anew(tmp_path):
    begun = [Trial(0, ADAM)]
    open_file(tmp_path, begun)
    assert open_file(tmp_path, begun, objectives=("val/loss",), rises=(False,)).was_rewritten
    assert study_of(tmp_path).direction.name == "MINIMIZE"
    assert study_of(tmp_path).metric_names == ["val/loss"]


def test_several_objectives_have_their_names_and_a_front(tmp_path):
    trials = [
        Trial(0, ADAM, "finished", (0.5, 100.0)),
        Trial(1, SGD, "finished", (0.7, 300.0)),
        Trial(2, SGD, "finished", (0.6, 400.0)),
    ]
    open_file(tmp_path, trials, objectives=("val/accuracy", "model/parameters"), rises=(True, False))
    study = study_of(tmp_path)
    assert study.metric_names == ["val/accuracy", "model/parameters"]
    assert sorted(each.user_attrs["job"] for each in study.best_trials) == [0, 1]


def test_a_trial_of_another_space_is_not_in_the_file(tmp_path):
    file = open_file(tmp_path, [Trial(0, {"optimizer": "adam", "old": "1"}, "finished", (0.5,)), TRIALS[3]])
    file.update(Trial(0, {"optimizer": "adam", "old": "1"}, "finished", (0.5,)))
    assert [row[0] for row in contents(tmp_path)] == [3]


def test_a_trial_that_could_not_be_trained_stays_in_the_file_though_it_has_no_run(tmp_path):
    file = open_file(tmp_path, TRIALS[:2])
    file.update(Trial(2, SGD))
    file.update(Trial(2, SGD, "failed"))
    again = open_file(tmp_path, TRIALS[:2])
    assert not again.was_rewritten
    again.update(Trial(2, SGD))
    again.update(Trial(2, SGD, "failed"))
    again.update(TRIALS[3])
    assert [row[:2] for row in contents(tmp_path)] == [(0, "COMPLETE"), (1, "FAIL"), (2, "FAIL"), (3, "COMPLETE")]


def test_a_lock_of_a_killed_process_does_not_hold_up_the_next(tmp_path):
    open_file(tmp_path, TRIALS)
    (tmp_path / f"{NAME}.lock").write_text("")
    open_file(tmp_path, TRIALS)
    assert len(contents(tmp_path)) == 5
