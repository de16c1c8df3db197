import json

import pytest

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.sweeps.engines.ray.actor import Report
from cifar_sweeps.sweeps.engines.ray.mirror import FolderMirror
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal import Journal
from cifar_sweeps.tracking.journal_copy import JournalCopy

OPEN = b'{"op": "open", "time": 1, "identity": "a"}\n'
EPOCH = b'{"op": "metrics", "time": 2, "values": {"train/loss": 1.0}, "step": 1}\n'
ARTIFACT = b'{"op": "artifact", "time": 3, "path": "config.yaml", "folder": ""}\n'
CLOSE = b'{"op": "close", "time": 4, "state": "FINISHED", "reason": ""}\n'


class Node:
    """The files of a job on a node, which may be gone or changed when they are read."""

    def __init__(self, **files):
        self.files = {path.replace("__", "/"): content for path, content in files.items()}
        self.reads = []

    def read(self, path, offset):
        self.reads.append(path)
        content = self.files.get(path)
        return None if content is None else content[offset : offset + 4]

    def report(self, lines=b"", log=b"", exit_code=None, stamps=None):
        files = {path: (len(content), time) for time, (path, content) in enumerate(self.files.items())}
        return Report(exit_code, journal=lines, log=log, files=files | (stamps or {}))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def mirror(tmp_path):
    mirror = FolderMirror(tmp_path / "0", tmp_path / "0" / "run.log", "/tmp/job-x", Clock())
    yield mirror
    mirror.close()


def test_all_that_a_node_reports_is_here_and_its_own_folder_is_in_no_line(mirror, tmp_path):
    node = Node(**{"config.yaml": b"seed: 0\n", "plots__curves.png": b"0123456789"})
    line = b'{"op": "tags", "time": 1, "values": {"folder": "/tmp/job-x/home/me/outputs/0"}}\n'

    assert not mirror.update(node.report(OPEN + line, log=b"epoch 1\n"), node.read)
    assert mirror.update(node.report(), node.read)

    folder = tmp_path / "0"
    assert (folder / "config.yaml").read_bytes() == b"seed: 0\n"
    assert (folder / "plots" / "curves.png").read_bytes() == b"0123456789"
    assert (folder / "run.log").read_bytes() == b"epoch 1\n"
    assert journal.read(folder)[1].fields["values"] == {"folder": "/home/me/outputs/0"}
    assert (mirror.lines, mirror.log_bytes) == (2, 8)
    assert node.reads.count("config.yaml") == 2, "once, in two parts"


@pytest.mark.parametrize("line", [ARTIFACT, CLOSE], ids=["names the file", "ends the run"])
def test_a_line_waits_for_the_file_that_it_names(mirror, tmp_path, line):
    node = Node(**{"config.yaml": b"seed: 0\n"})
    longer = {"config.yaml": (9, 5)}  # it is being written again

    assert not mirror.update(node.report(OPEN + line, stamps=longer), node.read)
    assert mirror.lines == 0
    assert not (tmp_path / "0" / "config.yaml").exists(), "half of it"

    mirror.update(node.report(OPEN + line), node.read)
    assert mirror.lines == 2
    assert (tmp_path / "0" / "config.yaml").exists()


def test_a_checkpoint_is_removed_once_the_later_one_is_here(mirror, tmp_path):
    folder = tmp_path / "0" / "checkpoints"
    first = Node(**{"checkpoints__best-000001.pt": b"best", "checkpoints__resume-000001.pt": b"state one"})
    mirror.update(first.report(OPEN), first.read)
    assert sorted(path.name for path in folder.iterdir()) == ["best-000001.pt", "resume-000001.pt"]

    second = Node(**{"checkpoints__best-000001.pt": b"best", "checkpoints__resume-000002.pt": b"state two"})
    gone = second.report(EPOCH)
    content = second.files.pop("checkpoints/resume-000002.pt")
    mirror.update(gone, second.read)
    assert sorted(path.name for path in folder.iterdir()) == ["best-000001.pt", "resume-000001.pt"]

    second.files["checkpoints/resume-000002.pt"] = content
    mirror.update(second.report(), second.read)
    assert sorted(path.name for path in folder.iterdir()) == ["best-000001.pt", "resume-000002.pt"]


def test_checkpoints_that_are_slow_to_copy_are_copied_less_often_and_at_the_end(tmp_path):
    clock = Clock()

    def slowly(read):
        def read_part(path, offset):
            clock.now += 3
            return read(path, offset)

        return read_part

    mirror = FolderMirror(tmp_path, tmp_path / "run.log", "", clock)
    for epoch in range(1, 20):
        node = Node(**{f"checkpoints__resume-{epoch:06}.pt": b"state"})
        mirror.update(node.report(), slowly(node.read))
        clock.now += 5
    copied = clock.now - 19 * 5
    assert copied <= 0.11 * clock.now + 3
    assert copied >= 2 * 3

    node = Node(**{"checkpoints__last.pt": b"state"})
    mirror.update(node.report(CLOSE, exit_code=0), slowly(node.read))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.pt"]
    mirror.close()


def test_a_checkpoint_that_was_sent_is_not_copied_back(mirror, tmp_path):
    name = "resume-000001-0123456789abcdef.pt"
    folder = tmp_path / "0" / "checkpoints"
    folder.mkdir()
    (folder / name).write_bytes(b"state")
    node = Node(**{f"checkpoints__{name}": b"state"})

    mirror.update(node.report(), node.read)

    assert node.reads == []
    assert (folder / name).exists()


def test_the_nodes_folder_is_in_no_line_and_no_config_whatever_its_letters(tmp_path):
    root = '/tmp/B\u00fcro "7"/job-x'
    place = f"{root}/home/me/outputs/0"
    node = Node(**{"config.yaml": f"folder: {place}\n".encode()})
    line = json.dumps({"op": "tags", "time": 1, "values": {"folder": place}}).encode() + b"\n"
    mirror = FolderMirror(tmp_path, tmp_path / "run.log", root)
    mirror.update(node.report(OPEN + line), node.read)
    mirror.close()
    assert journal.read(tmp_path)[1].fields["values"] == {"folder": "/home/me/outputs/0"}
    assert (tmp_path / "config.yaml").read_text() == "folder: /home/me/outputs/0\n"


def test_a_path_outside_the_job_is_refused(mirror, tmp_path):
    node = Node(**{"..__other": b"x"})
    with pytest.raises(PermissionError, match="not in the folder"):
        mirror.update(node.report(), node.read)
    assert not (tmp_path / "other").exists()


def test_while_a_job_is_copied_no_other_command_takes_its_process_for_gone(mirror, tmp_path):
    mirror.update(Node().report(OPEN), Node().read)
    assert journal.is_locked(tmp_path / "0")
    with pytest.raises(TrackingError, match="another process"):
        Journal(tmp_path / "0")
    with pytest.raises(TrackingError, match="another process"):
        JournalCopy(tmp_path / "0")
    mirror.close()
    assert not journal.is_locked(tmp_path / "0")
    mirror._journal = JournalCopy(tmp_path / "0")


def test_what_was_added_to_the_copy_while_nobody_held_it_gives_way(tmp_path):
    (tmp_path / journal.NAME).write_bytes(OPEN + EPOCH + b'{"op": "close", "time": 9, "state": "KILLED"}\n{"op": "to')
    mirror = FolderMirror(tmp_path, tmp_path / "run.log", "")
    mirror.adopt(OPEN + EPOCH + ARTIFACT, 7)
    assert mirror.lines == 2
    mirror.update(Report(journal=ARTIFACT, log=b"more"), Node().read)
    mirror.close()
    assert (tmp_path / journal.NAME).read_bytes() == OPEN + EPOCH + ARTIFACT
    assert mirror.log_bytes == 11
