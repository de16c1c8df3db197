"""`python -m tests.benchmarks NAME [--quick]`: measure, print a table, write outputs/benchmarks/NAME.json."""

import argparse
import importlib
import os
import sys
import time

NAMES = (
    "step",
    "loop",
    "start",
    "store",
    "analysis",
    "parallel",
    "memory",
    "sweep",
    "full_length",
    "grid",
    "early_stopping",
    "search",
    "controller",
    "thousand",
)
"""Each a module with ``measure(quick) -> Outcome`` and ``THREADS``, how many threads its trainings have."""


def main() -> int:
    """Run what the command line names. Status 2 means that the real images or curves are missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: shows that it works, its figures mean nothing"
    )
    arguments = parser.parse_args()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

    from rich.console import Console

    from tests.benchmarks.measuring import machine, show, write
    from tests.benchmarks.real_data import NoRealDataError

    status, began = 0, time.perf_counter()
    console = Console(width=None if sys.stdout.isatty() else 80)
    for name in NAMES if arguments.name == "all" else (arguments.name,):
        module = importlib.import_module(f"tests.benchmarks.{name}")
        started, facts = time.perf_counter(), machine()
        try:
            outcome = module.measure(arguments.quick)
        except NoRealDataError as fault:
            console.print(f"{name}: not measured: {fault}", markup=False, highlight=False)
            status = 2
            continue
        if arguments.quick:
            outcome.title += " (--quick: figures mean nothing)"
        show(outcome, console)
        seconds = time.perf_counter() - started
        path = write(f"{name}-quick" if arguments.quick else name, outcome, facts, module.THREADS, seconds)
        console.print(f"  {name} took {seconds:.0f} s -> {path}\n", markup=False, highlight=False)
    if arguments.name == "all":
        console.print(f"All in {(time.perf_counter() - began) / 60:.1f} minutes", highlight=False)
    return status


if __name__ == "__main__":
    sys.exit(main())
