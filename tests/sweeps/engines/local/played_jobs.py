"""What the local engine's processes run in tests: a few lines in place of a training, light to import."""

import json
import os
import signal
import socket
import time
from pathlib import Path

STOP = signal.SIGUSR1


def play(payload, log_file, address, job, threads, gpu, until, delivers):
    """Do what the payload says, with the signals and messages of a real job; see `process.run_job_process`."""
    deed = Path(payload).read_text()
    try:
        for each in (signal.SIGTERM, STOP):
            signal.signal(each, _stop)
        if deed == "late":  # it is asked to stop before it says which process it is
            time.sleep(0.5)
        _send(address, {"job": job, "kind": "process", "id": os.getpid()})
        if deed in ("sleep", "late"):
            time.sleep(60)
        if deed == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "exit":
            os._exit(3)
        if deed == "raise":
            raise ValueError("no")
        _send(address, {"job": job, "kind": "end"})
    except KeyboardInterrupt:
        return "stopped", None, ""
    return "returned", float(threads), gpu or ""


def _stop(number, frame):
    signal.signal(STOP, signal.SIG_IGN)
    raise KeyboardInterrupt


def _send(address, message):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(json.dumps(message).encode(), address)
