"""Slurm's commands, played: shims on PATH that read and write one file of arrays, which a test changes as it likes."""

import fcntl
import json
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel", "sacct")
AWAY = "Unable to contact slurm controller (connect failure)"


class PlayedSlurm:
    """A queue in a folder. Tasks stand in it as ``ARRAY_INDEX: [state, exit code, reason]``."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def install(cls, folder: Path, monkeypatch, **state):
        """Put the commands on PATH. state: what differs from the usual."""
        folder.mkdir()
        for name in PROGRAMS:
            shim = folder / name
            shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{__file__}" "{folder}" {name} "$@"\n')
            shim.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        usual = {"next": 100, "tasks": {}, "names": {}, "calls": [], "max_array_size": 1001, "accounting": None}
        usual |= {"away": False, "swallow": 0, "refusal": None, "most": None, "forgets": False}
        (folder / "state.json").write_text(json.dumps(usual | state))
        return cls(folder)

    @contextmanager
    def state(self):
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = json.loads((self.folder / "state.json").read_text())
            yield state
            (self.folder / "state.json").write_text(json.dumps(state))

    def set(self, task, state, code="0:0", reason="None"):
        with self.state() as played:
            played["tasks"][task] = [state, code, reason]

    def change(self, **values):
        with self.state() as played:
            played.update(values)

    def forget(self, task):
        with self.state() as played:
            del played["tasks"][task]

    def tasks(self):
        with self.state() as played:
            return {task: values[0] for task, values in played["tasks"].items()}

    def calls(self, program):
        with self.state() as played:
            return [call[1:] for call in played["calls"] if call[0] == program]


def option(arguments, name):
    return next((each.partition("=")[2] for each in arguments if each.startswith(f"--{name}=")), None)


def fail(text, program):
    print(f"{program}: error: {text}", file=sys.stderr)
    return 1


def sbatch(state, arguments):
    last = re.fullmatch(r"0(?:-(\d+))?(?:%\d+)?", option(arguments, "array")).group(1)
    count = int(last or 0) + 1
    if state["refusal"]:
        return fail(f"Batch job submission failed: {state['refusal']}", "sbatch")
    if "--test-only" in arguments:
        return 0
    if count > state["max_array_size"]:
        return fail("Batch job submission failed: Invalid job array specification", "sbatch")
    waiting = sum(values[0] in ("PENDING", "RUNNING") for values in state["tasks"].values())
    if state["most"] is not None and waiting + count > state["most"]:
        text = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
        return fail(f"Batch job submission failed: {text}", "sbatch")
    array = state["next"]
    state["next"] += 1
    state["names"][str(array)] = option(arguments, "job-name")
    for index in range(count):
        state["tasks"][f"{array}_{index}"] = ["PENDING", "0:0", "Priority"]
    if state["swallow"]:
        state["swallow"] -= 1
        return fail("Batch job submission failed: Socket timed out on send/recv operation", "sbatch")
    print(array)
    return 0


def squeue(state, arguments):
    if (name := option(arguments, "name")) is not None:
        for task in state["tasks"]:
            if state["names"][task.split("_")[0]] == name:
                print(task.split("_")[0])
        return 0
    wanted = option(arguments, "jobs").split(",")
    lines = [
        f"{task.replace('_', '|')}|{values[0]}|{values[2]}|n1"
        for task, values in state["tasks"].items()
        if task.split("_")[0] in wanted
    ]
    if not lines:
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def scontrol(state, arguments):
    if arguments == ["show", "config"]:
        print(f"Configuration data\nMaxArraySize            = {state['max_array_size']}\nMaxDBDMsgs = 20012")
        return 0
    if arguments[0] == "requeue":
        state["tasks"][arguments[1]] = ["PENDING", "0:0", "BeginTime"]
        return 0
    if arguments[-1] not in state["tasks"]:
        print(f"Job {arguments[-1]} not found")
        return 1
    name, code, reason = state["tasks"][arguments[-1]]
    print(f"JobId=7 ArrayTaskId=0 JobName=x UserId=u(1) JobState={name} Reason={reason} Requeue=1 ExitCode={code} A=B")
    return 0


def scancel(state, arguments):
    jobs = [each for each in arguments if not each.startswith("-")]
    number = option(arguments, "signal")
    for job in jobs:
        if job not in state["tasks"]:
            continue
        now = state["tasks"][job][0]
        if number is None and (option(arguments, "state") in (None, now)) and now in ("PENDING", "RUNNING"):
            if now == "PENDING" and state["forgets"]:
                del state["tasks"][job]
                continue
            state["tasks"][job] = ["CANCELLED", "0:15" if now == "RUNNING" else "0:0", "None"]
        elif number == "KILL" and now == "RUNNING":
            state["tasks"][job] = ["FAILED", "0:9", "None"]
    return 0


def sacct(state, arguments):
    if state["accounting"] is None:
        print("Slurm accounting storage is disabled", file=sys.stderr)
        return 1
    for line in state["accounting"].get(option(arguments, "jobs") or "", []):
        print(line)
    return 0


def main():
    folder, program, *arguments = sys.argv[1:]
    with PlayedSlurm(Path(folder)).state() as state:
        state["calls"].append([program, *arguments])
        if state["away"]:
            return fail(AWAY, program)
        handlers = {"sbatch": sbatch, "squeue": squeue, "scontrol": scontrol, "scancel": scancel, "sacct": sacct}
        return handlers[program](state, [each for each in arguments if each != "--oneliner"])


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.exit(status)
