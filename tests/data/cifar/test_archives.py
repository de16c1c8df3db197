"""The published files of CIFAR-10 and CIFAR-100: read in their order without a network, or downloaded; never run."""

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
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from cifar_sweeps.data import load_cifar10, load_cifar100
from cifar_sweeps.errors import ConfigError, DataError

COUNT = 12  # images a file
TEN = SimpleNamespace(
    folder="cifar-10-batches-py",
    train=[f"data_batch_{number}" for number in range(1, 6)],
    test="test_batch",
    meta="batches.meta",
    load=load_cifar10,
    published=CIFAR10,
    name="CIFAR-10",
    labels="labels",
    classes=10,
)
FINE = SimpleNamespace(
    folder="cifar-100-python",
    train=["train"],
    test="test",
    meta="meta",
    load=load_cifar100,
    published=CIFAR100,
    name="CIFAR-100",
    labels="fine_labels",
    classes=100,
)
COARSE = SimpleNamespace(
    **{
        **vars(FINE),
        "load": partial(load_cifar100, labels="coarse"),
        "name": "CIFAR-100 (20 coarse classes)",
        "labels": "coarse_labels",
        "classes": 20,
    }
)
NAMES = {kind: [f"{kind} {number}" for number in range(count)] for kind, count in (("fine", 100), ("coarse", 20))}


def pixels(number):
    """(COUNT, 3, 32, 32) uint8 of the file with this number."""
    return np.random.default_rng(number).integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8)


def labels(number, classes=10):
    """The labels of the file with this number: the last of the classes is among them."""
    return [(classes - 1 + number + 7 * image) % classes for image in range(COUNT)]


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


def content(kind, number):
    """What the file with this number holds."""
    if kind is TEN:
        own = {"labels": labels(number), "batch_label": f"training batch {number + 1} of 5"}
    else:
        own = {"fine_labels": labels(number, 100), "coarse_labels": labels(number, 20), "batch_label": "training batch"}
    own["filenames"] = [f"{image}.png" for image in range(COUNT)]
    return {"data": pixels(number).reshape(COUNT, 3072), **own}


def write_files(kind, root):
    """Write what the published archive holds, but with few images."""
    folder = root / kind.folder
    folder.mkdir(parents=True)
    for number, name in enumerate((*kind.train, kind.test)):
        (folder / name).write_bytes(as_published(content(kind, number)))
    names = {f"{each}_label_names": NAMES[each] for each in NAMES}
    (folder / kind.meta).write_bytes(as_published({"num_vis": 3072} if kind is TEN else names))
    return folder


@pytest.fixture(params=[TEN, FINE, COARSE], ids=lambda kind: kind.name)
def kind(request):
    return request.param


@pytest.fixture
def batches(tmp_path, kind):
    return write_files(kind, tmp_path / "root")


@pytest.fixture
def load(tmp_path, kind):
    return partial(kind.load, root=tmp_path / "root", cache=tmp_path / "cache")


class Counting(SimpleHTTPRequestHandler):
    """Serves a folder, and counts what was fetched."""

    def do_GET(self):
        self.server.fetched += 1
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch, kind):
    """A server with an archive of few images, to which torchvision's address leads."""
    site = tmp_path / "site"
    unpacked = write_files(kind, site)
    archive = site / kind.published.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(unpacked, arcname=kind.folder)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(kind.published, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Counting, directory=str(site))) as server:
        server.fetched, server.archive = 0, archive
        monkeypatch.setattr(kind.published, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def no_network(monkeypatch, kind):
    """A URL at which no server listens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(kind.published, "url", f"http://127.0.0.1:1/{kind.published.filename}")


def is_whole(data, kind):
    last = len(kind.train)
    expected = np.concatenate([pixels(number) for number in range(last)])
    same = np.array_equal(data.train.images.numpy(), expected)
    return same and np.array_equal(data.test.images.numpy(), pixels(last))


@pytest.mark.usefixtures("batches", "no_network")
def test_files_that_are_there_are_read_in_their_order(load, kind):
    data, last = load(), len(kind.train)
    assert is_whole(data, kind)
    expected = [label for number in range(last) for label in labels(number, kind.classes)]
    assert data.train.labels.tolist() == expected
    assert data.test.labels.tolist() == labels(last, kind.classes)
    assert (data.name, data.original_order, len(data.classes)) == (kind.name, kind is TEN, kind.classes)
    assert data.train.images.is_contiguous(memory_format=torch.channels_last)
    assert load().fingerprint == data.fingerprint


@pytest.mark.usefixtures("no_network")
def test_files_that_were_pickled_anew_are_read(load, batches, kind):
    """A copy that Python 3 has written holds other opcodes and newer names."""
    for number, name in enumerate((*kind.train, kind.test)):
        (batches / name).write_bytes(pickle.dumps(content(kind, number), protocol=2 if number % 2 else 4))
    assert is_whole(load(), kind)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("side", ["train", "test"])
def test_changed_files_make_a_new_cache(load, batches, kind, side):
    load()
    name = kind.train[0] if side == "train" else kind.test
    (batches / name).write_bytes(as_published(content(kind, 9)))
    assert np.array_equal(getattr(load(), side).images[:COUNT].numpy(), pixels(9))


@pytest.mark.usefixtures("batches", "no_network")
def test_classes_are_in_the_order_of_the_published_labels(load, kind):
    label_names = "airplane automobile bird cat deer dog frog horse ship truck"  # of batches.meta
    published = label_names.split(" ")
    assert list(load().classes) == (published if kind is TEN else NAMES[kind.labels.removesuffix("_labels")])


def test_download(load, server, tmp_path, kind):
    assert is_whole(load(), kind)
    once = server.fetched
    assert is_whole(load(), kind)
    assert server.fetched == once > 0
    assert not list((tmp_path / "root").glob(".unpacking*"))


def test_two_at_once_download_once(load, server, kind):
    found = []
    threads = [threading.Thread(target=lambda: found.append(is_whole(load(), kind))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert found == [True, True]
    assert server.fetched <= 2  # torchvision asks where the address leads, and then for the file


def test_what_another_process_was_unpacking_when_it_was_killed_is_not_read(load, server, tmp_path, kind):
    torn = tmp_path / "root" / ".unpacking-k1ll3d" / kind.folder
    torn.mkdir(parents=True)
    (torn / kind.train[0]).write_bytes(b"half of it")
    assert is_whole(load(), kind)
    assert not list((tmp_path / "root").glob(".unpacking*"))


def test_an_archive_that_is_there_is_not_fetched(load, server, tmp_path, kind):
    (tmp_path / "root").mkdir()
    shutil.copy(server.archive, tmp_path / "root")
    assert is_whole(load(), kind)
    assert server.fetched == 0


def test_a_download_with_another_checksum_is_refused(load, server, monkeypatch, tmp_path, kind):
    monkeypatch.setattr(kind.published, "tgz_md5", "0" * 32)
    with pytest.raises(DataError, match="cannot be downloaded"):
        load()
    assert not (tmp_path / "root" / kind.folder).exists()


@pytest.mark.usefixtures("no_network")
def test_an_archive_that_is_not_the_published_one_is_not_unpacked(load, tmp_path, kind):
    (tmp_path / "root").mkdir()
    with tarfile.open(tmp_path / "root" / kind.published.filename, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
        link = tarfile.TarInfo(kind.folder)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    with pytest.raises(DataError, match="cannot be downloaded"):
        load()
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "root" / kind.folder).is_symlink()


@pytest.mark.usefixtures("no_network")
def test_without_network_the_error_names_the_alternatives(load, tmp_path, kind):
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert f"cannot be downloaded to {tmp_path / 'root'}" in message
    for way in (kind.published.filename, f"unpack it in {tmp_path / 'root'}", "data=image_folder", "data=synthetic"):
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


@pytest.mark.parametrize("number", [0, -1], ids=["a training file", "the test file"])
def test_a_missing_file_is_named(load, batches, kind, number):
    name = [*kind.train, kind.test][number]
    (batches / name).unlink()
    with pytest.raises(DataError, match=f"{name}: is missing.*remove {batches}"):
        load()


DAMAGES = {
    "empty": lambda whole: b"",
    "a page of the web": lambda whole: b"<html>not found</html>",
    "truncated": lambda whole: pickle.dumps(whole, protocol=2)[:-100],
    "a list": lambda whole: pickle.dumps([1, 2]),
    "no labels": lambda whole: pickle.dumps({"data": 1}),
    "a label short": lambda whole: pickle.dumps(
        {key: value if key in ("data", "batch_label") else value[:-1] for key, value in whole.items()}
    ),
    "labels beyond the last": lambda whole: pickle.dumps(
        {key: [100] * COUNT if key.endswith("labels") else value for key, value in whole.items()}
    ),
    "pixels of floats": lambda whole: pickle.dumps({**whole, "data": np.zeros((COUNT, 3072))}),
    "no images": lambda whole: pickle.dumps(
        {"data": np.zeros((0, 3072), dtype=np.uint8), **{key: [] for key in whole if key != "data"}}
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(load, batches, kind, damage):
    name = kind.train[-1]
    (batches / name).write_bytes(DAMAGES[damage](content(kind, 0)))
    with pytest.raises(DataError, match=f"{name}: is damaged.*remove {batches}"):
        load()


class _Malicious:
    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_batch_is_refused_and_not_run(load, batches, tmp_path, protocol, kind):
    bad = {"data": _Malicious(tmp_path / "was_run"), kind.labels: [0]}
    (batches / kind.train[0]).write_bytes(pickle.dumps(bad, protocol=protocol))
    with pytest.raises(DataError, match=rf"{kind.train[0]}: is damaged \(it names (posix|nt)\.mkdir"):
        load()
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    "names",
    [
        {"coarse_label_names": NAMES["coarse"]},
        {"fine_label_names": NAMES["fine"][:99]},
        {"fine_label_names": ["a"] * 100},
    ],
    ids=["missing", "one short", "the same"],
)
@pytest.mark.parametrize("kind", [FINE], indirect=True, ids=["fine"])
def test_damaged_class_names_are_told(load, batches, names):
    (batches / "meta").write_bytes(pickle.dumps(names))
    with pytest.raises(DataError, match=f"meta: is damaged.*fine_label_names.*remove {batches}"):
        load()


@pytest.mark.usefixtures("batches", "no_network")
def test_the_files_own_folder_may_be_given(load, kind, tmp_path):
    data = load(root=tmp_path / "root" / kind.folder)
    assert is_whole(data, kind)
    assert "are used" in data.notes[0]


@pytest.mark.parametrize(
    ("kind", "other", "advice"),
    [(TEN, "cifar-100-python", "use data=cifar100"), (FINE, "cifar-10-batches-py", "use data=cifar10")],
    indirect=["kind"],
    ids=["CIFAR-10", "CIFAR-100"],
)
@pytest.mark.usefixtures("no_network")
def test_the_other_archive_is_not_taken_for_this_one(load, kind, tmp_path, other, advice):
    (tmp_path / "root" / other).mkdir(parents=True)
    with pytest.raises(DataError, match=f"holds CIFAR-.*{kind.folder}.*{advice}"):
        load()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("kind", [FINE], indirect=True, ids=["fine"])
def test_a_file_that_is_only_called_train_is_not_cifar_100(load, tmp_path):
    """What says to remove the folder would else speak of a folder of other things."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "train").touch()
    with pytest.raises(DataError, match="cannot be downloaded"):
        load()


@pytest.mark.usefixtures("batches", "no_network")
@pytest.mark.parametrize("kind", [FINE], indirect=True, ids=["fine"])
def test_fine_and_coarse_labels_are_two_data_sets_of_the_same_images(load):
    fine, coarse = load(), load(labels="coarse")
    assert torch.equal(fine.train.images, coarse.train.images)
    assert fine.fingerprint != coarse.fingerprint
    with pytest.raises(ConfigError, match=r"data\.labels=both: must be fine .* or coarse"):
        load(labels="both")
