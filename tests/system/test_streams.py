"""Output never decides over a command: table of streams, each in a small process of its own."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cifar_sweeps.system import streams
from cifar_sweeps.system.streams import ForgivingText, Output, to_ascii

TEXT = "Checking 2 jobs … 32×32, 0.5 ± 0.1 │ ─┼─ ★ café Łódź 猫 µ"
PLAIN = "Checking 2 jobs ... 32x32, 0.5 +/- 0.1 | -+- * cafe Lodz \\u732b u"
LATIN = "Checking 2 jobs ... 32×32, 0.5 ± 0.1 | -+- * café Lódz \\u732b µ"

PROGRAM = f"""
import sys
from cifar_sweeps.system.streams import failed_output, prepare_streams
failed = []
prepare_streams(lambda stream, error: failed.append((stream, type(error).__name__)))
print({TEXT!r}, flush=True)
print("again", flush=True)
sys.stderr.write("errors\\n")
file = open({{path!r}}, "w")
file.write("descriptor %d failed %s incomplete %s" % (file.fileno(), failed, failed_output() is not None))
"""


def run(tmp_path: Path, redirection: str = "", **environment: str) -> tuple[int, bytes, str, str]:
    """Run the program in a shell that redirects its streams: status, output, errors, what it found."""
    found = tmp_path / "found"
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(path=str(found)), encoding="utf-8")
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} {program} {redirection}"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.decode(), found.read_text()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"PYTHONIOENCODING": "utf-8"}, TEXT.encode()),
        ({"PYTHONIOENCODING": "ascii"}, PLAIN.encode()),
        ({"PYTHONIOENCODING": "ascii:strict"}, PLAIN.encode()),
        ({"PYTHONIOENCODING": "iso-8859-1"}, LATIN.encode("latin-1")),
        ({"PYTHONIOENCODING": "cp1252"}, None),
        ({"PYTHONIOENCODING": "koi8-r"}, None),
        ({"PYTHONIOENCODING": "", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, PLAIN.encode()),
    ],
    ids=lambda each: " ".join(each.values()) if isinstance(each, dict) else "",
)
def test_what_an_encoding_lacks_becomes_ascii(tmp_path, environment, expected):
    status, out, err, found = run(tmp_path, **environment)
    assert (status, err) == (0, "errors\n")
    assert out.endswith(b"\nagain\n")
    if expected is not None:
        assert out == expected + b"\nagain\n"
    assert "failed []" in found


@pytest.mark.parametrize(
    ("redirection", "failed", "incomplete"),
    [
        (">&-", "[]", False),
        ("2>&-", "[]", False),
        ("<&- >&- 2>&-", "[]", False),
        ("> /dev/full", "[('stdout', 'OSError')]", True),
        ("> /dev/full 2> /dev/full", "[('stdout', 'OSError'), ('stderr', 'OSError')]", True),
        ("| true", None, False),
        ("2> /dev/full", "[('stderr', 'OSError')]", False),
        ("< /dev/full", "[]", False),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_output_that_fails_stops_nothing(tmp_path, redirection, failed, incomplete):
    status, _, err, found = run(tmp_path, redirection)
    assert status == 0
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert int(found.split()[1]) > 2  # no file takes the place of a closed stream
    assert found.endswith(f"incomplete {incomplete}")
    if failed is not None:
        assert f"failed {failed}" in found


def test_a_closed_pipe_is_told_once_and_bears_what_follows():
    read, write = os.pipe()
    os.close(read)
    told = []
    stream = io.TextIOWrapper(io.BufferedWriter(Output(write, told.append)), encoding="utf-8", write_through=True)
    for _ in range(3):
        stream.write("a line\n")
        stream.flush()
    os.close(write)
    assert [error.errno for error in told] == [errno.EPIPE]
    assert streams.is_closed_output(told[0])


def test_a_pipe_that_must_not_be_waited_for_gets_all_the_same():
    read, write = os.pipe()
    os.set_blocking(write, False)
    size = 1 << 17  # more than a pipe holds
    reader = subprocess.Popen(
        [sys.executable, "-c", f"print(len(open({read}, 'rb').read()))"], pass_fds=[read], stdout=subprocess.PIPE
    )
    os.close(read)
    output = io.BufferedWriter(Output(write, pytest.fail))
    output.write(bytes(size))
    output.flush()
    os.close(write)
    assert int(reader.communicate()[0]) == size


@pytest.mark.parametrize(("text", "plain"), [("a\udce9b", "a\\xe9b"), ("ﬁne", "fine"), ("½", "12"), ("█▌", "##")])
def test_every_letter_has_its_ascii(text, plain):
    assert to_ascii(text) == plain


class Broken(io.StringIO):
    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.ENOSPC, ""), ValueError("I/O on closed file")])
def test_the_stream_of_a_notebook_or_script_cannot_stop_a_run(error):
    stream = Broken()
    stream.error = error
    forgiving = ForgivingText(stream)
    assert forgiving.write("text") == 4
    forgiving.flush()
    assert ForgivingText(None).write("text") == 4


def test_a_notebook_s_narrow_encoding_gets_ascii():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    ForgivingText(stream).write(TEXT)
    assert raw.getvalue() == PLAIN.encode()
