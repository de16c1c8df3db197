import json
import os
import subprocess
import sys

import pytest

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal import Journal


def write(folder, *values):
    writer = Journal(folder)
    for value in values:
        writer.append("tags", values={"key": value})
    writer.close()


def values(folder):
    return [entry.fields["values"]["key"] for entry in journal.read(folder)]


@pytest.mark.parametrize("torn", [b'{"op": "tags", "ti', b'{"op": "tags"}\n', b"\x00\x00\n", b"[]\n", b"\n"])
def test_a_torn_last_line_is_ignored_and_cut_off_when_writing_resumes(tmp_path, torn):
    write(tmp_path, "a", "b")
    with (tmp_path / journal.NAME).open("ab") as file:
        file.write(torn)
    assert values(tmp_path) == ["a", "b"]
    write(tmp_path, "c")
    assert values(tmp_path) == ["a", "b", "c"]
    assert [entry.number for entry in journal.read(tmp_path)] == [1, 2, 3]
    for line in (tmp_path / journal.NAME).read_text().splitlines():
        json.loads(line)


def test_any_text_is_one_line(tmp_path):
    text = "two\nlines, \u2028 and \u202e right to left, \x00 and \U0001f600"
    write(tmp_path, text)
    assert values(tmp_path) == [text]
    assert len((tmp_path / journal.NAME).read_bytes().splitlines()) == 1


def test_only_one_process_writes_and_a_dead_one_holds_no_lock(tmp_path):
    holder = (
        "import sys, time; from pathlib import Path; from cifar_sweeps.tracking.journal import Journal;"
        "writer = Journal(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holder, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    assert journal.is_locked(tmp_path)
    with pytest.raises(TrackingError, match="another process is writing this run"):
        Journal(tmp_path)
    process.kill()
    process.wait()
    assert not journal.is_locked(tmp_path)
    write(tmp_path, "mine")


def test_a_full_disk_leaves_complete_lines(tmp_path, monkeypatch):
    writer = Journal(tmp_path)
    writer.append("tags", values={"key": "a"})
    os_write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: os_write(file, line[:5]))
    with pytest.raises(TrackingError, match="No space left"):
        writer.append("tags", values={"key": "b"})
    monkeypatch.undo()
    writer.append("tags", values={"key": "c"})
    writer.close()
    assert values(tmp_path) == ["a", "c"]


def test_journals_are_found_and_a_closed_one_is_recognized(tmp_path):
    for name, ops in {"sweep": ["tags"], "sweep/0": ["tags", "close"], "sweep/1": ["close", "tags"]}.items():
        (tmp_path / name).mkdir()
        writer = Journal(tmp_path / name)
        for op in ops:
            writer.append(op, values={}, state="FINISHED", reason="")
        writer.close()
    found = list(journal.folders(tmp_path))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["sweep", "sweep/0", "sweep/1"]
    assert [journal.is_closed(path) for path in found] == [False, True, False]
