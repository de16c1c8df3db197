"""Each batched augmentation does to every image what a per-image reference, written another way, does to it."""

import inspect
import math

import numpy as np
import pytest
import torch
import yaml
from scipy import ndimage

import cifar_sweeps.data
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.data import FlipCrop, RotateShiftFlip, ShiftFlip, Unchanged
from cifar_sweeps.errors import ConfigError

ALL = [
    Unchanged(),
    FlipCrop(),
    FlipCrop(padding=2, flip=False),
    ShiftFlip(),
    ShiftFlip(shift=0.4, flip=False),
    RotateShiftFlip(),
    RotateShiftFlip(degrees=180, shift=0.25),
    RotateShiftFlip(degrees=0, shift=0, zoom=0.2, vertical_flip=True),
]
CHANGING = ALL[1:]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=24, size=32):
    return torch.rand((count, 3, size, size), generator=seeded(9))


def moves(augmentation, count, size):
    """Draws of each image, as Keras names them: theta in radians, tx, ty in pixels, mirrored, zx, zy, upside down.

    tx and zx are of rows, ty and zy of columns.
    """
    generator = seeded()
    unit = torch.rand((3, count), generator=generator).numpy() * 2 - 1
    mirrored = torch.rand(count, generator=generator).numpy() < 0.5 if augmentation.flip else np.zeros(count, bool)
    zoom = getattr(augmentation, "zoom", 0)
    zooms = 1 + zoom * (torch.rand((2, count), generator=generator).numpy() * 2 - 1) if zoom else np.ones((2, count))
    upright = not getattr(augmentation, "vertical_flip", False)
    upside = np.zeros(count, bool) if upright else torch.rand(count, generator=generator).numpy() < 0.5
    theta = unit[0] * math.radians(getattr(augmentation, "degrees", 0))
    tx, ty = unit[1:] * augmentation.shift * size
    return zip(theta, tx, ty, mirrored, *zooms, upside, strict=True)


def as_keras(image, theta, tx, ty, mirrored, zx, zy, upside):
    """Keras' apply_affine_transform (fill_mode='nearest', order=1), and its flips after it: (3, S, S) to the same."""
    cos, sin = math.cos(theta), math.sin(theta)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    shift = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    centre = image.shape[-1] / 2 - 0.5
    to_centre = np.array([[1, 0, centre], [0, 1, centre], [0, 0, 1]])
    zoom = np.diag([zx, zy, 1])
    matrix = to_centre @ rotation @ shift @ zoom @ np.linalg.inv(to_centre)
    channels = [
        ndimage.affine_transform(channel, matrix[:2, :2], matrix[:2, 2], order=1, mode="nearest") for channel in image
    ]
    return np.stack(channels)[..., :: -1 if upside else 1, :: -1 if mirrored else 1]


@pytest.mark.parametrize(
    "augmentation",
    [
        ShiftFlip(shift=0.1, flip=False),
        ShiftFlip(shift=0.5),
        RotateShiftFlip(degrees=20, shift=0.0, flip=False),
        RotateShiftFlip(degrees=20, shift=0.1),
        RotateShiftFlip(degrees=180, shift=0.3),
        RotateShiftFlip(degrees=0, shift=0.0, flip=False, zoom=0.3),
        RotateShiftFlip(degrees=0, shift=0.0, vertical_flip=True),
        RotateShiftFlip(degrees=30, shift=0.2, zoom=0.25, vertical_flip=True),
    ],
    ids=repr,
)
@pytest.mark.parametrize("size", [32, 9], ids=["32 pixels", "9 pixels"])
def test_moves_as_keras(augmentation, size):
    before = images(size=size)
    after = augmentation(before, seeded()).numpy()
    for image, moved, draw in zip(before.numpy(), after, moves(augmentation, len(before), size), strict=True):
        np.testing.assert_allclose(moved, as_keras(image, *draw), atol=2e-4)


@pytest.mark.parametrize("augmentation", [FlipCrop(), FlipCrop(padding=1), FlipCrop(flip=False), FlipCrop(0)], ids=repr)
def test_crops_as_a_slice_of_the_padded_image(augmentation):
    before, padding = images(size=12), augmentation.padding
    after = augmentation(before, seeded()).numpy()
    generator = seeded()
    tops, lefts = torch.randint(0, 2 * padding + 1, (2, len(before), 1), generator=generator).squeeze(2).tolist()
    mirrored = (torch.rand(len(before), generator=generator) < 0.5).tolist()
    for image, cropped, top, left, mirror in zip(before.numpy(), after, tops, lefts, mirrored, strict=True):
        padded = np.pad(image, [(0, 0), (padding, padding), (padding, padding)])
        window = padded[:, top : top + 12, left : left + 12]
        np.testing.assert_array_equal(cropped, window[..., ::-1] if mirror and augmentation.flip else window)


def test_flip_crop_draws_every_place():
    spot = torch.zeros((4000, 3, 9, 9))
    spot[:, :, 4, 4] = 1
    found = FlipCrop(padding=2, flip=False)(spot, seeded())[:, 0].nonzero()[:, 1:]
    assert len(found) == 4000
    assert {tuple(place) for place in found.tolist()} == {
        (row, column) for row in range(2, 7) for column in range(2, 7)
    }


@pytest.mark.parametrize("augmentation", CHANGING, ids=repr)
def test_each_image_has_a_draw_of_its_own(augmentation):
    same = images(1).repeat(16, 1, 1, 1)
    after = augmentation(same, seeded())
    assert len({image.numpy().tobytes() for image in after}) > 8


@pytest.mark.parametrize("augmentation", ALL, ids=repr)
def test_equal_generators_give_equal_images(augmentation):
    assert torch.equal(augmentation(images(), seeded(5)), augmentation(images(), seeded(5)))


@pytest.mark.parametrize("augmentation", CHANGING, ids=repr)
def test_other_generators_give_other_images(augmentation):
    assert not torch.equal(augmentation(images(), seeded(5)), augmentation(images(), seeded(6)))


@pytest.mark.parametrize("augmentation", ALL, ids=repr)
@pytest.mark.parametrize("count", [1, 7])
def test_shape_type_and_range_stay(augmentation, count):
    before = images(count)
    kept = before.clone()
    after = augmentation(before, seeded())
    assert after.shape == before.shape
    assert after.dtype == torch.float32
    assert after.min() >= 0
    assert after.max() <= 1 + 1e-6
    assert torch.equal(before, kept)


@pytest.mark.parametrize("augmentation", ALL, ids=repr)
def test_any_memory_format_gives_the_same(augmentation):
    after = augmentation(images().to(memory_format=torch.channels_last), seeded())
    assert torch.allclose(after, augmentation(images(), seeded()), atol=1e-6)


@pytest.mark.parametrize("augmentation", [FlipCrop(0), ShiftFlip(0.0), RotateShiftFlip(0.0, 0.0)], ids=repr)
def test_half_of_the_images_are_mirrored(augmentation):
    before = images(400, size=4)
    after = augmentation(before, seeded())
    is_kept = (after - before).abs().amax(dim=(1, 2, 3)) < 1e-5
    is_mirrored = (after - before.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert (is_kept ^ is_mirrored).all()
    assert 160 < is_mirrored.sum() < 240


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: FlipCrop(padding=-1), "augmentation.padding=-1"),
        (lambda: FlipCrop(padding=1.5), "augmentation.padding=1.5"),
        (lambda: FlipCrop(flip="no"), "augmentation.flip=no"),
        (lambda: ShiftFlip(shift=1.0), "augmentation.shift=1.0"),
        (lambda: ShiftFlip(shift=-0.1), "augmentation.shift=-0.1"),
        (lambda: ShiftFlip(shift=math.nan), "augmentation.shift=nan"),
        (lambda: ShiftFlip(flip=None), "augmentation.flip=None"),
        (lambda: RotateShiftFlip(degrees=181), "augmentation.degrees=181"),
        (lambda: RotateShiftFlip(degrees=-1), "augmentation.degrees=-1"),
        (lambda: RotateShiftFlip(degrees=math.nan), "augmentation.degrees=nan"),
        (lambda: RotateShiftFlip(zoom=1.0), "augmentation.zoom=1.0"),
        (lambda: RotateShiftFlip(zoom=-0.1), "augmentation.zoom=-0.1"),
        (lambda: RotateShiftFlip(zoom=math.nan), "augmentation.zoom=nan"),
        (lambda: RotateShiftFlip(vertical_flip="no"), "augmentation.vertical_flip=no"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_impossible_values_are_named(build, key):
    with pytest.raises(ConfigError, match=f"{key}: must be"):
        build()


def test_all_errors_come_at_once():
    with pytest.raises(ConfigError) as caught:
        RotateShiftFlip(degrees=-1, shift=2, flip=0)
    assert len(caught.value.errors) == 3


@pytest.mark.parametrize("option", ["none", "flip_crop", "shift_flip", "rotate_shift_flip"])
def test_options_of_the_config_name_every_argument(option):
    node = yaml.safe_load((conf_folder() / "augmentation" / f"{option}.yaml").read_text())
    builder = getattr(cifar_sweeps.data, node.pop("_target_").rpartition(".")[2])
    assert node.keys() == inspect.signature(builder).parameters.keys()
    assert builder(**node) == builder()
