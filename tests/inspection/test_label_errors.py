"""`cifar-sweeps label-errors` on runs that were cross-validated on drawn images."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

import cifar_sweeps
from cifar_sweeps.cli.main import app
from cifar_sweeps.data import synthetic
from cifar_sweeps.errors import TrackingError
from cifar_sweeps.inspection.label_errors import find_label_errors
from cifar_sweeps.tracking.store import Store

IMAGES = 500
SMALL = [
    f"data.source.train_images={IMAGES}",
    "data.source.test_images=50",
    "trainer.threads=1",
    "trainer.epochs=1",
    "analysis=none",
    "study_name=errors",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label-errors") / "outputs"
    for fold in (0, 1):
        own = ["data.split=fold", "data.folds=2", f"data.fold={fold}", *(["analysis=full"] if fold else [])]
        config = cifar_sweeps.compose([*SMALL, *own, "analysis.pictures=false", f"outputs={folder}"])
        cifar_sweeps.run(config, name=f"fold {fold}", progress=False)
    config = cifar_sweeps.compose([*SMALL, "data.split=test", "trainer.select=last", f"outputs={folder}"])
    cifar_sweeps.run(config, name="on test", progress=False)
    return folder


def test_every_image_is_judged_by_the_run_that_held_it_out(outputs):
    found = find_label_errors(["errors"], Store.open(outputs), lambda _line: None)
    seen = found.seen.predictions
    assert np.array_equal(seen.index, np.arange(IMAGES))
    assert set(found.seen.times.tolist()) == {1}
    assert len(found.runs) == 2
    assert "1 of 3 runs are left out" in found.notes[0]
    for run in found.runs:
        own = run.splits.val.numpy()
        assert np.allclose(seen.probabilities[own], run.predict(run.validation).probabilities)


def test_the_scores_are_against_the_labels_that_were_replaced(outputs):
    found = find_label_errors(["fold 0", "fold 1"], Store.open(outputs), lambda _line: None)
    source = dict(found.runs[0].config.data.source)
    truth = synthetic.load_synthetic(
        cache=source["cache"], train_images=IMAGES, test_images=50, label_noise=0.0
    ).train.labels.numpy()
    wrong = set(np.flatnonzero(truth != found.runs[0].images.train.labels.numpy()).tolist())
    assert found.scores.wrong == len(wrong) == 100
    suspects = set(found.seen.predictions.index[found.suspects].tolist())
    assert found.scores.precision == len(suspects & wrong) / len(suspects)
    assert found.scores.recall == len(suspects & wrong) / 100


def test_what_is_not_covered_is_said(outputs):
    found = find_label_errors(["fold 0"], Store.open(outputs), lambda _line: None)
    assert len(found.seen.predictions) == IMAGES // 2
    assert any("data.split=fold" in note for note in found.notes)


@pytest.mark.parametrize(
    ("names", "said"),
    [(["on test"], "no finished run of it validated on images that it held out"), (["nothing"], "no run has this id")],
    ids=["held nothing out", "unknown"],
)
def test_what_cannot_judge_is_one_error(outputs, names, said):
    with pytest.raises(TrackingError, match=said):
        find_label_errors(names, Store.open(outputs), lambda _line: None)


def test_the_command_writes_a_page_and_a_table(outputs, monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(outputs))
    done = CliRunner().invoke(app, ["label-errors", "errors"])
    assert done.exit_code == 0, done.output
    assert "precision" in done.output
    page, table = outputs / "reports" / "label_errors_errors.html", outputs / "reports" / "label_errors_errors.csv"
    assert "data:image/png;base64," in page.read_text()
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == len(find_label_errors(["errors"], Store.open(outputs), lambda _line: None).suspects)
    assert list(rows[0]) == ["rank", "image", "label", "predicted", "p_label", "p_predicted"]
