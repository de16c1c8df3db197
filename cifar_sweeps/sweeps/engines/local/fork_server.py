"""The server that jobs are forked from: it imports torch, mlflow and the rest once for all of them.

Light to import, so that the server is on its way while the command itself still imports.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
from multiprocessing.context import BaseContext

PRELOAD = ["cifar_sweeps.sweeps.engines.local.preload", "cifar_sweeps.app"]
PRELOAD_FOR_EXPORT = ["cifar_sweeps.sweeps.engines.local.preload_export"]


def start(with_export: bool) -> BaseContext:
    """Return the way processes are made: forked from the server, or spawned where there is no such thing.

    with_export: whether the jobs will export their models, which takes more imports.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD + (PRELOAD_FOR_EXPORT if with_export else []))
    forkserver.ensure_running()
    return context


def stop() -> None:
    """End the server even while it imports; left alone it would hold the command's output open until it is done."""
    module = sys.modules.get("multiprocessing.forkserver")  # not there: none was started
    # Private, for there is no public way; without it a command that is refused ends seconds later, and nothing worse.
    server = getattr(getattr(module, "_forkserver", None), "_forkserver_pid", None)
    if server is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)
