"""A made folder of pictures whose every oddity is known."""

import itertools

import numpy as np
from PIL import Image

SIZE = 24


def scene(number, height=SIZE, width=SIZE):
    """(h, w, 3) uint8: blocks of colours, with detail; each number another."""
    draw = np.random.default_rng(number)
    coarse = draw.integers(30, 226, (height // 4, width // 4, 3)).repeat(4, axis=0).repeat(4, axis=1)
    return np.clip(coarse + draw.integers(-25, 26, coarse.shape), 0, 255).astype(np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def write_pictures(root):
    """Write two classes, cat and dog, with 8 plain training and 3 test pictures each, and what is odd among them.

    Training: cat/transparent.png, cat/turned.jpg, dog/grey.png, dog/large.png, dog/plain.png (one colour),
    dog/again.png (cat/0.png, so a duplicate under another label), cat/close.png (cat/1.png, brighter).
    Test: cat/leak.png (training's cat/2.png), dog/close.png (training's dog/3.png, of less contrast).
    """
    for side, label, count in (("train", "cat", 8), ("train", "dog", 8), ("test", "cat", 3), ("test", "dog", 3)):
        for number in range(count):
            seed = number + 100 * ["train", "test"].index(side) + 50 * ["cat", "dog"].index(label)
            save(root / side / label / f"{number}.png", scene(seed))
    train, test = root / "train", root / "test"
    alpha = np.full((SIZE, SIZE, 1), 255, np.uint8)
    alpha[:, : SIZE // 2] = 0
    save(train / "cat" / "transparent.png", np.dstack([scene(1001), alpha]))
    exif = Image.Exif()
    exif[0x0112] = 6
    save(train / "cat" / "turned.jpg", scene(1002, 24, 32), exif=exif)  # 32 wide as stored, 24 as shown
    save(train / "dog" / "grey.png", scene(1003)[..., 0])
    save(train / "dog" / "large.png", scene(1004, 48, 48))
    save(train / "dog" / "plain.png", np.full((SIZE, SIZE, 3), (200, 30, 60), np.uint8))
    save(train / "dog" / "again.png", scene(0))
    save(train / "cat" / "close.png", np.clip(scene(1).astype(int) + 12, 0, 255).astype(np.uint8))
    save(test / "cat" / "leak.png", scene(2))
    save(test / "dog" / "close.png", (scene(53) * 0.8 + 20).astype(np.uint8))
    return root


def write_classes(root, classes, train, test, size=(8, 8)):
    """Write noise of ``size`` for each of many classes."""
    for side, count in (("train", train), ("test", test)):
        for label, number in itertools.product(range(classes), range(count)):
            save(root / side / f"class {label:03}" / f"{number}.png", scene([side == "test", label, number], *size))
    return root
