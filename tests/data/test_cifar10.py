"""CIFAR-10's own files: read in their order without a network, or downloaded and checked; never run."""

import hashlib
import io
import os
import pickle
import shutil
import struct
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from cifar_sweeps.data import load_cifar10
from cifar_sweeps.data.cifar10 import FOLDER, TEST_FILES, TRAIN_FILES
from cifar_sweeps.errors import DataError

FILES = (*TRAIN_FILES, *TEST_FILES)
COUNT = 12  # images a batch


def pixels(number):
    """(COUNT, 3, 32, 32) uint8 of the file with this number."""
    return np.random.default_rng(number).integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8)


def labels(number):
    return [(number + image) % 10 for image in range(COUNT)]


class Python2Pickler(pickle._Pickler):
    """Pickles as Python 2 did, with which the published batches were made: text and bytes are one thing."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, value):
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<I", len(content)) + content)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def as_published(batch):
    """Return the batch's pickle in the format of the published files."""
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(batch)
    # NumPy's module was still called so.
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def write_batches(root):
    """Write what the published archive holds, but with small batches."""
    folder = root / FOLDER
    folder.mkdir(parents=True)
    for number, name in enumerate(FILES):
        batch = {
            "data": pixels(number).reshape(COUNT, 3072),
            "labels": labels(number),
            "batch_label": f"training batch {number + 1} of 5",
            "filenames": [f"{image}.png" for image in range(COUNT)],
        }
        (folder / name).write_bytes(as_published(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"num_vis": 3072}, protocol=2))
    return folder


@pytest.fixture
def batches(tmp_path):
    return write_batches(tmp_path / "root")


@pytest.fixture
def load(tmp_path):
    return partial(load_cifar10, root=tmp_path / "root", cache=tmp_path / "cache")


class Counting(SimpleHTTPRequestHandler):
    """Serves a folder, and counts what was fetched."""

    def do_GET(self):
        self.server.fetched += 1
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server with an archive of small batches, to which torchvision's address leads."""
    site = tmp_path / "site"
    unpacked = write_batches(site)
    archive = site / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(unpacked, arcname=FOLDER)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Counting, directory=str(site))) as server:
        server.fetched, server.archive = 0, archive
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def no_network(monkeypatch):
    """A URL at which no server listens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:1/{CIFAR10.filename}")


def is_whole(data):
    expected = np.concatenate([pixels(number) for number in range(5)])
    return np.array_equal(data.train.images.numpy(), expected) and np.array_equal(data.test.images.numpy(), pixels(5))


@pytest.mark.usefixtures("batches", "no_network")
def test_batches_that_are_there_are_read_in_their_order(load):
    data = load()
    assert is_whole(data)
    assert data.train.labels.tolist() == [label for number in range(5) for label in labels(number)]
    assert data.test.labels.tolist() == labels(5)
    assert (data.name, data.original_order, len(data.classes)) == ("CIFAR-10", True, 10)
    assert data.train.images.is_contiguous(memory_format=torch.channels_last)
    assert load().fingerprint == data.fingerprint


@pytest.mark.usefixtures("no_network")
def test_batches_that_were_pickled_anew_are_read(load, batches):
    """A copy that Python 3 has written holds other opcodes and newer names."""
    for number, name in enumerate(FILES):
        content = {"data": pixels(number).reshape(COUNT, 3072), "labels": labels(number)}
        (batches / name).write_bytes(pickle.dumps(content, protocol=2 if number % 2 else 4))
    assert is_whole(load())


@pytest.mark.usefixtures("no_network")
def test_changed_batches_make_a_new_cache(load, batches):
    load()
    shutil.copy(batches / "data_batch_2", batches / "data_batch_1")
    assert np.array_equal(load().train.images[:COUNT].numpy(), pixels(1))


@pytest.mark.usefixtures("no_network")
def test_a_changed_test_batch_makes_a_new_cache(load, batches):
    load()
    shutil.copy(batches / "data_batch_2", batches / "test_batch")
    assert np.array_equal(load().test.images.numpy(), pixels(1))


@pytest.mark.usefixtures("batches", "no_network")
def test_classes_are_in_the_order_of_the_published_labels(load):
    published = "airplane automobile bird cat deer dog frog horse ship truck"  # label_names of batches.meta
    assert " ".join(load().classes) == published


def test_download(load, server, tmp_path):
    assert is_whole(load())
    once = server.fetched
    assert is_whole(load())
    assert server.fetched == once > 0
    assert not list((tmp_path / "root").glob(".unpacking*"))


def test_two_at_once_download_once(load, server):
    found = []
    threads = [threading.Thread(target=lambda: found.append(is_whole(load()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert found == [True, True]
    assert server.fetched <= 2  # torchvision asks where the address leads, and then for the file


def test_an_archive_that_is_there_is_not_fetched(load, server, tmp_path):
    (tmp_path / "root").mkdir()
    shutil.copy(server.archive, tmp_path / "root")
    assert is_whole(load())
    assert server.fetched == 0


def test_a_download_with_another_checksum_is_refused(load, server, monkeypatch, tmp_path):
    monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(DataError, match="cannot be downloaded"):
        load()
    assert not (tmp_path / "root" / FOLDER).exists()


@pytest.mark.usefixtures("no_network")
def test_an_archive_that_is_not_the_published_one_is_not_unpacked(load, tmp_path):
    (tmp_path / "root").mkdir()
    with tarfile.open(tmp_path / "root" / CIFAR10.filename, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
        link = tarfile.TarInfo(FOLDER)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    with pytest.raises(DataError, match="cannot be downloaded"):
        load()
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "root" / FOLDER).is_symlink()


@pytest.mark.usefixtures("no_network")
def test_without_network_the_error_names_the_alternatives(load, tmp_path):
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert f"cannot be downloaded to {tmp_path / 'root'}" in message
    for way in ("cifar-10-python.tar.gz", f"unpack it in {tmp_path / 'root'}", "data=image_folder", "data=synthetic"):
        assert way in message


def test_no_download_where_it_is_not_wanted(load, server):
    with pytest.raises(DataError, match=r"no such folder, and data\.source\.download=false.*unpack it in"):
        load(download=False)
    assert server.fetched == 0


@pytest.mark.usefixtures("no_network")
def test_a_root_that_cannot_be_written(load, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be downloaded"):
        load(root=tmp_path / "file" / "root")


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_4", "test_batch"])
def test_a_missing_batch_is_named(load, batches, name):
    (batches / name).unlink()
    with pytest.raises(DataError, match=f"{name}: is missing.*remove {batches}"):
        load()


def _pickled(**changes):
    batch = {"data": pixels(0).reshape(COUNT, 3072), "labels": labels(0)}
    return pickle.dumps({**batch, **changes}, protocol=2)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>",
        _pickled()[:-100],
        pickle.dumps([1, 2]),
        pickle.dumps({"data": 1}),
        _pickled(labels=[0] * (COUNT - 1)),
        _pickled(labels=[10] * COUNT),
        _pickled(data=np.zeros((COUNT, 3072))),
        _pickled(data=np.zeros((0, 3072), dtype=np.uint8), labels=[]),
    ],
    ids=[
        "empty",
        "a page of the web",
        "truncated",
        "a list",
        "no labels",
        "a label short",
        "labels beyond 9",
        "pixels of floats",
        "no images",
    ],
)
def test_a_damaged_batch_is_named(load, batches, content):
    (batches / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=f"data_batch_3: is damaged.*remove {batches}"):
        load()


class _Malicious:
    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_batch_is_refused_and_not_run(load, batches, tmp_path, protocol):
    content = pickle.dumps({"data": _Malicious(tmp_path / "was_run"), "labels": [0]}, protocol=protocol)
    (batches / "data_batch_1").write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_1: is damaged \(it names (posix|nt)\.mkdir"):
        load()
    assert not (tmp_path / "was_run").exists()
