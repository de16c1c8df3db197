"""Which previous launch a sweep resumes, and which of its jobs that launch started."""

from pathlib import Path

import pytest

from cifar_sweeps.sweeps.manifest import SweepManifest, swept_keys
from cifar_sweeps.sweeps.previous.launches import JobNumbering, PreviousJob, resumable_sweeps, sweep_hash
from cifar_sweeps.tracking.journal import Journal
from cifar_sweeps.tracking.recorded_run import RecordedRun


def previous_job(number, identity):
    return PreviousJob(number, Path(f"sweep/{number}"), identity, RecordedRun("", "run", "KILLED", {}, {}))


def test_jobs_of_a_previous_launch_keep_their_numbers_and_new_jobs_get_the_next_free_ones():
    second, fourth = previous_job(1, "b"), previous_job(3, "d")
    numbering = JobNumbering([second, fourth])
    assigned = [numbering.assign(identity) for identity in ("new", "d", "newer", "b", "newest", "last")]
    assert assigned == [(0, None), (3, fourth), (2, None), (1, second), (4, None), (5, None)]


def test_two_jobs_with_the_same_training_get_different_previous_jobs():
    first, second = previous_job(0, "same"), previous_job(1, "same")
    numbering = JobNumbering([first, second])
    assert [numbering.assign("same") for _ in range(3)] == [(0, first), (1, second), (2, None)]


def hash_of(*overrides, study="toys", store="sqlite:///a.db", swept=("seed",)):
    return sweep_hash(study, store, overrides, swept)


FIRST = hash_of("seed=0", "optimizer.lr=0.1", "trainer.epochs=3")


@pytest.mark.parametrize(
    "again",
    [
        hash_of("seed=1", "optimizer.lr=0.1", "trainer.epochs=3"),
        hash_of("trainer.epochs=3", "+seed=0", "optimizer.lr=0.1"),
        hash_of("seed=0", "optimizer.lr=0.1", "trainer.epochs=3", "hydra.launcher.n_jobs=4", "sweep.retries=3"),
        hash_of("seed=0", "optimizer.lr=0.1", "trainer.epochs=3", "tracking=none", "hydra/launcher=cifar_sweeps"),
        hash_of("seed=0", "optimizer.lr=0.1", "trainer.epochs=3", "trainer.resume=never", "outputs=/elsewhere"),
    ],
    ids=["more values", "another order", "how it is launched", "how it is recorded", "how it is resumed"],
)
def test_launches_with_the_same_fixed_overrides_belong_to_the_same_sweep(again):
    assert again == FIRST


@pytest.mark.parametrize(
    "other",
    [
        hash_of("seed=0", "optimizer.lr=0.2", "trainer.epochs=3"),
        hash_of("seed=0", "optimizer.lr=0.1"),
        hash_of("seed=0", "optimizer.lr=0.1", "trainer.epochs=3", study="others"),
        hash_of("seed=0", "optimizer.lr=0.1", "trainer.epochs=3", store="sqlite:///b.db"),
        hash_of("seed=0", "optimizer.lr=0.1", "trainer.epochs=3", "trainer.resume_what=x"),
        hash_of("seed=0", "optimizer.lr=0.1", "trainer.epochs=3", "sweeper_of_my_own=x"),
    ],
    ids=["value", "missing", "study", "store", "a longer key", "a longer group"],
)
def test_launches_with_other_fixed_overrides_are_other_sweeps(other):
    assert other != FIRST


def test_launches_that_vary_other_keys_are_other_sweeps():
    assert hash_of("seed=0", "optimizer.lr=0.1", swept=("seed", "optimizer.lr")) != hash_of("seed=0", swept=("seed",))


PAIR = "pair=zip(model=[a,b],optimizer.lr=[0.1,0.2])"
PAIRED = ("model", "optimizer.lr", "seed")


@pytest.mark.parametrize(
    "again",
    [
        ("pair=zip(model=[a,b,c],optimizer.lr=[0.1,0.2,0.3])", "seed=0,1", "trainer.epochs=3"),
        ("trainer.epochs=3", "seed=0,1", PAIR.replace("pair", "other")),
        ("model=a,b", "optimizer.lr=0.1", "seed=0", "trainer.epochs=3"),
        (PAIR, "seed=0,1", 'sweep.exclude=["seed=1"]', "trainer.epochs=3"),
    ],
    ids=["more rows", "another name", "the product of it", "fewer jobs"],
)
def test_a_zip_is_its_keys_and_neither_its_name_nor_its_values(again):
    first = hash_of(PAIR, "seed=0,1", "trainer.epochs=3", swept=PAIRED)
    assert hash_of(*again, swept=PAIRED) == first
    assert hash_of(*again, "model.init=torch", swept=PAIRED) != first


@pytest.mark.parametrize(
    ("overrides", "params", "keys"),
    [
        ([PAIR, "seed=0,1", "trainer.epochs=3"], {}, ["model", "optimizer.lr", "seed"]),
        (["seed=0"], {"pair": "zip(model=[a,b],+x=[1,2])", "seed": "0,1"}, ["model", "x", "seed"]),
        ([PAIR], {"pair": "zip(model=[a,b],seed=[1,2])", "x": 1}, ["model", "seed", "x", "optimizer.lr"]),
        (["+seed=0,1", "a=b"], {"seed": "range(3)"}, ["seed"]),
    ],
)  # fmt: skip
def test_the_swept_keys_are_those_of_the_zips(overrides, params, keys):
    assert swept_keys(overrides, params) == keys


def launched(folder, identity):
    SweepManifest(folder.name, "toys", ("seed",), identity, (), "/").write(folder)
    journal = Journal(folder)
    journal.append("open")
    return journal


def test_the_launches_that_a_sweep_may_join_are_those_that_no_process_works_on_the_newest_first(tmp_path):
    launches = {"2026-01-01": "mine", "2026-01-02": "mine", "2026-01-03": "mine", "2026-01-04": "another"}
    journals = {name: launched(tmp_path / name, identity) for name, identity in launches.items()}
    for name in ("2026-01-01", "2026-01-02", "2026-01-04"):
        journals[name].close()

    def found(identity):
        return [path.name for path, _ in resumable_sweeps(tmp_path / "2026-01-05", identity)]

    assert found("mine") == ["2026-01-02", "2026-01-01"]
    journals["2026-01-03"].close()
    assert found("mine") == ["2026-01-03", "2026-01-02", "2026-01-01"]
    assert found("unknown") == []
