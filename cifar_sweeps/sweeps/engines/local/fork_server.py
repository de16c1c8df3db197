"""The fork server: the process that jobs are forked from, which imports torch and the rest once for all.

Light to import, so that the server already imports while the command itself still does.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
from multiprocessing.context import BaseContext

from cifar_sweeps.errors import MachineError, in_one_line
from cifar_sweeps.system.socket_folder import sockets_in_temporary_folder

PRELOAD = ["cifar_sweeps.sweeps.engines.local.preload", "cifar_sweeps.app"]
TO_ALL = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
"""Signals that may be sent to the whole process group, and so to the server: the command decides on them."""
PRELOAD_FOR_STORE = ["cifar_sweeps.sweeps.engines.local.preload_store"]
PRELOAD_FOR_EXPORT = ["cifar_sweeps.sweeps.engines.local.preload_export"]


def start(with_export: bool, with_store: bool = False) -> BaseContext:
    """Start the server and return how processes are made: forked from it, or spawned where there is no fork server.

    with_export: whether the jobs will export their models, with_store: whether they will send to the store what they
    record, both of which takes more imports. Of a server that runs nothing is changed.
    Raises MachineError if this machine lets processes have no sockets or semaphores.
    """
    with sockets_in_temporary_folder():
        if "forkserver" not in multiprocessing.get_all_start_methods():
            context: BaseContext = multiprocessing.get_context("spawn")
        else:
            from multiprocessing import forkserver, resource_tracker

            context = multiprocessing.get_context("forkserver")
            more = [*(PRELOAD_FOR_STORE if with_store else []), *(PRELOAD_FOR_EXPORT if with_export else [])]
            context.set_forkserver_preload([*PRELOAD, *more])
            resource_tracker.ensure_running()  # before: it unblocks signals when it has started its process
            # The server holds them back until it ignores them, in `preload`; this process answers them then.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, TO_ALL)
            try:
                forkserver.ensure_running()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _check_semaphores(context)
    return context


def _check_semaphores(context: BaseContext) -> None:
    """Raise MachineError where there are none: they lie in /dev/shm, which a container or a jail may lack."""
    try:
        context.Lock()
    except (OSError, ImportError) as error:
        raise MachineError(
            f"the jobs of a sweep need semaphores, and this machine gives none ({in_one_line(error)}); "
            "mount a writable /dev/shm with some room (docker: --shm-size=64m), "
            "or train the jobs in this process: hydra/launcher=basic"
        ) from error


def stop() -> None:
    """End the server even while it imports; left alone it would hold the command's output open until it is done."""
    module = sys.modules.get("multiprocessing.forkserver")  # not there: none was started
    # Private, for there is no public way; without it a command that is refused ends seconds later, and nothing worse.
    server = getattr(getattr(module, "_forkserver", None), "_forkserver_pid", None)
    if server is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)
