"""TEMPORARY stand-in of the core."""

import json, os, signal, sys
from dataclasses import asdict
from pathlib import Path


def main(folder: str) -> int:
    from cifar_sweeps.sweeps.engines import worker
    from cifar_sweeps.sweeps.engines.task import PAYLOAD, exit_file, read_task
    from cifar_sweeps.sweeps.jobs import JobExit
    from cifar_sweeps.system.files import write_text_atomic
    from cifar_sweeps.runs.reporters import ReporterGroup

    task = read_task(Path(folder))
    limit = []

    def stop(number, _f):
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        if number == signal.SIGUSR1:
            limit.append(1)
        raise KeyboardInterrupt

    signal.signal(signal.SIGUSR2, stop)
    signal.signal(signal.SIGUSR1, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        worker.redirect_output(Path(task.log_file))
        cause, value, detail = worker.run_payload(
            (Path(folder) / PAYLOAD).read_bytes(), ReporterGroup(), task.threads, task.gpu, task.until
        )
    except KeyboardInterrupt:
        if limit:
            return 75
        cause, value, detail = "stopped", None, ""
    write_text_atomic(
        exit_file(Path(folder), task.attempt), json.dumps(asdict(JobExit(task.job, cause, value, detail)))
    )
    return 0
