"""The inside of a job's process."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import Literal

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobStatus, run_job, setup_globals

from cifar_sweeps.data import cache
from cifar_sweeps.errors import in_one_line
from cifar_sweeps.sweeps import current
from cifar_sweeps.sweeps.engines.local.event_socket import NewsWatcher

Outcome = tuple[Literal["finished", "failed", "killed"], object]
"""("finished", what the task returned), or ("failed" or "killed", the first line of why)."""

STOP = signal.SIGUSR1
"""How a sweep tells a job to stop at a safe point."""
TOLD_TO_STOP = "it was told to stop (SIGTERM)"


def work(payload: str, log_file: str, address: str, job: int, threads: int) -> Outcome:
    """Run one job. Only plain values are returned: they are unpickled where other classes may be loaded.

    payload: the file with what Hydra runs and what the sweep found of the images. threads: what
    ``trainer.threads=auto`` means. STOP and SIGTERM stop the job at a safe point; another SIGTERM at once.
    """
    _die_with_the_sweep()
    watcher = NewsWatcher(address, job)
    try:
        for each in (signal.SIGTERM, STOP):
            signal.signal(each, _stop)
        watcher.born(os.getpid())
        outcome = _work(payload, log_file, watcher, threads)
        for each in (signal.SIGTERM, STOP):  # what is left to do is to hand over the outcome
            signal.signal(each, signal.SIG_IGN)
    except KeyboardInterrupt:
        return "killed", TOLD_TO_STOP
    return outcome


def _work(payload: str, log_file: str, watcher: NewsWatcher, threads: int) -> Outcome:
    _redirect_output(Path(log_file))
    hydra_context, config, task_function, singletons, images = cloudpickle.loads(Path(payload).read_bytes())
    setup_globals()
    Singleton.set_state(singletons)
    current.set_watcher(watcher)
    current.set_threads(threads)
    cache.import_verified(images)
    try:
        done = run_job(
            hydra_context=hydra_context,
            config=config,
            task_function=task_function,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (sys.exit in a job must not end the sweep)
        traceback.print_exc()
        return "failed", in_one_line(error)
    if done.status == JobStatus.COMPLETED:
        return "finished", done.return_value
    return "failed", in_one_line(done._return_value)


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(STOP, signal.SIG_IGN)  # the sweep's own word may follow a SIGTERM to all of its processes
    raise KeyboardInterrupt


def _die_with_the_sweep() -> None:
    """End this process when the command that started it is gone, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()  # returns when the pipe to the parent breaks
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    for each in (signal.SIGINT, signal.SIGHUP):  # they reach the whole group; the sweep decides
        signal.signal(each, signal.SIG_IGN)


def _redirect_output(log_file: Path) -> None:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
