"""Stands in for a worker process: trains no epoch, but leaves what one leaves. STEPS says what happens to it."""

import json
import os
import signal
import sys
import time

task_folder = sys.argv[1]
with open(f"{task_folder}/task.json") as file:
    task = json.load(file)
folder, steps = task["folder"], os.environ["STEPS"].split()
os.makedirs(f"{folder}/checkpoints", exist_ok=True)
print("hello from the worker", os.getcwd(), flush=True)


def write(op, **fields):
    with open(f"{folder}/journal.jsonl", "ab") as journal:
        journal.write(json.dumps({"op": op, "time": 1, **fields}).encode() + b"\n")


def leave(name, content):
    with open(f"{folder}/{name}.tmp", "w") as file:
        file.write(content)
    os.replace(f"{folder}/{name}.tmp", f"{folder}/{name}")


def end(cause, value=None):
    job_exit = {"job": task["job"], "cause": cause, "value": value, "detail": f"in {folder}", "code": None}
    with open(f"{task_folder}/exit-{task['attempt']}.json", "w") as file:
        json.dump(job_exit, file)
    sys.exit(0)


def stop(*_):
    write("close", state="KILLED", reason="interrupted")
    end("stopped")


signal.signal(signal.SIGUSR2, stop)
found = sorted(os.listdir(f"{folder}/checkpoints"))
first = int(found[-1][7:13]) if found else 0
if os.path.exists(f"{folder}/journal.jsonl"):
    write("resume")
else:
    write("open", identity="a", tags={"folder": folder}, backend="none")
    write("params", values={"trainer.epochs": "3", "trainer.parts": "1"})
    write("metrics", values={"model/parameters": 10.0}, step=0)
for epoch in range(first + 1, 4):
    write("metrics", values={"train/loss": 1.0, "val/accuracy": epoch / 10}, step=epoch)
    leave(f"checkpoints/resume-{epoch:06}.pt", f"state {epoch}")
    if epoch > 1:
        os.unlink(f"{folder}/checkpoints/resume-{epoch - 1:06}.pt")
    if f"wait@{epoch}" in steps:
        while True:
            time.sleep(0.01)
    if f"die@{epoch}" in steps:
        os.kill(os.getpid(), signal.SIGKILL)
    if f"abort@{epoch}" in steps:
        os.abort()
    if f"exit@{epoch}" in steps:
        os._exit(3)
leave("curves.png", "a picture")
write("artifact", path="curves.png", folder="")
write("close", state="FINISHED", reason="")
end("returned", 0.3)
