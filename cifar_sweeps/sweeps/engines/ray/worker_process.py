"""Run one task in a process that ends with the actor that started it, even if that is killed with its whole node.

A run that went on after its actor is gone would be trained twice: the controller starts it again elsewhere.
"""

import os
import sys
import threading


def main(task_folder: str) -> int:
    """Run the task in ``task_folder`` and return the exit status of `engines.task_process`."""
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # for what the training itself starts
    os.close(null)
    threading.Thread(target=_exit_when_broken, args=(pipe,), daemon=True).start()
    from cifar_sweeps.sweeps.engines import (
        task_process,
    )  # imports torch and MLflow, and the watch above is needed before

    return task_process.main([task_folder])


def _exit_when_broken(pipe: int) -> None:
    while os.read(pipe, 1):  # nothing is ever written
        pass
    os._exit(1)


def run(task_folder: str) -> None:
    """Run the task and end this process, without waiting for threads of libraries."""
    status = main(task_folder)
    sys.stdout.flush()
    os._exit(status)
