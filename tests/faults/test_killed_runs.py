"""A single run, killed at each step of its way: it goes on to the same bits, its record has no gap and no double."""

import os
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_run

from .dying import MOMENTS, train
from .sweeping import SMALL, Differences, Stored

RUN = (*SMALL, "trainer.epochs=3", "augmentation=flip_crop", "regularization=dropout")


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A database without runs: to make one takes seconds, to copy it none."""
    folder = tmp_path_factory.mktemp("empty")
    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def outputs(outputs, empty_store):
    shutil.copy(empty_store, outputs)
    return outputs


@pytest.fixture(scope="module")
def undisturbed_run(tmp_path_factory, empty_store):
    outputs = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(empty_store, outputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIFAR_SWEEPS_OUTPUTS", str(outputs))
        assert train(RUN, outputs / "runs" / "run") == 0
    return Stored(outputs)


def finished_like(undisturbed_run: Stored, outputs: Path) -> None:
    """The run goes on to its end, unless it was there already, and is what it would have been."""
    was_over = read_run(outputs / "runs" / "run").state == "FINISHED"
    assert train(RUN, outputs / "runs" / "run") == (1 if was_over else 0)
    assert Stored(outputs).of_single_run(undisturbed_run) == Differences()
    left = {path.name for path in (outputs / "runs" / "run" / "checkpoints").iterdir()}
    assert left == {"last.pt", "best.pt"}


QUICK = {
    "journal": [("journal", "after", 1), ("journal", "after", 4), ("journal", "after", 6), ("journal", "before", 9)],
    "checkpoints": [
        ("checkpoint", "before", 1),
        ("checkpoint", "after", 3),
        ("naming of the checkpoints", "after", 1),
        ("removal of the checkpoints", "before", 1),
    ],
    "store": [
        ("making of the run in the store", "after", 1),
        ("call to the store", "after", 2),
        ("values into the store", "after", 1),
        ("artifact into the store", "after", 1),
        ("note of a delivery", "before", 2),
    ],
}


@pytest.mark.parametrize("moments", QUICK.values(), ids=QUICK.keys())
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(outputs, undisturbed_run, moments):
    folder = outputs / "runs" / "run"
    for moment in moments:
        assert train(RUN, folder, moment) == -9, moment
    finished_like(undisturbed_run, outputs)


def test_killed_while_it_makes_the_database_it_makes_it_anew(outputs):
    (outputs / "mlflow.db").unlink()
    folder = outputs / "runs" / "run"
    assert train(RUN, folder, ("making of the database", "before", 12)) == -9
    # It is made beside the training: a run that had finished by then is sent, and refused a second training.
    was_over = read_run(folder).state == "FINISHED"
    assert train(RUN, folder) == int(was_over)
    assert [run.info.status for run in Stored(outputs).parents] == ["FINISHED"]
    assert not list(outputs.glob("*.new*"))


@pytest.mark.slow_fault
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", [what for what in MOMENTS if what != "making of the database"])
def test_killed_at_every_single_step(outputs, undisturbed_run, what, when):
    """Each attempt dies one such step later than the one before it, until one gets through."""
    folder, deaths = outputs / "runs" / "run", 0
    while train(RUN, folder, (what, when, 1 + deaths // 2)) == -9:
        deaths += 1
        assert deaths < 60
    assert deaths
    finished_like(undisturbed_run, outputs)


DAMAGES = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "a flipped bit": lambda whole: whole[:-700] + bytes([whole[-700] ^ 1]) + whole[-699:],
    "empty": lambda whole: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_leads_to_the_same_bits(
    outputs, undisturbed_run, damage
):
    folder = outputs / "runs" / "run"
    assert train(RUN, folder, ("naming of the checkpoints", "before", 1)) == -9
    newest = max((folder / "checkpoints").glob("resume-*.pt"))
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    finished_like(undisturbed_run, outputs)


@pytest.mark.parametrize("torn", [b'{"op": "met', b'{"op": "metrics", "time": 1', b"\x00\x00\x00\x00"], ids=repr)
def test_a_torn_last_line_of_the_journal_costs_nothing(outputs, undisturbed_run, torn):
    folder = outputs / "runs" / "run"
    assert train(RUN, folder, ("journal", "after", 7)) == -9
    with (folder / journal.NAME).open("ab") as file:
        file.write(torn)
    finished_like(undisturbed_run, outputs)


def test_without_any_checkpoint_the_run_begins_anew_in_the_same_record(outputs, undisturbed_run):
    folder = outputs / "runs" / "run"
    assert train(RUN, folder, ("naming of the checkpoints", "before", 1)) == -9
    shutil.rmtree(folder / "checkpoints")
    finished_like(undisturbed_run, outputs)


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two cores for two threads")
def test_a_run_goes_on_with_the_threads_that_it_began_with(outputs):
    automatic = (*(override for override in RUN if "threads" not in override), "trainer.threads=auto")
    folder = outputs / "runs" / "run"
    assert train((*automatic,), folder, ("journal", "after", 6)) == -9
    began_with = journal.read(folder)[2].fields["values"]["cifar_sweeps.threads"]
    assert train((*automatic,), folder) == 0
    threads = [
        entry.fields["values"]["cifar_sweeps.threads"]
        for entry in journal.read(folder)
        if entry.op == "tags" and "cifar_sweeps.threads" in entry.fields["values"]
    ]
    assert threads == [began_with] * 2
