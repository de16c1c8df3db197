"""Features of a frozen backbone: computed once, mapped by every reader, computed again when their file is damaged."""

import multiprocessing
from dataclasses import replace

import pytest
import torch
from data_toys import labelled

from cifar_sweeps.data.batches import EvalBatches, TrainBatches
from cifar_sweeps.data.frozen_features import Extractor, cached_features
from cifar_sweeps.errors import DataError

SIDE = labelled(40, size=4)
PIXELS = (SIDE.images.float() * (1 / 255)).flatten(1)
WIDTH = 3 * 4 * 4


def as_they_are(images):
    return images.flatten(1)


EXTRACTOR = Extractor("flat", "identity", WIDTH, torch.float32, as_they_are)
EVERY = torch.arange(40)


class Passes:
    """Batches of the side's images; notes in a file how many went through."""

    def __init__(self, folder):
        self._file = folder / "passes"

    def __call__(self, indices):
        with self._file.open("a") as file:
            file.write(f"{len(indices)} ")
        return EvalBatches(SIDE, indices, 16)

    @property
    def counts(self):
        return [int(count) for count in self._file.read_text().split()]


@pytest.fixture
def passes(tmp_path):
    return Passes(tmp_path)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "features"


def load(folder, passes, extractor=EXTRACTOR, key="key", used=EVERY):
    return cached_features(folder, extractor, key=key, labels=SIDE.labels, used=used, batches=passes)


def the_file(folder):
    (path,) = folder.glob("*.bin")
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_they_are_those_of_the_images_and_made_once(folder, passes, dtype):
    expected = PIXELS.to(dtype)
    for _ in range(2):
        held = load(folder, passes, replace(EXTRACTOR, dtype=dtype))
        assert held.features.dtype == dtype
        torch.testing.assert_close(held.features, expected)
        assert torch.equal(held.rows, EVERY)
    assert passes.counts == [40]


def test_another_identity_key_or_dtype_is_another_file(folder, passes):
    load(folder, passes)
    load(folder, passes, key="other")
    load(folder, passes, replace(EXTRACTOR, identity="other"))
    load(folder, passes, replace(EXTRACTOR, dtype=torch.bfloat16))
    assert len(list(folder.glob("*.bin"))) == 4


def test_another_split_of_most_images_shares_the_file(folder, passes):
    for used in (torch.arange(20), torch.arange(15, 40)):
        features = torch.cat([features for features, _ in EvalBatches(load(folder, passes, used=used), used, 16)])
        assert torch.equal(features, PIXELS[used])
    assert passes.counts == [40]


def test_a_run_that_reads_few_images_computes_only_their_features(folder, passes):
    used = torch.tensor([30, 7, 11])
    held = load(folder, passes, used=used)
    assert passes.counts == [3]
    (features, labels), *more = EvalBatches(held, used, 16)
    assert torch.equal(features, PIXELS[used])
    assert torch.equal(labels, SIDE.labels[used])
    assert more == []
    with pytest.raises(IndexError):
        list(EvalBatches(held, torch.tensor([0]), 16))


def test_runs_that_read_equally_many_images_get_the_features_of_their_own_images(folder, passes):
    for used in (torch.tensor([30, 7, 11]), torch.tensor([1, 2, 3])):
        (features, _), *_ = EvalBatches(load(folder, passes, used=used), used, 16)
        assert torch.equal(features, PIXELS[used])


def test_batches_are_shuffled_as_those_of_images(folder, passes):
    held = load(folder, passes)
    parts = (torch.arange(25), torch.arange(25, 40))
    of_images, of_features = (TrainBatches(data, parts, 8, seed=3, epochs_a_part=2) for data in (SIDE, held))
    for epoch in (1, 2, 3):
        assert of_images.steps(epoch) == of_features.steps(epoch)
        pairs = zip(of_images.epoch(epoch), of_features.epoch(epoch), strict=True)
        for (images, labels), (features, same_labels) in pairs:
            assert torch.equal(features, images.flatten(1))
            assert torch.equal(labels, same_labels)


def _load_at_once(folder, passes, start):
    start.wait()
    assert load(folder, passes).features.shape == (40, WIDTH)


def test_two_processes_at_once_make_them_once(folder, passes):
    fork = multiprocessing.get_context("fork")  # spares importing torch twice
    start = fork.Barrier(2)
    processes = [fork.Process(target=_load_at_once, args=(folder, passes, start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert passes.counts == [40]


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-1]], ids=["empty", "a byte short"])
def test_a_damaged_file_is_made_anew(folder, passes, damage, caplog):
    load(folder, passes)
    path = the_file(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert torch.equal(load(folder, passes).features, PIXELS)
    assert passes.counts == [40, 40]
    assert f"{path}: damaged" in caplog.text


def test_a_backbone_that_fails_leaves_nothing(folder, passes):
    def fail(images):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        load(folder, passes, replace(EXTRACTOR, apply=fail))
    assert [path.suffix for path in folder.iterdir()] == [".lock"]
    load(folder, passes)


def test_a_folder_that_cannot_be_written(tmp_path, passes):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"features cannot be written.*outputs=FOLDER"):
        load(tmp_path / "file" / "features", passes)
