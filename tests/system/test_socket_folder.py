import socket
import tempfile
from pathlib import Path

import pytest

from cifar_sweeps.errors import MachineError
from cifar_sweeps.system import socket_folder
from cifar_sweeps.system.socket_folder import find_socket_folder, sockets_in_temporary_folder


@pytest.mark.parametrize("name", ["short", "x" * 120, "é" * 50], ids=["short", "long", "long in bytes"])
def test_sockets_are_made_where_they_can_be(monkeypatch, name):
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="cs-") as base:
        given = Path(base, name)
        given.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(given))
        folder = find_socket_folder()
        assert (folder == str(given)) == (name == "short")
        with sockets_in_temporary_folder():
            private = tempfile.mkdtemp(prefix="pymp-")
            path = str(Path(private, "listener-12345678"))
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
            Path(path).unlink()
            Path(private).rmdir()
        assert tempfile.tempdir == str(given)  # large temporary files stay where they were wanted


def test_a_machine_without_a_place_for_sockets_is_told_what_to_set(monkeypatch):
    monkeypatch.setattr(socket_folder, "_holds_sockets", lambda folder: False)
    with pytest.raises(MachineError, match="set TMPDIR to a folder on a local disk with a short name"):
        find_socket_folder()
