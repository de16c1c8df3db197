"""The output of a command: what cannot be shown becomes plain ASCII, and an output that fails stops nothing."""

import codecs
import contextlib
import errno
import io
import os
import select
import sys
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PLAIN = "cifar_sweeps.plain"
"""Name of the error handler that writes what an encoding lacks in ASCII."""
_PLAIN_ASCII = "plain-ascii"
_CLOSED = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ESHUTDOWN, errno.ECONNRESET})
"""Nobody reads any more: a closed pipe, a closed terminal."""

_SPELLED = {
    "…": "...", "×": "x", "±": "+/-", "·": ".", "•": "*", "★": "*", "✓": "+", "✗": "x", "–": "-", "—": "-", "−": "-",
    "→": "->", "←": "<-", "≥": ">=", "≤": "<=", "≠": "!=", "≈": "~", "‘": "'", "’": "'", "“": '"', "”": '"', "µ": "u",
    "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ı": "i", "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip


def to_ascii(text: str) -> str:
    """Return ``text`` in ASCII: accents are left out, lines of boxes and known signs spelled, the rest escaped.

    Bytes of a file's name that are no text, which Python keeps as surrogates, become ``\\xff``.
    """
    return "".join(letter if letter.isascii() else _spelled(letter) for letter in text)


def _spelled(letter: str) -> str:
    if letter in _SPELLED:
        return _SPELLED[letter]
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if 0x2500 <= code <= 0x257F:  # box drawing
        name = unicodedata.name(letter)
        return "-" if "HORIZONTAL" in name and "VERTICAL" not in name else "|" if name.endswith("VERTICAL") else "+"
    if 0x2580 <= code <= 0x259F:  # blocks
        return "#"
    letters = "".join(part for part in unicodedata.normalize("NFKD", letter) if part.isascii())
    return letters or letter.encode("ascii", "backslashreplace").decode("ascii")


def _encode_plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return to_ascii(error.object[error.start : error.end]), error.end


def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") != _PLAIN_ASCII:
        return None
    ascii_codec = codecs.lookup("ascii")
    return codecs.CodecInfo(
        name=_PLAIN_ASCII,
        encode=ascii_codec.encode,
        decode=ascii_codec.decode,
        incrementalencoder=ascii_codec.incrementalencoder,
        incrementaldecoder=ascii_codec.incrementaldecoder,
        streamwriter=ascii_codec.streamwriter,
        streamreader=ascii_codec.streamreader,
    )


class Output(io.RawIOBase):
    """Writes to a descriptor, and goes on if that fails. Waits where the other end is slow and asks not to.

    on_failure: called with the first error, within the write: it must not print to the same stream.
    """

    def __init__(self, descriptor: int, on_failure: Callable[[OSError], None]) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._descriptor, self._on_failure = descriptor, on_failure

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write some of ``data`` and return how many bytes; after an error they are left out."""
        content = memoryview(data)
        try:
            return os.write(self._descriptor, content)
        except BlockingIOError:  # a pipe that another program has set so
            select.select([], [self._descriptor], [])
            return 0
        except OSError as error:
            if self.error is None:
                self.error = error
                self._on_failure(error)
            return content.nbytes


def prepare_streams(on_failure: Callable[[str, OSError], None]) -> None:
    """Make standard output and errors of this process bear any text and any failure.

    on_failure: called once for each stream with its name and the first error; what it prints may fail too.
    Streams that were replaced already, as a test's or a notebook's, stay.
    """
    codecs.register_error(PLAIN, _encode_plainly)
    codecs.register(_find_codec)
    _open_closed_descriptors()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # its descriptor was closed when Python started
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (as long as the process)
        elif stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _tolerant(stream, name, on_failure))


def failed_output() -> OSError | None:
    """Return the error for which standard output is incomplete; None if nothing is missing, or nobody reads it."""
    if not sys.stdout.closed:
        sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, Output) else None
    return None if error is None or is_closed_output(error) else error


def is_closed_output(error: OSError) -> bool:
    """Return whether nobody reads any more, as behind ``| head``."""
    return error.errno in _CLOSED


def _tolerant(stream: TextIO, name: str, on_failure: Callable[[str, OSError], None]) -> TextIO:
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # it is no file
        return stream
    stream.flush()
    encoding = stream.encoding
    if codecs.lookup(encoding).name == "ascii":  # under its own name, click would write UTF-8 to it
        encoding = _PLAIN_ASCII
    raw = Output(descriptor, lambda error: on_failure(name, error))
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors=PLAIN,
        line_buffering=bool(stream.line_buffering) or name == "stderr",
        write_through=bool(getattr(stream, "write_through", False)),
    )


def _open_closed_descriptors() -> None:
    """Open /dev/null for input, output or errors that are closed: the next file opened would take its place."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)


class ForgivingText:
    """A text stream as it is, except that what it refuses is left out: for output that must not stop a training.

    For streams of others (a notebook's, a script's), which `prepare_streams` does not replace.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, in ASCII if the stream's encoding lacks a letter of it."""
        if self._stream is not None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self.write(to_ascii(text))
            except (OSError, ValueError):  # a closed pipe, a full disk, a closed file
                return len(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the stream has)
        return getattr(self._stream, name)
