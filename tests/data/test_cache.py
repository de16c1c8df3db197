"""A data set is made once, mapped into memory by whoever needs it, and made anew when its file is damaged."""

import multiprocessing
import resource
from pathlib import Path

import pytest
import torch
from data_toys import labelled

from cifar_sweeps.data.cache import cached_dataset
from cifar_sweeps.errors import DataError

CLASSES = ("ant", "bee")


class Maker:
    """Makes a data set, and counts how often in a file, so that other processes' calls count as well."""

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls"

    def __call__(self):
        with self._calls.open("a") as file:
            file.write("x")
        return labelled(20, classes=2, seed=1), labelled(10, classes=2, seed=2), CLASSES

    @property
    def calls(self):
        return len(self._calls.read_text()) if self._calls.exists() else 0


@pytest.fixture
def make(tmp_path):
    return Maker(tmp_path)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "cache"


def load(folder, make, key="key", name="toys"):
    return cached_dataset(folder, name=name, key=key, original_order=True, build=make)


def the_file(folder):
    (path,) = folder.glob("*.pt")
    return path


def test_what_was_made_comes_back(folder, make):
    for _ in range(2):
        data = load(folder, make)
        assert torch.equal(data.train.images, labelled(20, classes=2, seed=1).images)
        assert torch.equal(data.test.images, labelled(10, classes=2, seed=2).images)
        assert torch.equal(data.train.labels, torch.arange(20) % 2)
        assert (data.name, data.classes, data.original_order) == ("toys", CLASSES, True)
        assert data.train.images.is_contiguous(memory_format=torch.channels_last)
    assert make.calls == 1


def test_another_key_is_another_file(folder, make):
    load(folder, make, key="one")
    load(folder, make, key="two")
    load(folder, make, key="one", name="others")
    assert make.calls == 3
    assert len(list(folder.glob("*.pt"))) == 3


def test_fingerprint_tells_images_labels_and_classes_apart(folder, make):
    def fingerprint(key, **changes):
        train, test, classes = make()
        made = (changes.get("train", train), changes.get("test", test), changes.get("classes", classes))
        return load(folder, lambda: made, key=key).fingerprint

    first = fingerprint("a")
    assert len(first) == 16
    assert fingerprint("b") == first
    others = [
        fingerprint("c", train=labelled(20, classes=2, seed=3)),
        fingerprint("d", test=labelled(10, classes=1, seed=2)),
        fingerprint("e", classes=("ant", "cow")),
    ]
    assert len({first, *others}) == 4


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists what a process has mapped")
def test_pages_are_those_of_the_file(folder, make):
    data = load(folder, make)
    path = the_file(folder)
    assert str(path) in Path("/proc/self/maps").read_text()
    before = path.read_bytes()
    data.train.images.zero_()  # a process that writes has pages of its own from then on
    assert path.read_bytes() == before


def _load_at_once(folder, make, start):
    start.wait()
    assert load(folder, make).train.images.shape == (20, 3, 8, 8)


def test_two_processes_at_once_make_it_once(folder, make):
    fork = multiprocessing.get_context("fork")  # spares importing torch twice
    start = fork.Barrier(2)
    processes = [fork.Process(target=_load_at_once, args=(folder, make, start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert make.calls == 1


def _flipped(content, place):
    damaged = bytearray(content)
    damaged[place] ^= 0x10
    return bytes(damaged)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: b"\0" * len(content),
        lambda content: b"no archive at all",
        lambda content: _flipped(content, -22),
        lambda content: _flipped(content, -60),
        lambda content: content.replace(b"train_labels", b"train_lapels"),
    ],
    ids=["empty", "half", "a byte short", "zeros", "text", "flip in the end record", "flip in the directory", "key"],
)
def test_a_damaged_file_is_made_anew(folder, make, damage, caplog):
    whole = load(folder, make).fingerprint
    path = the_file(folder)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert load(folder, make).fingerprint == whole
    assert make.calls == 2
    assert f"{path}: damaged" in caplog.text
    load(folder, make)
    assert make.calls == 2


@pytest.mark.parametrize("held", [[1, 2], {"facts": "{}"}, {"facts": "[]"}, {}], ids=repr)
def test_another_archive_is_made_anew(folder, make, held):
    load(folder, make)
    torch.save(held, the_file(folder))
    assert load(folder, make).classes == CLASSES
    assert make.calls == 2


def test_a_failure_to_make_it_leaves_nothing(folder, make):
    def fail():
        raise DataError("cat.jpg: is damaged")

    with pytest.raises(DataError, match=r"cat\.jpg"):
        load(folder, fail)
    assert list(folder.glob("*.pt")) == []
    load(folder, make)


def test_a_folder_that_cannot_be_written(tmp_path, make):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cache cannot be written.*outputs=FOLDER"):
        load(tmp_path / "file" / "cache", make)


def test_a_full_disk(folder, make):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(DataError, match="cache cannot be written"):
            load(folder, make)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.suffix for path in folder.iterdir()] == [".lock"]
