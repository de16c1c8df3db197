"""A net that was trained on CIFAR-10 looks at its test images as files, and at pictures that are drawn here."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

import cifar_sweeps
from cifar_sweeps.data.cifar.cifar10 import CLASSES
from cifar_sweeps.inspection.predict.prediction import predict
from cifar_sweeps.runs.trained_run import open_trained_run
from cifar_sweeps.tracking.store import Store

REAL_DATA = os.environ.get("CIFAR_SWEEPS_REAL_DATA") or None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REAL_DATA is None, reason="CIFAR_SWEEPS_REAL_DATA names no folder with CIFAR-10's images"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("real") / "outputs"
    overrides = ["experiment=case_study/model_3", "data=image_folder", f"data.root={REAL_DATA}", f"outputs={outputs}"]
    overrides += ["data.train_size=4000", "data.val_size=500", "trainer.epochs=2", "trainer.precision=fp32"]
    overrides += ["trainer.threads=1", "analysis.pictures=false", "analysis.log_model=false"]
    cifar_sweeps.run(cifar_sweeps.compose(overrides), name="small", progress=False)
    return open_trained_run("small", Store.open(outputs))


def test_test_images_as_files_get_the_probabilities_that_were_recorded(run, tmp_path):
    shown = []
    for label, name in enumerate(CLASSES):
        (tmp_path / name).mkdir()
        files = sorted((Path(REAL_DATA) / "test" / name).iterdir())
        for number in range(0, 1000, 100):
            (tmp_path / name / files[number].name).symlink_to(files[number])
            shown.append(label * 1000 + number)
    found = predict([run], [str(tmp_path)])
    np.testing.assert_allclose(found.probabilities, run.predictions.probabilities[shown], atol=1e-5)
    assert found.accuracy == run.predictions.correct[shown].mean()
    assert not any(found.changes)


def sky(width, height):
    rows = np.linspace((90, 140, 220), (190, 215, 245), height)[:, None, :]
    return Image.fromarray(np.broadcast_to(rows, (height, width, 3)).astype(np.uint8))


def airplane():
    image = sky(640, 480)
    pen = ImageDraw.Draw(image)
    pen.ellipse((90, 210, 560, 275), fill=(235, 235, 240))
    pen.polygon([(280, 245), (420, 380), (460, 380), (380, 240)], fill=(180, 185, 195))
    pen.polygon([(95, 240), (60, 160), (100, 160), (150, 220)], fill=(70, 80, 150))
    return image


def ship():
    image = sky(480, 480)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 300, 480, 480), fill=(40, 80, 120))
    pen.polygon([(40, 270), (440, 270), (390, 350), (90, 350)], fill=(50, 50, 60))
    pen.rectangle((160, 200, 320, 270), fill=(240, 240, 240))
    return image


def automobile():
    image = sky(600, 400)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 280, 600, 400), fill=(110, 110, 110))
    pen.rounded_rectangle((70, 190, 530, 300), 30, fill=(200, 20, 20))
    pen.polygon([(160, 195), (220, 120), (390, 120), (460, 195)], fill=(60, 80, 100))
    for x in (160, 440):
        pen.ellipse((x - 45, 255, x + 45, 345), fill=(20, 20, 20))
    return image


def truck():
    image = sky(900, 300)
    pen = ImageDraw.Draw(image)
    pen.rectangle((80, 60, 600, 235), fill=(240, 240, 235))
    pen.rectangle((610, 110, 780, 235), fill=(30, 90, 170))
    for x in (160, 260, 560, 720):
        pen.ellipse((x - 38, 200, x + 38, 276), fill=(15, 15, 15))
    return image


def frog():
    image = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.ellipse((50, 90, 210, 220), fill=(70, 140, 50, 255))
    for x in (70, 145):
        pen.ellipse((x, 60, x + 45, 110), fill=(80, 150, 60, 255))
        pen.ellipse((x + 13, 70, x + 32, 95), fill=(10, 10, 10, 255))
    return image


def test_drawn_pictures_get_an_answer_and_a_word_of_caution(run, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    airplane().filter(ImageFilter.GaussianBlur(1.5)).save(tmp_path / "airplane.jpg")
    automobile().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "automobile.jpg", exif=exif)
    frog().save(tmp_path / "frog.png")
    ship().save(tmp_path / "ship.bmp")
    truck().save(tmp_path / "truck.webp")
    found = predict([run], [str(tmp_path)])
    assert found.classes == CLASSES
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
    assert [each.size for each in found.pictures] == [(640, 480), (600, 400), (256, 256), (480, 480), (900, 300)]
    assert "turned by EXIF" in found.changes[1]
    assert "transparent" in found.changes[2]
    assert any("has only seen images of 32×32; 5 of 5 are" in note for note in found.notes)
    # Blue above, something bright or dark in the middle: even a net of two epochs sees sky or sea.
    likely = [{CLASSES[one] for one in np.argsort(-row)[:2]} for row in found.probabilities]
    assert likely[0] <= {"airplane", "ship", "bird"}
    assert likely[3] <= {"airplane", "ship", "bird"}
