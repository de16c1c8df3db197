"""`cifar-sweeps explain` on a small run: which images, which figures, what is left out, and what is written."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from analysis.explanations.nets import make, same_state, state
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import cifar_sweeps
from cifar_sweeps.analysis.predictions import FILE, Predictions, load_predictions
from cifar_sweeps.cli.main import app
from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.inspection.explain.explanation import class_maps, explain
from cifar_sweeps.inspection.explain.page import render_explanation
from cifar_sweeps.inspection.explain.subjects import MISTAKES, Selection, choose_test_images
from cifar_sweeps.runs.trained_run import TrainedRun, open_trained_run
from cifar_sweeps.tracking.store import Store

SMALL = [
    "data.source.train_images=100",
    "data.source.test_images=60",
    "data.val_fraction=0.2",
    "model.blocks=[{filters: [4, 6]}, {filters: [8]}]",
    "model.dense=[16]",
    "regularization=dropout",
    "trainer.threads=1",
    "trainer.epochs=2",
    "analysis.pictures=false",
    "analysis.log_model=false",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained") / "outputs"
    cifar_sweeps.run(cifar_sweeps.compose([*SMALL, f"outputs={folder}"]), name="small", progress=False)
    return folder


@pytest.fixture
def run(outputs):
    return open_trained_run("small", Store.open(outputs))


def silent(_line):
    pass


def numbers(found):
    return [int(subject.name.split()[-1]) for subject in found.subjects]


def test_by_default_the_surest_mistakes_and_a_few_right_ones(run):
    found = explain(run, Selection(), [], silent)
    archive = np.load(run.artifact(FILE))
    predicted, confidence = archive["probabilities"].argmax(1), archive["probabilities"].max(1)
    wrong = predicted != archive["label"]
    expected = np.flatnonzero(wrong)[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES].tolist()
    shown = numbers(found)
    assert shown[:MISTAKES] == expected
    right = shown[MISTAKES:]
    assert 1 <= len(right) <= 3
    assert not wrong[right].any()
    for at in right:  # the surest of its class
        same = ~wrong & (predicted == predicted[at])
        assert confidence[at] == confidence[same].max()
    for subject, number in zip(found.subjects, shown, strict=True):
        assert np.array_equal(subject.probabilities.numpy(), archive["probabilities"][number])
        assert (subject.actual, subject.predicted) == (archive["label"][number], predicted[number])
        assert torch.equal(subject.image, run.images.test.images[number])


def test_images_are_chosen_by_number_by_mistakes_and_each_once(run):
    wrong = np.flatnonzero(~run.predictions.correct)
    surest = int(wrong[np.argmax(run.predictions.confidence[wrong])])
    found = explain(run, Selection((7, surest), mistakes=1), [], silent)
    assert numbers(found) == [7, surest]
    assert [subject.is_wrong for subject in found.subjects] == [bool(7 in wrong), True]
    positions, notes = choose_test_images(Selection(mistakes=60), run.predictions)
    assert positions == wrong[np.argsort(-run.predictions.confidence[wrong], kind="stable")].tolist()
    assert notes == [f"Only {len(wrong)} of the 60 test images are classified wrongly."]


def test_a_run_without_mistakes_says_so(run):
    given = run.predictions
    sure = np.eye(len(given.classes), dtype=np.float32)[given.labels]
    right = Predictions(given.index, given.labels, sure, given.classes)
    for selection, said in (
        (Selection(), "None of the 60 test images is classified wrongly."),
        (Selection(mistakes=2), "Only 0 of the 60 test images are classified wrongly."),
    ):
        positions, notes = choose_test_images(selection, right)
        assert len({int(right.predicted[at]) for at in positions}) == 3
        assert notes == [said]


def test_maps_are_of_the_predicted_and_of_the_actual_class(run):
    found = explain(run, Selection(mistakes=2), [], silent)
    images = torch.stack([subject.image for subject in found.subjects])
    assert found.cam.layer.name == "features.block2.activation1"
    for maps, classes in (
        (found.cam.predicted, [subject.predicted for subject in found.subjects]),
        (found.cam.actual, [subject.actual for subject in found.subjects]),
    ):
        expected = class_maps(run, images, torch.tensor(classes))
        torch.testing.assert_close(maps / maps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30), expected)
    assert [tuple(maps.shape[1:]) for maps in found.maps] == [(4, 32, 32), (6, 32, 32), (8, 8, 8)]


def test_the_nearest_are_found_among_all_training_images_and_no_others(run):
    found = explain(run, Selection((0, 3)), [], silent)
    train, layer = run.splits.train, run.net.head.logits
    held = []
    handle = layer.register_forward_pre_hook(lambda _layer, given: held.append(given[0].detach().numpy()))
    with torch.no_grad():
        for images in (run.images.test.images[[0, 3]], run.images.train.images[train]):
            run.net(run.model_input(images))
    handle.remove()
    queries, bank = (features / np.linalg.norm(features, axis=1, keepdims=True) for features in held)
    cosine = queries @ bank.T
    expected = np.argsort(-cosine, axis=1, kind="stable")[:, :5]
    near = found.nearest
    assert (near.searched, near.layer) == (len(train), "head.logits")
    assert len(train) == 80
    np.testing.assert_allclose(near.found.similarity, np.take_along_axis(cosine, expected, 1), atol=1e-5)
    assert near.found.numbers.tolist() == train.numpy()[expected].tolist()


def test_the_sums_of_integrated_gradients_are_checked_against_the_mean_colour(run):
    found = explain(run, Selection((0, 3)), [], silent)
    pixels = run.images.train.images[run.splits.train].double()
    empty = (pixels.mean(dim=(0, 2, 3)) / 255).float().view(1, 3, 1, 1).expand(1, 3, 32, 32)
    with torch.no_grad():
        logits = run.net(run.model_input(torch.stack([subject.image for subject in found.subjects])))
        base = run.net(empty)[0]
    predicted = torch.tensor([subject.predicted for subject in found.subjects])
    expected = logits.gather(1, predicted[:, None])[:, 0] - base[predicted]
    torch.testing.assert_close(found.shares.differences, expected, rtol=1e-4, atol=1e-5)
    assert (found.shares.errors <= 0.01 * expected.abs() + 1e-5).all()


def test_a_class_that_float32_changes_is_one_line(run):
    given = run.predictions
    other = given.probabilities.copy()
    other[5] = np.roll(other[5], 1)
    run.__dict__["predictions"] = Predictions(given.index, given.labels, other, given.classes)
    found = explain(run, Selection((4, 5)), [], silent)
    (note,) = found.notes
    recorded, now = given.classes[other[5].argmax()], given.classes[given.probabilities[5].argmax()]
    assert note.startswith(f"test image 5: was tested as {recorded} (")
    assert f"in float32 on this machine it is {now} (" in note
    assert found.subjects[1].predicted == other[5].argmax()


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "egg <b>.png"
    Image.new("RGBA", (60, 40), (200, 60, 30, 128)).save(file)
    return file


def test_a_picture_is_read_as_predict_reads_it(run, picture):
    from cifar_sweeps.inspection.predict.prediction import predict

    found = explain(run, Selection(files=(picture,)), [], silent)
    (subject,) = found.subjects
    expected = predict([run], [str(picture)])
    np.testing.assert_allclose(subject.probabilities, expected.probabilities[0], atol=1e-6)
    assert subject.changes == "from 60×40, transparent; brought to 32×32 pixels (data.fit=squash)"
    assert not subject.is_wrong
    assert subject.image[:, 0, 0].tolist() == [227, 157, 142]  # half of it on white
    page = render_explanation(found, "again")
    assert "egg &lt;b&gt;.png" in page
    assert "<b>.png" not in page


def test_without_the_images_a_picture_is_explained_all_the_same(run, picture, monkeypatch):
    def gone(_run):
        raise DataError("photos: is gone")

    monkeypatch.setattr(TrainedRun, "images", property(gone))
    found = explain(run, Selection(files=(picture,)), [], silent)
    assert found.nearest is None
    assert found.shares is not None
    assert found.notes[0].endswith("as the run's images are not at hand: photos: is gone")
    assert "nearest training images" not in render_explanation(found, "again").split("</section>")[1]
    with pytest.raises(DataError, match="photos: is gone"):
        explain(run, Selection((0,)), [], silent)


def test_without_captum_the_rest_is_made_and_a_line_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    found = explain(run, Selection((0,)), [], silent)
    assert (found.covering, found.shares) == (None, None)
    (note,) = found.notes
    assert "pip install 'cifar-sweeps[explain]'" in note
    page = render_explanation(found, "again")
    assert "Grad-CAM" in page
    assert "<b>integrated gradients</b>" not in page
    assert "pip install &#39;cifar-sweeps[explain]&#39;" in page


@pytest.mark.parametrize("name", ["small_resnet", "resnet18", "vgg16_frozen", "lite0_frozen"])
def test_networks_of_all_kinds_are_explained_and_not_changed(run, name):
    net = run.__dict__["net"] = make(name)
    before = state(net)
    found = explain(run, Selection((1,)), [], silent)
    assert same_state(before, state(net))
    assert found.cam.predicted.shape[1:] == (found.cam.layer.height, found.cam.layer.width)
    assert len(found.maps) == 3
    assert found.filters.shape[1] == 3
    assert found.nearest.found.numbers.shape == (1, 5)
    assert any("puts out maps of one pixel" in note for note in found.notes) == (name == "resnet18")
    assert f"Grad-CAM: where the maps of {found.cam.layer.name}" in render_explanation(found, "again")


def test_a_network_without_convolutions_has_no_maps_and_the_page_says_so(run):
    run.__dict__["net"] = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)).eval()
    found = explain(run, Selection((1,)), [], silent)
    assert (found.cam, found.maps, found.filters) == (None, (), None)
    assert found.nearest.layer == "1"
    assert any("feature maps and Grad-CAM do not apply" in note for note in found.notes)
    page = render_explanation(found, "again")
    assert "<b>occlusion</b>" in page
    assert "<b>Grad-CAM</b>" not in page
    with pytest.raises(ConfigError, match="feature maps and Grad-CAM do not apply"):
        class_maps(run, run.images.test.images[:1], torch.tensor([0]))


def test_the_shown_probabilities_are_the_recorded_ones(run):
    found = explain(run, Selection((2,)), [], silent)
    page = render_explanation(found, "again")
    recorded = load_predictions(run.artifact(FILE)).probabilities[2]
    for value in sorted(recorded, reverse=True)[:5]:
        assert f"<span>{value:.3f}</span>" in page
    assert f"({recorded.max():.2f})" in page


def test_names_from_the_record_are_shown_as_text(run, monkeypatch):
    given = run.predictions
    names = ("<script>alert(1)</script>", "a\x1b[31m", *given.classes[2:])
    run.__dict__["predictions"] = Predictions(given.index, given.labels, given.probabilities, names)
    run.__dict__["images"] = dataclasses.replace(run.images, classes=names)
    found = explain(run, Selection(mistakes=3), [], silent)
    page = render_explanation(found, "again")
    assert found.classes[:2] == (names[0], "a\\x1b[31m")
    assert "<script" not in page
    assert "\x1b" not in page


def test_predictions_of_other_images_are_one_error(run):
    given = run.predictions
    run.__dict__["predictions"] = Predictions(given.index + 1, given.labels, given.probabilities, given.classes)
    with pytest.raises(DataError, match="its recorded predictions are of other images"):
        explain(run, Selection(mistakes=1), [], silent)


def invoke(outputs, monkeypatch, *arguments):
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(outputs))
    return CliRunner().invoke(app, ["explain", "small", *arguments])


def test_the_command_writes_page_and_pictures_and_logs_them(outputs, run, monkeypatch, picture):
    done = invoke(outputs, monkeypatch, "--index", "3,7", "--index", "9", "--image", str(picture))
    assert done.exit_code == 0, done.output
    assert "The integrated gradients of an image sum to" in " ".join(done.output.split())
    assert "Nearest of 80 training images: " in done.output
    folder = run.folder / "explain"
    names = sorted(path.name for path in folder.iterdir())
    assert {"explain.html", "first_filters.png", "test_3.png", "test_3_maps.png", "test_7.png", "test_9.png"} <= set(
        names
    )
    assert len(names) == 2 + 2 * 4
    logged = run.store.client().list_artifacts(run.record.run_id, "explain")
    assert sorted(entry.path for entry in logged) == [f"explain/{name}" for name in names]
    with Image.open(folder / "test_3.png") as sheet:
        assert min(sheet.size) > 200
    page = (folder / "explain.html").read_text()
    assert f"cifar-sweeps explain {run.record.run_id[:8]} --index 3,7 --index 9 --image" in page


def test_predictions_that_were_not_kept_are_made_anew_with_a_line(run, monkeypatch):
    kept = run.predictions
    monkeypatch.setattr(TrainedRun, "artifact", lambda self, name: self.folder / name if name != FILE else None)
    again = open_trained_run("small", run.store)
    found = explain(again, Selection((0,)), [], silent)
    assert np.array_equal(found.subjects[0].probabilities.numpy(), kept.probabilities[0])
    assert found.notes == ("The run kept no test predictions (analysis=none): they were made anew.",)


def test_a_page_of_its_own_leaves_the_run_as_it_is(outputs, run, monkeypatch, tmp_path):
    def kept():
        logged = run.store.client().list_artifacts(run.record.run_id)
        return sorted(path.name for path in run.folder.rglob("*")), sorted(entry.path for entry in logged)

    before = kept()
    page = tmp_path / "new" / "one.html"
    done = invoke(outputs, monkeypatch, "--mistakes", "1", "--layer", "features.block1.conv1", "--out", str(page))
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "Grad-CAM: where the maps of features.block1.conv1" in text
    assert [path.name for path in page.parent.iterdir()] == ["one.html"]
    assert kept() == before


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["--index", "60"], ConfigError, "no test image has this number; there are 60, from 0 to 59"),
        (["--index", "3,x"], ConfigError, "--index x: must be numbers of test images"),
        (["--index", "-1"], ConfigError, "--index -1: must be numbers of test images"),
        (["--mistakes", "0"], ConfigError, "--mistakes 0: must be from 1 to 100"),
        (["--mistakes", "99", "--index", "1,2"], ConfigError, "101 images are named: at most 100"),
        (["--layer", "conv"], ConfigError, "those with maps are features.block1.conv1, features.block1.activation1, "),
        (["--image", "none.png"], DataError, "--image none.png: cannot be read"),
        (["--image", "/"], DataError, "is no regular file"),
        (["--out", "/"], ConfigError, "--out /: is a folder"),
        (["--out", "page.pdf"], ConfigError, "must end in .html"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_there_is_not_is_one_error(outputs, monkeypatch, arguments, error, said):
    done = invoke(outputs, monkeypatch, *arguments)
    assert isinstance(done.exception, error), done.output
    assert said in str(done.exception)


def test_a_whitened_run_is_explained_from_whitened_images(tmp_path):
    white = [*SMALL, "data.whitening=zca", "data.image_size=8", "model.blocks=[{filters: [4]}]"]
    cifar_sweeps.run(cifar_sweeps.compose([*white, f"outputs={tmp_path}"]), name="white", progress=False)
    run = open_trained_run("white", Store.open(tmp_path))
    found = explain(run, Selection(indices=(0, 1)), [], silent)
    with torch.no_grad():
        expected = run.net(run.whitening(run.images.test.images[:2].float() / 255)).softmax(1).argmax(1)
    assert [subject.predicted for subject in found.subjects] == expected.tolist()
    assert found.covering is not None
