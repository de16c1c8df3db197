"""Runs and sweeps are named by ids, unique beginnings of ids, and names that only one has."""

import pytest

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.tracking.names import Candidate, choose, describe
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import tracking_uri

CANDIDATES = [
    Candidate("newest", ("c0ffee01", "2026-03-03_10"), "seed=0", "c0ffee01 (seed=0)"),
    Candidate("middle", ("c0ffee02", "2026-03-02_10"), "seed=0", "c0ffee02 (seed=0)"),
    Candidate("oldest", ("ab12", ""), "c0ffee", "ab12 (c0ffee)"),
    Candidate("longer", ("ab123", "ab12x"), "lr=0.1", "ab123 (lr=0.1)"),
]


@pytest.mark.parametrize(
    ("typed", "found"),
    [("c0ffee01", "newest"), ("2026-03-02", "middle"), ("ab12", "oldest"), ("ab123", "longer"), ("lr=0.1", "longer")],
)
def test_an_id_a_unique_beginning_or_a_name_finds_the_one_it_means(typed, found):
    assert choose(typed, CANDIDATES, "run", "here") == found


@pytest.mark.parametrize(
    ("typed", "ids", "how"),
    [
        ("seed=0", ("c0ffee01", "c0ffee02"), "2 runs have this name"),
        ("2026", ("c0ffee01", "c0ffee02"), "2 runs have an id or name that begins so"),
        ("c0ffee", ("c0ffee01", "c0ffee02", "ab12"), "3 runs have an id or name"),  # a name, and two beginnings
        ("ab", ("ab12", "ab123"), "2 runs have an id"),
    ],
)
def test_what_two_could_be_meant_by_is_refused_with_the_id_of_each(typed, ids, how):
    with pytest.raises(TrackingError, match="give the id of one of them") as caught:
        choose(typed, CANDIDATES, "run", "here")
    assert how in str(caught.value)
    assert all(f"{one} (" in str(caught.value) for one in ids)


@pytest.mark.parametrize("typed", ["nothing", "seed=00"])
def test_an_unknown_name_is_refused_with_the_newest_and_the_nearest(typed):
    with pytest.raises(TrackingError, match=r"no run has this id or name in here.*the newest: c0ffee01") as caught:
        choose(typed, CANDIDATES, "run", "here")
    assert ("did you mean 'seed=0'" in str(caught.value)) == (typed == "seed=00")


def test_a_run_is_described_by_its_sweep_or_by_its_time():
    assert describe("0123456789", "seed=0", {"cifar_sweeps.sweep_id": "s1"}, 1) == "01234567 (seed=0, sweep s1)"
    assert describe("0123456789", "seed=0", {}, 0) == "01234567 (seed=0)"
    assert "(seed=0, 20" in describe("0123456789", "seed=0", {}, 1_700_000_000_000)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two sweeps of a study, each with a run of the same name, and a single run."""
    outputs = tmp_path_factory.mktemp("outputs")
    store = Store(tracking_uri(None, outputs), outputs)
    experiment = store.prepare("mine")
    for number in (1, 2):
        sweep = {"cifar_sweeps.role": "sweep", "cifar_sweeps.sweep_id": f"2026-0{number}"}
        parent = store.create_run(experiment, f"sweep 2026-0{number}", sweep, number * 1000)
        tags = {"cifar_sweeps.sweep_id": f"2026-0{number}", "mlflow.parentRunId": parent}
        store.create_run(experiment, "seed=0", tags, number * 1000 + 1)
    store.create_run(experiment, "first try", {"cifar_sweeps.folder": "/gone/runs/2025-12-31_x"}, 5000)
    return store


def test_a_name_in_two_sweeps_is_refused_with_both_and_found_by_each_id(store):
    with pytest.raises(TrackingError, match=r"seed=0: 2 runs have this name: .*sweep 2026-02.*sweep 2026-01") as caught:
        store.find_run("seed=0")
    ids = [word[:8] for word in str(caught.value).partition("name: ")[2].split(", ") if "(seed=0" in word]
    assert [store.find_run(one).tag("sweep_id") for one in ids] == ["2026-02", "2026-01"]
    assert store.find_run("2025-12-31").name == "first try"  # its folder


def test_a_sweep_in_place_of_a_run_is_refused_with_its_runs(store):
    with pytest.raises(TrackingError, match=r"2026-01: is a sweep, not a run; .*of its runs: \w{8} \(seed=0\)$"):
        store.find_run("2026-01")


def test_a_sweep_is_found_by_the_beginning_of_its_id(store):
    study = find_runs("2026-02", store)
    assert [sweep.sweep_id for sweep in study.sweeps] == ["2026-02"]
    assert find_runs(study.sweeps[0].run_id[:12], store).sweeps == study.sweeps
    whole = find_runs("mine", store)
    assert [sweep.sweep_id for sweep in whole.select_sweeps(["2026-01"]).sweeps] == ["2026-01"]
    for ask in (lambda: find_runs("2026-", store), lambda: whole.select_sweeps(["2026"])):
        with pytest.raises(TrackingError, match=r"2 sweeps have an id .*2026-02.*2026-01"):
            ask()
    with pytest.raises(TrackingError, match=r"mien: no sweep has this id.*studies: mine; did you mean 'mine'"):
        find_runs("mien", store)
