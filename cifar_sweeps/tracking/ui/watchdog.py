"""Run a server until the process that started this one ends, however that ends; run as a script.

It reads its standard input, which the starter holds open: the system closes it when the starter is gone, even if that
was killed. Then the server and all its workers, which are a session of their own, are ended. Imports nothing of this
package, so that it starts at once.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

_GRACE = 5.0
"""Seconds that the server has to end by itself."""


def main() -> int:
    """Start the command in the arguments; return its exit status, or 0 once the starter has gone."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they are the starter's, whose end is the sign
        signal.signal(ignored, signal.SIG_IGN)
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_own_signals)
    while server.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], 0.5)
        if readable and not os.read(sys.stdin.fileno(), 1):
            break
    status = server.poll()
    _end(server)
    return 0 if status is None else status


def _own_signals() -> None:
    for usual in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(usual, signal.SIG_DFL)


def _end(server: "subprocess.Popen[bytes]") -> None:
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, ending)
        end = time.monotonic() + _GRACE
        while server.poll() is None and time.monotonic() < end:
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
