"""Pictures are read as the training images were, several runs are averaged, and folders give labels."""

import copy
import csv
import dataclasses
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

import cifar_sweeps
from cifar_sweeps.cli import main as cli
from cifar_sweeps.errors import ConfigError, DataError, TrackingError
from cifar_sweeps.inspection.predict import output, prediction
from cifar_sweeps.inspection.predict.prediction import predict
from cifar_sweeps.inspection.predict.sources import find_pictures, split_arguments
from cifar_sweeps.runs.trained_run import open_trained_run
from cifar_sweeps.tracking.store import Store

COLOURS = {"blue": (40, 60, 220), "green": (40, 200, 60), "red": (220, 50, 40)}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def draw(colour, size, seed=0):
    """A noisy picture of a class, darker to the left, so that turning it changes it."""
    width, height = size
    noise = np.random.default_rng(seed).normal(0, 25, (height, width, 3))
    shade = np.linspace(0.4, 1, width)[None, :, None]
    return Image.fromarray(np.clip(np.array(COLOURS[colour]) * shade + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The store of the runs ``one`` and ``two``, and the folder of their images."""
    root, outputs = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("trained") / "outputs"
    for side, count in (("train", 20), ("test", 6)):
        for name in COLOURS:
            (root / side / name).mkdir(parents=True)
            for number in range(count):
                draw(name, (12, 12), seed=number).save(root / side / name / f"{number}.png")
    common = ["data=image_folder", f"data.root={root}", "data.image_size=12", f"data.mean={list(MEAN)}"]
    common += [f"data.std={list(STD)}", "data.fit=crop", "data.background='#102030'", f"outputs={outputs}"]
    common += ["model.blocks=[{filters: [4]}]", "model.dense=[8]", "trainer.precision=fp32", "trainer.threads=1"]
    common += ["trainer.batch_size=16", "trainer.epochs=2", "analysis.pictures=false", "analysis.log_model=false"]
    for seed, name in enumerate(("one", "two")):
        cifar_sweeps.run(cifar_sweeps.compose([*common, f"seed={seed}"]), name=name, progress=False)
    return Store.open(outputs), root


@pytest.fixture(scope="module")
def loaded(trained):
    runs = [open_trained_run(name, trained[0]) for name in ("one", "two")]
    return [run for run in runs if run.net and run.predictions]


@pytest.fixture
def opened(loaded):
    """The runs, of which a test may change what it likes."""
    return [copy.copy(run) for run in loaded]


def by_hand(run, image):
    """The network's answer for an image that is already as the training images are."""
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255
    scaled = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        return run.net(scaled).softmax(dim=1)[0].numpy()


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it by 90 degrees clockwise
    draw("red", (40, 24)).save(path, exif=exif)
    return ImageOps.fit(
        draw("red", (40, 24)).transpose(Image.Transpose.ROTATE_270), (12, 12), Image.Resampling.BILINEAR
    )


def transparent(path):
    mask = Image.new("L", (12, 12), 255)
    ImageDraw.Draw(mask).rectangle((0, 0, 5, 11), fill=0)
    image = draw("green", (12, 12)).convert("RGBA")
    image.putalpha(mask)
    image.save(path)
    seen = draw("green", (12, 12))
    ImageDraw.Draw(seen).rectangle((0, 0, 5, 11), fill="#102030")
    return seen


def grey_of_16_bits(path):
    Image.fromarray(np.full((12, 12), 257 * 99, dtype=np.uint16)).save(path)
    return Image.new("RGB", (12, 12), (99, 99, 99))


def as_trained(path):
    draw("blue", (12, 12)).save(path)
    return draw("blue", (12, 12))


@pytest.mark.parametrize(
    ("make", "changed", "size"),
    [
        (turned, "from 24×40, turned by EXIF", (24, 40)),
        (transparent, "transparent", (12, 12)),
        (grey_of_16_bits, "16 bits", (12, 12)),
        (as_trained, "", (12, 12)),
    ],
)
def test_a_picture_is_seen_as_a_viewer_shows_it_and_scaled_as_in_training(opened, tmp_path, make, changed, size):
    seen = make(tmp_path / "picture.png")
    found = predict(opened[:1], [str(tmp_path / "picture.png")])
    np.testing.assert_allclose(found.probabilities[0], by_hand(opened[0], seen), atol=1e-6)
    assert found.changes == (changed,)
    assert found.pictures[0].size == size


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_fit_and_background_may_be_chosen(opened, tmp_path, fit):
    picture = draw("red", (48, 24))
    picture.save(tmp_path / "wide.png")
    by_fit = {
        "squash": picture.resize((12, 12), Image.Resampling.BILINEAR),
        "crop": ImageOps.fit(picture, (12, 12), Image.Resampling.BILINEAR),
        "pad": ImageOps.pad(picture, (12, 12), Image.Resampling.BILINEAR, color="yellow"),
    }
    found = predict(opened[:1], [str(tmp_path / "wide.png")], fit=fit, background="yellow")
    np.testing.assert_allclose(found.probabilities[0], by_hand(opened[0], by_fit[fit]), atol=1e-6)
    words = {"squash": "squashed (--fit", "crop": "cropped", "pad": "padded with yellow"}[fit]
    assert any("1 of 1 pictures resized to 12×12" in note and words in note for note in found.notes)


@pytest.mark.parametrize("options", [{"fit": "stretch"}, {"background": "no colour"}], ids=str)
def test_options_that_are_none_are_one_error(opened, trained, options):
    with pytest.raises(ConfigError, match=f"--{next(iter(options))} {next(iter(options.values()))}: must be"):
        predict(opened[:1], [str(trained[1])], **options)


def test_several_runs_are_averaged_in_batches_of_any_size(opened, trained, monkeypatch):
    folder = str(trained[1] / "test")
    alone = [predict([run], [folder]).probabilities for run in opened]
    monkeypatch.setattr(prediction, "BATCH", 5)
    both = predict(opened, [folder])
    np.testing.assert_allclose(both.probabilities, (alone[0] + alone[1]) / 2, atol=1e-6)
    assert np.abs(alone[0] - alone[1]).max() > 0.01


def test_classes_are_matched_by_name(opened, trained):
    folder = str(trained[1] / "test" / "red")
    straight = predict(opened, [folder])
    theirs = opened[1].predictions
    opened[1].__dict__["predictions"] = dataclasses.replace(theirs, classes=theirs.classes[::-1])
    crossed = predict(opened, [folder])
    assert crossed.classes == straight.classes
    np.testing.assert_array_equal(crossed.by_run[1], straight.by_run[1][:, ::-1])


def test_runs_of_other_classes_have_no_mean(opened, trained):
    opened[1].__dict__["predictions"] = dataclasses.replace(opened[1].predictions, classes=("blue", "green", "ship"))
    with pytest.raises(ConfigError, match=r"the first alone: red; the second alone: ship"):
        predict(opened, [str(trained[1])])


def test_the_test_folder_has_the_test_accuracy_that_was_recorded(opened, trained):
    found = predict(opened[:1], [str(trained[1] / "test")])
    assert found.accuracy == opened[0].record.metrics["test/accuracy"]
    labels = [name for name in COLOURS for _ in range(6)]
    expected = np.zeros((3, 3), dtype=int)
    for label, predicted in zip(labels, found.predicted, strict=True):
        expected[list(COLOURS).index(label), predicted] += 1
    np.testing.assert_array_equal(found.confusion, expected)
    assert "Labels are the names of the folders: 18 of 18 pictures" in found.notes[-1]


def test_pictures_in_other_folders_have_no_label(opened, tmp_path):
    for name in ("red", "sunset"):
        (tmp_path / name).mkdir()
        draw("red", (12, 12)).save(tmp_path / name / "a.png")
    draw("red", (12, 12)).save(tmp_path / "b.png")
    found = predict(opened[:1], [str(tmp_path)])
    assert found.labels.tolist() == [-1, 2, -1]
    assert "1 of 3 pictures lie in those of classes; 2 without a label are not counted (sunset: no class)" in str(
        found.notes
    )


def test_a_folder_is_walked_in_order_and_what_is_left_out_is_said(opened, tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    for place in ("z.png", "b/a.png", "b/c/d.png", ".hidden.png"):
        draw("red", (12, 12)).save(tmp_path / place)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "z.png").read_bytes()[:80])
    os.mkfifo(tmp_path / "pipe.png")  # would be waited for
    (tmp_path / "again").symlink_to(tmp_path)
    found = predict(opened[:1], [str(tmp_path)])
    assert [os.path.relpath(file.path, tmp_path) for file in found.files] == ["z.png", "b/a.png", "b/c/d.png"]
    assert [Path(file).name for file, _ in found.left_out] == ["cut.png", "notes.txt", "pipe.png"]
    said = "\n".join(output.notes(found))
    assert "1 hidden or system file left out" in said
    assert "1 link to folders not followed" in said
    assert "notes.txt: left out, no picture of a known format" in said
    assert "pipe.png: is no regular file" in said


def test_nothing_that_can_be_read_is_one_error(opened, tmp_path):
    with pytest.raises(DataError, match="no files but hidden ones"):
        find_pictures([str(tmp_path)])
    for number in range(12):
        (tmp_path / f"{number:02}.txt").write_text("no picture")
    with pytest.raises(DataError, match=r"(?s)none of the files can be read.*00\.txt.*and 2 more files.*2 of \.txt"):
        predict(opened[:1], [str(tmp_path)])


@pytest.mark.parametrize(
    ("size", "far"), [((12, 12), False), ((24, 24), False), ((30, 12), True), ((5, 12), True)], ids=str
)
def test_pictures_far_from_the_training_size_are_told(opened, tmp_path, size, far):
    draw("red", size).save(tmp_path / "a.png")
    notes = predict(opened[:1], [str(tmp_path)]).notes
    assert any("the net has only seen images of 12×12; 1 of 1 is" in note for note in notes) == far


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["one"], ConfigError, "no file or folder is named"),
        (["red.png"], ConfigError, "files and folders alone; name a run too"),
        (["one", "rad.png"], DataError, "rad.png: there is no such file"),
        (["one", "./two"], DataError, "./two: there is no such file"),
        (["none", "red.png"], TrackingError, "neither a file nor a run: none: no run"),
        (["one", "one", "red.png"], ConfigError, "is named twice"),
        (["one", "both"], ConfigError, r"both: is a run and also a file or folder here; write ./both"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_arguments_that_cannot_be_told_apart_are_one_error(trained, tmp_path, monkeypatch, arguments, error, message):
    store = trained[0]
    monkeypatch.chdir(tmp_path)
    draw("red", (12, 12)).save("red.png")
    run_id = store.find_run("two").run_id
    draw("red", (12, 12)).save(run_id[:6], format="PNG")
    arguments = [run_id[:6] if each == "both" else each for each in arguments]
    with pytest.raises(error, match=message.replace("both", run_id[:6])):
        split_arguments(arguments, store)


def test_a_file_of_a_runs_name_is_told_by_its_path(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw("red", (12, 12)).save("two", format="PNG")
    runs, paths = split_arguments(["one", "./two"], trained[0])
    assert ([run.name for run in runs], paths) == (["one"], ["./two"])


@pytest.fixture
def command(trained, tmp_path, monkeypatch, capsys):
    """Run `cifar-sweeps predict` beside a folder of pictures."""
    monkeypatch.setattr(cli, "prepare", lambda _report: [])
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(trained[0].outputs))
    monkeypatch.chdir(tmp_path)
    for name in ("red", "blue"):
        Path(name).mkdir()
        draw(name, (12, 12)).save(f"{name}/a.png")
        draw(name, (48, 12)).save(f"{name}/[b].png")

    def run(*arguments, columns="80"):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr(sys, "argv", ["cifar-sweeps", "predict", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return capsys.readouterr()

    return run


def test_json_has_it_all_and_nothing_else_on_standard_output(command, opened):
    done = command("one", "two", ".", "--json", "--each", "--top", "2")
    content = json.loads(done.out)
    assert [run["name"] for run in content["runs"]] == ["one", "two"]
    expected = predict(opened, ["."])
    assert content["accuracy"] == expected.accuracy
    assert [each["label"] for each in content["pictures"]] == ["blue", "blue", "red", "red"]
    for number, each in enumerate(content["pictures"]):
        best = np.argsort(-expected.probabilities[number])[:2]
        assert [one["class"] for one in each["top"]] == [expected.classes[one] for one in best]
        np.testing.assert_allclose(
            [one["probability"] for one in each["top"]], expected.probabilities[number][best], rtol=1e-5
        )
        assert len(each["each"]) == 2
    assert "A net knows the 3 classes" in done.err


def test_csv_has_a_row_for_each_picture_and_run(command):
    rows = list(csv.DictReader(io.StringIO(command("one", "two", ".", "--csv", "--each").out)))
    assert len(rows) == 4 * 3
    assert rows[0].keys() >= {"file", "run", "class_1", "probability_3", "label", "width", "height", "changed"}
    for mean, one, two in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert mean["run"] == "mean of 2"
        shares = [
            {each[f"class_{rank}"]: float(each[f"probability_{rank}"]) for rank in (1, 2, 3)} for each in (one, two)
        ]
        assert float(mean["probability_1"]) == pytest.approx(
            sum(share[mean["class_1"]] for share in shares) / 2, abs=1e-6
        )


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_table_names_each_picture_and_says_how_sure_the_net_may_be(command, columns):
    out = command("one", ".", columns=columns).out
    assert all(len(line) <= int(columns) for line in out.splitlines())
    assert "red/[b].png" in out
    assert "from 48×12" in out
    assert "Accuracy" in out
    assert "of 4 as their folders say" in out
    assert "gives one of them to any" in out
