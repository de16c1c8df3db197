"""A finished run that is made longer ends as one that was asked for its epochs at once, or says why not."""

import dataclasses
import io
import shutil

import pytest
import torch
from conftest import TINY
from rich.console import Console
from running import JournalContents, weights
from sqlalchemy import event
from sqlalchemy.engine import Engine

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import CifarSweepsError, ConfigError, DataError, TrackingError, TrainingError
from cifar_sweeps.runs.extension.departures import departures, last_bit_causes
from cifar_sweeps.runs.extension.extend import extend
from cifar_sweeps.runs.extension.longer_config import compose_longer
from cifar_sweeps.runs.reporters import TerminalReporter
from cifar_sweeps.runs.reproduce import reproduce
from cifar_sweeps.runs.run import run
from cifar_sweeps.runs.trained_run import open_trained_run
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.sweeps.resume import _single_runs
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.training.checkpoint_file import save

QUICK = (*TINY, "analysis.pictures=false", "analysis.log_model=false")
FLAT = ("optimizer=sgd", "optimizer.lr=0.00001")
"""So slow that the validation accuracy never rises: the first epoch is the best one."""
TIMES = {"epoch_seconds", "images_per_second"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(autouse=True)
def _own_outputs(shared, monkeypatch):
    """One store for all tests of this module: a new one takes a second."""
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(shared))


@event.listens_for(Engine, "connect")
def _disable_fsync(connection, _record):
    connection.execute("PRAGMA synchronous=OFF")  # a test's store need not survive a power failure


def train(*overrides, name="a run"):
    return run(compose([*QUICK, *overrides]), name=name, progress=False)


@pytest.fixture(scope="module")
def finished(shared):
    """A run of two epochs of a ``short`` budget."""
    overrides = (*QUICK, "budget=short", "trainer.epochs=20", f"outputs={shared}")
    return run(compose(overrides), name="a run", progress=False)


def longer(original, *overrides):
    """Make a run longer; return its result and the line that compares it with a run at once."""
    store, out = Store.open(), io.StringIO()
    result = extend(store.find_run(original.run_id), overrides, store, Console(file=out, width=10_000))
    return result, next(line for line in out.getvalue().splitlines() if line.startswith("Resumes after epoch"))


def assert_same_run(extended, at_once):
    """Compare journals and checkpoints of two runs, bit for bit."""
    found, expected = JournalContents(extended.folder), JournalContents(at_once.folder)
    assert found.state == expected.state == "FINISHED"
    assert found.metrics.keys() == expected.metrics.keys()
    for metric in expected.metrics.keys() - TIMES:
        assert sorted(found.metrics[metric]) == sorted(expected.metrics[metric]), metric
    for metric in TIMES:
        assert [step for step, _ in found.metrics[metric]] == [step for step, _ in expected.metrics[metric]]
    assert extended.metrics.keys() == at_once.metrics.keys()
    files = {path.name for path in (at_once.folder / "checkpoints").iterdir()}
    assert {path.name for path in (extended.folder / "checkpoints").iterdir()} == files
    for name in files:
        kept = [weights(each.folder / "checkpoints" / name) for each in (extended, at_once)]
        both = [state.get("model", state) for state in kept]
        assert all(torch.equal(both[0][key], both[1][key]) for key in both[1]), name
    assert extended.val_accuracy == at_once.val_accuracy


@pytest.mark.parametrize(
    ("overrides", "more"),
    [
        (
            ("regularization=l2_dropout", "augmentation=flip_crop", "optimizer=adamax", "trainer.test_at=[1,2]"),
            ("trainer.test_at=[1,2,3]",),
        ),
        (
            # The first epoch alone counts as better: the rate falls after epochs 3 and 5, if the state goes along.
            (*FLAT, "trainer.select=best", "lr_schedule=plateau", "lr_schedule.patience=2", "lr_schedule.min_delta=9"),
            (),
        ),
        ((*FLAT, "tracking.keep=last", "lr_schedule=step", "lr_schedule.milestones=[1,3]"), ()),
    ],
    ids=["constant, tested", "plateau, the best is an earlier one", "step, only the last is kept"],
)
def test_it_is_bit_identical_where_the_schedule_does_not_depend_on_the_length(overrides, more):
    original = train(*overrides)
    extended, line = longer(original, "trainer.epochs=5", *more)
    assert line == "Resumes after epoch 2: the same, to the bit, as 5 epochs at once"
    assert [metrics.epoch for metrics in extended.history] == [1, 2, 3, 4, 5]
    assert_same_run(extended, train(*overrides, "trainer.epochs=5", *more, "tracking.backend=none"))
    if overrides[:2] == FLAT:
        assert extended.metrics["best/epoch"] == 1  # its weights are not in the finished run's last.pt
    recorded = Store.open().find_run(extended.run_id)
    assert recorded.tag("extends") == original.run_id
    assert recorded.tag("not_as_at_once") is None
    assert f"cifar-sweeps extend {original.run_id} trainer.epochs=5" in recorded.tags["mlflow.note.content"]


def test_a_run_that_was_stopped_early_goes_on_with_more_patience_whatever_its_schedule():
    stopping = ("lr_schedule=cosine", "trainer.epochs=4", "trainer.early_stopping.min_delta=1.0")
    original = train(*stopping, "trainer.early_stopping.patience=1")
    assert len(original.history) == 2
    with pytest.raises(ConfigError, match=r"patience=1: stops this training after epoch 2, however long it is; add"):
        longer(original, "trainer.epochs=6")
    extended, line = longer(original, "trainer.early_stopping.patience=null")
    assert line == "Resumes after epoch 2: the same, to the bit, as 4 epochs at once"
    assert_same_run(extended, train(*stopping, "tracking.backend=none"))


def test_a_longer_cosine_goes_on_at_its_own_rate_says_so_and_is_kept_apart():
    cosine = ("lr_schedule=cosine", "lr_schedule.warmup_epochs=0", "optimizer.lr=0.01")
    original = train(*cosine)
    extended, line = longer(original, "trainer.epochs=4")
    assert line == (
        "Resumes after epoch 2: not the same as 4 epochs at once: the learning rate depends on the length "
        "(lr_schedule.epochs 2 -> 4): it ended at 0.0001 after epoch 2, and goes on at 0.00505, that of the longer one"
    )
    # Half a cosine from 0.01 to 0.0001, of which half is over.
    assert [metrics.lr for metrics in extended.history][2] == pytest.approx((0.01 + 0.0001) / 2)
    at_once = train(*cosine, "trainer.epochs=4")
    store = Store.open()
    arms = {each.run_id: each.arm for each in find_runs("cifar_sweeps", store).runs}
    assert arms[extended.run_id].endswith(" epochs=4 extended_after=2")
    assert arms[at_once.run_id] != arms[extended.run_id]
    again = f"cifar-sweeps extend {original.run_id[:8]} trainer.epochs=4"
    with pytest.raises(TrackingError, match=f"training it at once does not repeat .* longer again: .*{again}$"):
        reproduce(store.find_run(extended.run_id), store, Console(file=io.StringIO()))
    longest, line = longer(extended, "trainer.epochs=5")  # what it was made from is not forgotten
    assert "(lr_schedule.epochs 2 -> 4)" in line
    assert "(lr_schedule.epochs 4 -> 5)" in line
    assert Store.open().find_run(longest.run_id).tag("extended_after") == "2,4"
    assert Store.open().find_run(longest.run_id).name == "a run extended to 5 epochs"


@pytest.mark.parametrize(
    ("overrides", "apart", "last_bits"),
    [
        (("trainer.threads=2",), [], ["threads 1 then, 2 now"]),
        (("trainer.precision=bf16",), ["precision fp32 then, bf16 now"], []),
    ],
    ids=["threads", "precision"],
)
def test_another_machine_changes_the_last_bits_and_another_precision_the_training(
    finished, overrides, apart, last_bits
):
    opened = open_trained_run(finished.run_id, Store.open())
    config = compose_longer(opened, ["trainer.epochs=40", *overrides])
    assert departures(config, opened.record, finished.history) == apart
    assert last_bit_causes(config, opened.record) == last_bits
    extra = [dataclasses.replace(finished.history[0], epoch=epoch) for epoch in (1, 2, 3)]
    sparse = dataclasses.replace(config.after, trainer=dataclasses.replace(config.after.trainer, validate_every=2))
    first, *others = departures(dataclasses.replace(config, after=sparse), opened.record, extra)
    assert first.startswith("epoch 1, 3, a last one, was validated in spite of trainer.validate_every=2")
    assert others == apart


def test_an_interrupted_one_is_resumed_as_any_single_run(outputs, monkeypatch):
    overrides = ("optimizer=adamax", "trainer.test_at=[1]", "data.val_fraction=0", "study=quickstart", *QUICK)
    original = train(*overrides)

    def stop(_self, metrics):
        if metrics.epoch == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TerminalReporter, "on_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            longer(original, "trainer.epochs=5")
    (stopped,) = (each for each in _single_runs(outputs) if each.can_resume)  # no other test leaves one
    *resumed_with, mode, folder = stopped.command
    assert mode == "hydra.mode=RUN"  # its study would start the sweep
    assert stopped.names[0] in folder
    resumed = run(compose(resumed_with), folder=outputs / "runs" / stopped.names[0], progress=False)
    assert_same_run(resumed, train(*overrides, "trainer.epochs=5", "tracking.backend=none"))
    assert JournalContents(resumed.folder).tags["cifar_sweeps.config_hash"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.epochs=10"], r"trainer.epochs=2: the run has trained 2 epochs already \(budget=short .*=40$"),
        (["trainer.epochs=30", "trainer.test_at=[10]"], r"epoch 1 is over and was not tested, .* from 2 on can be"),
        (["optimizer.lr=0.1"], r"optimizer.lr=0.1: extend changes only .*init_from=\w+ optimizer.lr=0.1$"),
        (["tracking=none"], r"tracking=none: extend changes only how long a run is"),
        (["~trainer.test_at"], r"~trainer.test_at: extend changes only how long a run is"),
        (["trainer.epochs=30,40"], r"trainer.epochs=30,40: must be one value"),
        (["trainer.epochs=${seed}"], r"trainer.epochs=\$\{seed\}: must be one value"),
        (["longer"], r"longer: cannot be read as an override"),
        (["trainer.epochs=many"], r"trainer.epochs"),
        (["trainer.epochs=40", "data.root=/nowhere"], r"data.root"),
    ],
)
def test_it_only_makes_a_run_longer(finished, outputs, overrides, message):
    before = sorted((outputs / "runs").iterdir())
    with pytest.raises(CifarSweepsError, match=message):
        longer(finished, *overrides)
    assert sorted((outputs / "runs").iterdir()) == before  # before any work


def refused(original, *overrides, state=None, tags=None):
    """Return the message of an extension that is refused, of a run whose record says something else."""
    store = Store.open()
    record = store.find_run(original.run_id)
    other = {f"cifar_sweeps.{key}": value for key, value in (tags or {}).items()}
    record = dataclasses.replace(record, state=state or record.state, tags={**record.tags, **other})
    with pytest.raises(CifarSweepsError) as caught:
        extend(record, overrides or ("trainer.epochs=9",), store, Console(file=io.StringIO()))
    return caught.value


def test_a_run_that_has_not_finished_is_finished_first(finished):
    original = finished
    assert "first finish it: cifar-sweeps resume" in str(refused(original, state="KILLED"))
    job = refused(original, state="FAILED", tags={"sweep_id": "2026-01-01"})
    assert str(job).endswith("has not finished (failed); first finish it: cifar-sweeps resume 2026-01-01")
    assert "is still training" in str(refused(original, state="RUNNING"))


def test_what_was_not_kept_is_named_with_what_to_do():
    parts = train("trainer.epochs=1", "trainer.parts=2")
    assert "trainer.parts=2: 9 epochs on each part would train longer on the first" in str(refused(parts))
    best = train("trainer.epochs=1", "tracking.keep=best")
    error = str(refused(best))
    assert "kept only its best weights (tracking.keep=best); start a training from these: " in error
    assert error.rpartition("trainer.init_from=")[2] == str(best.folder / "checkpoints" / "best.pt")
    tested = str(refused(train("trainer.epochs=1", "tracking.keep=tested")))
    assert "kept only the weights that were tested (tracking.keep=tested); start a training from these: " in tested
    last = train(*FLAT, "tracking.keep=last", "trainer.select=best")
    assert "its best checkpoint, of epoch 1, was not kept (tracking.keep=last)" in str(refused(last))


def test_a_checkpoint_that_is_damaged_or_of_another_run_is_refused(finished):
    original, other = train(*FLAT), finished
    checkpoints = original.folder / "checkpoints"
    whole = (checkpoints / "last.pt").read_bytes()
    (checkpoints / "last.pt").unlink()
    shutil.copyfile(other.folder / "checkpoints" / "last.pt", checkpoints / "last.pt")
    assert "its last checkpoint has other epochs than its record" in str(refused(original))
    (checkpoints / "last.pt").write_bytes(whole[: len(whole) // 2])
    assert isinstance(refused(original), TrainingError)
    save(checkpoints / "last.pt", {"model": {}})
    assert "holds no training state" in str(refused(original))
    (checkpoints / "last.pt").write_bytes(whole)
    (checkpoints / "best.pt").unlink()
    shutil.copyfile(other.folder / "checkpoints" / "best.pt", checkpoints / "best.pt")
    assert "best.pt: is damaged: its checksum does not match" in str(refused(original))


def test_a_length_that_decides_over_more_than_the_rate_is_refused_and_so_are_changed_config_files(outputs, tmp_path):
    (tmp_path / "regularization").mkdir()
    mine = tmp_path / "regularization" / "mine.yaml"
    text = "l2: LENGTH\nl1: 0.0\nweight_decay: 0.0\ndropout: {conv: 0.0, dense: 0.0}\n"
    mine.write_text(text.replace("LENGTH", "${trainer.epochs}"), encoding="utf-8")
    config = compose([*QUICK, "regularization=mine", "trainer.epochs=1"], tmp_path)
    original = run(config, progress=False, tags={"config_dir": str(tmp_path)})
    assert [each.command[:2] for each in _single_runs(outputs) if original.folder.name in each.names] == [
        ("--config-dir", str(tmp_path))
    ]
    error = str(refused(original))
    assert "makes more of the length than the learning rate (regularization.l2: 1 -> 9)" in error
    assert error.endswith("trainer.epochs=9")
    mine.write_text(text.replace("LENGTH", "0.5"), encoding="utf-8")
    assert "since it was trained: regularization.l2: 1 -> 0.5; put them back" in str(refused(original))
    mine.unlink()
    assert "regularization=mine: unknown option" in str(refused(original))


def test_it_is_trained_on_the_recorded_images(finished):
    error = refused(finished, "trainer.epochs=40", tags={"data_fingerprint": "0123"})
    assert isinstance(error, DataError)
    assert "not the recorded images" in str(error)
