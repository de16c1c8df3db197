"""`python -m tests.faults.campaign`: sweeps that are killed at random moments, and what is left of them.

Each sweep is started by the same command until it has finished, and all but its last start meets a kill: of the
command or of one of its jobs, by SIGKILL or SIGTERM, at a moment drawn uniformly over what that start should take. A
command that ends by itself may leave no run that is said to be at work. In the end the store is held against that of
the same sweep undisturbed. Exit status 1 if anything was lost, doubled or differs.
"""

import argparse
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .sweeping import SMALL, Command, Differences, Stored, kill

LANES = 2
"""Sweeps at once, each in an outputs folder of its own."""
MOST_KILLS = 20
"""Of one sweep."""
EPOCHS = "trainer.epochs=10"


@dataclass(frozen=True)
class Reference:
    """A sweep that nobody disturbed. opening: seconds until its first job began; a_job: what each job took more."""

    overrides: tuple[str, ...]
    stored: Stored
    opening: float
    a_job: float

    @property
    def seconds(self) -> float:
        """What all of it takes."""
        return self.opening + self.a_job * len(self.stored.children)


@dataclass
class Tally:
    """What has come out so far; shared by the lanes."""

    sweeps: int = 0
    starts: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    differences: Differences = field(default_factory=Differences)

    @property
    def killed(self) -> int:
        """Kills that met somebody."""
        return sum(self.kills.values())


def commands(jobs: int) -> list[tuple[str, ...]]:
    """Return the distinct sweeps: plain, with all randomness there is, and with momentum and a schedule."""
    seeds = f"seed={','.join(map(str, range(jobs)))}"
    rates = f"optimizer.lr={','.join(f'0.00{1 + rate}' for rate in range(jobs))}"
    return [
        ("-m", *SMALL, EPOCHS, seeds),
        ("-m", *SMALL, EPOCHS, rates, "regularization=dropout", "augmentation=flip_crop", "trainer.select=best"),
        ("-m", *SMALL, EPOCHS, seeds, "optimizer=sgd", "lr_schedule=cosine", "regularization=l2"),
    ]


def undisturbed(overrides: tuple[str, ...], jobs: int, outputs: Path) -> Reference:
    """Run a sweep to its end. Raises RuntimeError if it does not finish even so."""
    began = time.monotonic()
    command = Command(overrides, outputs)
    first_job = None
    while command.process.poll() is None:
        if first_job is None and " started: " in command.said:
            first_job = time.monotonic() - began
        time.sleep(0.05)
    if command.wait() != 0 or first_job is None:
        raise RuntimeError(f"the undisturbed sweep failed:\n{command.said}")
    seconds = time.monotonic() - began
    return Reference(overrides, Stored(outputs), first_job, (seconds - first_job) / jobs)


class Campaign:
    """Sweeps and kills, until there were enough of both."""

    def __init__(self, sweeps: int, kills: int, seed: int, jobs: int, folder: Path) -> None:
        self.tally = Tally()
        self._sweeps, self._kills, self._seed, self._jobs, self._folder = sweeps, kills, seed, jobs, folder
        self._references: list[Reference] = []
        self._lock = threading.Lock()
        self._begun = 0
        self._promised = 0

    def run(self) -> None:
        """Run all of it."""
        for number, overrides in enumerate(commands(self._jobs)):
            self._references.append(undisturbed(overrides, self._jobs, self._folder / f"undisturbed_{number}"))
            say(f"undisturbed: {self._references[-1].seconds:.0f} s, {' '.join(overrides[-3:])}")
        with ThreadPoolExecutor(LANES) as lanes:
            for lane in [lanes.submit(self._lane) for _ in range(LANES)]:
                lane.result()

    def _lane(self) -> None:
        while (work := self._next()) is not None:
            number, kills = work
            reference = self._references[number % len(self._references)]
            met = self._sweep(number, kills, reference)
            with self._lock:
                self._promised += met - kills

    def _next(self) -> tuple[int, int] | None:
        """Return the next sweep's number and how many kills it is to meet; more sweeps where kills came too late."""
        with self._lock:
            missing = self._kills - self._promised
            if self._begun >= self._sweeps and missing <= 0:
                return None
            kills = max(0, -(-missing // max(1, self._sweeps - self._begun)))
            kills = min(kills, MOST_KILLS)
            number, self._begun, self._promised = self._begun, self._begun + 1, self._promised + kills
            return number, kills

    def _sweep(self, number: int, kills: int, reference: Reference) -> int:
        """Start one sweep until it has finished; return how many kills it met."""
        draw = random.Random(f"{self._seed}-{number}")
        outputs = self._folder / f"sweep_{number:03}"
        met, starts, goes_on, wrong = list[str](), 0, True, 0
        while goes_on:
            command, before = Command(reference.overrides, outputs), len(met)
            if before < kills:
                met += _killed(command, draw, reference, self._unfinished(outputs))
            status = command.wait()
            starts += 1
            if met[before:] != ["command SIGKILL"]:  # of that the next command tells
                wrong += Stored(outputs).left_running() if (outputs / "mlflow.db").exists() else 0
            goes_on = status != 0 and len(met) > before  # a start that nobody disturbed has to end well
        if status == 0:
            differences = Stored(outputs).differences(reference.stored)
        else:
            say(f"sweep {number} cannot go on:\n{command.said}")
            differences = Differences(runs_lost=self._jobs)
        differences += Differences(states_wrong=wrong)
        self._count(number, starts, met, differences)
        if not differences:
            shutil.rmtree(outputs)
        return len(met)

    def _unfinished(self, outputs: Path) -> int:
        """Return how many jobs are left, by their journals: only the moments of the kills depend on it."""
        journals = (path.read_text(errors="replace") for path in outputs.glob("sweeps/*/*/journal.jsonl"))
        return max(1, self._jobs - sum('"state": "FINISHED"' in journal for journal in journals))

    def _count(self, number: int, starts: int, met: list[str], differences: Differences) -> None:
        with self._lock:
            self.tally.sweeps += 1
            self.tally.starts += starts
            for kind in met:
                self.tally.kills[kind] = self.tally.kills.get(kind, 0) + 1
            self.tally.differences += differences
            good = "as undisturbed" if not differences else f"DIFFERS: {differences}"
            say(f"sweep {number}: {starts} starts, {len(met)} kills ({', '.join(met)}): {good}")


def _killed(command: Command, draw: random.Random, reference: Reference, unfinished: int) -> list[str]:
    """Kill the command or one of its jobs at a random moment; return what was done, nothing if it had ended by then.

    The moments of the command's kills are uniform over all that the start should take, those of the jobs' over what it
    should take once there are jobs.
    """
    is_job, how, share, place = draw.random() < 0.5, draw.choice(["SIGKILL", "SIGTERM"]), draw.random(), draw.random()
    working = reference.a_job * unfinished
    if is_job:
        _pass_time(command, until=command.jobs)
    _pass_time(command, share * (working if is_job else reference.opening + working))
    jobs = command.jobs() if is_job else []
    victim = jobs[int(place * len(jobs))] if jobs else command.process.pid
    if command.process.poll() is not None or not kill(victim, signal.Signals[how]):
        return []
    return [f"{'job' if jobs else 'command'} {how}"]


def _pass_time(command: Command, seconds: float = math.inf, until: Callable[[], object] = lambda: False) -> None:
    """Wait for something, for some seconds, or for the command's end."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end and command.process.poll() is None:
        time.sleep(0.01)


def say(line: str) -> None:
    print(line, flush=True)


def table(tally: Tally) -> str:
    """Return what came out, as text."""
    names = ("runs lost", "metrics lost, doubled or other", "states wrong", "weights that differ")
    rows = [("sweeps", tally.sweeps), ("starts", tally.starts), ("kills", tally.killed)]
    rows += [(f"  {kind}", count) for kind, count in sorted(tally.kills.items())]
    rows += list(zip(names, tally.differences.counts(), strict=True))
    return "\n".join(f"{name:32}{count:>6}" for name, count in rows)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--sweeps", type=int, default=25)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the kills: who, how and when")
    parser.add_argument("--jobs", type=int, default=3, help="of each sweep")
    arguments = parser.parse_args()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="cifar-sweeps-campaign-"))
    campaign = Campaign(arguments.sweeps, arguments.kills, arguments.seed, arguments.jobs, folder)
    campaign.run()
    say(f"\n{table(campaign.tally)}\n{'minutes':32}{(time.monotonic() - began) / 60:>6.1f}")
    if campaign.tally.differences:
        say(f"What is left of the sweeps that differ: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
