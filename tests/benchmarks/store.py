"""What recording takes of a run, and what results and report take as the store grows."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from typing_extensions import override

from cifar_sweeps.config.compose import compose
from cifar_sweeps.runs import artifacts, recording
from cifar_sweeps.runs.run import run
from cifar_sweeps.studies import results
from cifar_sweeps.studies.reports.study_report import write_report
from cifar_sweeps.tracking import delivery_thread
from cifar_sweeps.tracking.journal import Op, State
from cifar_sweeps.tracking.recorded_run import PREFIX
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import tracking_uri
from tests.benchmarks import real_data
from tests.benchmarks.commands import new_outputs
from tests.benchmarks.measuring import Outcome, rounds

THREADS = "1"
_SWEEP = "benchmark-sweep"


class Clock:
    """Seconds that the recording took: the training's in its calls, and the processor's in the delivery thread."""

    def __init__(self) -> None:
        self.waited = 0.0
        self.sent = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block's time."""
        started = time.perf_counter()
        yield
        self.waited += time.perf_counter() - started

    @contextmanager
    def over_a_run(self) -> Iterator[None]:
        """Count what the one run of the block spends."""
        clock, deliver = self, delivery_thread.deliver

        class TimedRecord(RunLogger):
            def __init__(self, opening: RunHeader) -> None:
                with clock.waiting():
                    super().__init__(opening)

            @override
            def _append(self, op: Op, **facts: object) -> None:
                with clock.waiting():
                    super()._append(op, **facts)

            @override
            def log_metrics(self, values: Mapping[str, float], step: int) -> None:
                before = clock.waited
                started = time.perf_counter()
                super().log_metrics(values, step)
                clock.waited = before + time.perf_counter() - started  # with the disk's own time, which _append lacks

            @override
            def end_run(self, state: State, reason: str = "") -> None:
                before = clock.waited
                started = time.perf_counter()
                super().end_run(state, reason)
                clock.waited = before + time.perf_counter() - started

        def timed(folder: Path) -> str | None:
            started = time.thread_time()
            try:
                return deliver(folder)
            finally:
                clock.sent += time.thread_time() - started

        recording.RunLogger, delivery_thread.deliver = TimedRecord, timed  # type: ignore[misc]
        try:
            yield
        finally:
            recording.RunLogger, delivery_thread.deliver = RunLogger, deliver  # type: ignore[misc]


def measure(quick: bool) -> Outcome:
    """Measure recording, then reading."""
    outcome = Outcome("The store")
    _recording(outcome, quick)
    _reading(outcome, (3, 6) if quick else (10, 100, 1000))
    return outcome


def _recording(outcome: Outcome, quick: bool) -> None:
    images, name = real_data.overrides_or_drawn()
    size, epochs = (128, 1) if quick else (12_000, 3)
    arm = ["experiment=case_study/model_3", *images, f"data.train_size={size}", f"trainer.epochs={epochs}"]
    arm += ["trainer.batch_size=64", "trainer.threads=1", "data.val_size=100" if quick else "data.val_size=2000"]
    shares, exports, lengths = [], [], []
    with new_outputs() as outputs:
        for number in range(1 if quick else 4):
            recorded, exported, whole = _one_run([*arm, f"outputs={outputs}"], outputs / f"run-{number}")
            if quick or number:  # the first one makes the store
                shares.append(100 * recorded / whole)
                exports.append(exported)
                lengths.append(whole)
    outcome.add(
        "store/recording_percent",
        "recording (waiting, and the delivery thread's processor time), of the whole run",
        shares,
        "%",
    )
    outcome.add("store/run_seconds", "the whole run", lengths, "s")
    outcome.add("store/model_seconds", "beside it: saving the servable model", exports, "s")
    outcome.notes.append(f"recording: case_study/model_3 on {name}, {epochs} epochs of {size:,} images, one thread")


def _one_run(overrides: list[str], folder: Path) -> tuple[float, float, float]:
    """Return the seconds of the recording, of saving the model, and of the whole run."""
    config = compose(overrides)
    clock, saved = Clock(), 0.0
    save_model = artifacts.mlflow_model.save_model

    def timed(*arguments: Any, **named: Any) -> None:
        nonlocal saved
        started = time.perf_counter()
        save_model(*arguments, **named)
        saved += time.perf_counter() - started

    artifacts.mlflow_model.save_model = timed
    started = time.perf_counter()
    try:
        with clock.over_a_run():
            run(config, name="benchmark", folder=folder)
    finally:
        artifacts.mlflow_model.save_model = save_model
    if not (clock.waited and clock.sent and saved):
        raise AssertionError(f"something is timed that was not called: {clock.waited}, {clock.sent}, {saved}")
    return clock.waited + clock.sent, saved, time.perf_counter() - started


def _reading(outcome: Outcome, sizes: tuple[int, ...]) -> None:
    with new_outputs() as outputs:
        store = Store(tracking_uri(None, outputs), outputs)
        parent, pattern = _seeded(store, outputs)
        count = 1
        for size in sizes:
            started = time.perf_counter()
            for number in range(count, size):
                _copy(store.client(), pattern, parent, number)
            if size > count:
                each = (time.perf_counter() - started) / (size - count)
                outcome.add(f"store/write/{size}", f"writing one run, up to {size} runs", [each], "s")
            count = size

            def report() -> float:
                return _seconds(lambda: write_report(_SWEEP, outputs / "report.html", store))

            taken = rounds(
                {"results": lambda: _seconds(lambda: results.load_results(_SWEEP, store)), "report": report},
                3,
                warm_ups=1 if size == sizes[0] else 0,
            )
            outcome.add(f"store/results/{size}", f"results.load of {size} runs", taken["results"], "s")
            outcome.add(f"store/report/{size}", f"write_report of {size} runs", taken["report"], "s")
    outcome.notes.append("reading: one sweep of so many runs of 10 epochs, 20 arms, each with its parameters and tags")


def _seeded(store: Store, outputs: Path) -> tuple[str, Run]:
    """Make a sweep's parent and train one real, tiny child; return the parent's id and the child as it is on record."""
    experiment = store.prepare("benchmark")
    named = {"sweep_id": _SWEEP, "study": "benchmark", "role": "sweep", "overrides": "kernel_size=…"}
    tags = {f"{PREFIX}{key}": value for key, value in named.items()}
    parent = store.create_run(experiment, "sweep", tags, int(time.time() * 1000))
    overrides = ["data=synthetic", "data.source.train_images=200", "data.source.test_images=60", "trainer.epochs=10"]
    overrides += ["study_name=benchmark", "analysis.log_model=false", "trainer.threads=1", f"outputs={outputs}"]
    tags = {"sweep_id": _SWEEP, "job": "0", "swept": '{"optimizer.lr": "0.001", "seed": "0"}'}
    done = run(compose(overrides), name="child", folder=outputs / "child", tags=tags)
    assert done.run_id is not None
    store.client().set_tag(done.run_id, "mlflow.parentRunId", parent)
    return parent, store.client().get_run(done.run_id)


def _copy(client: MlflowClient, pattern: Run, parent: str, number: int) -> None:
    """Record another run as the product does: parameters, tags, ten epochs of metrics, config."""
    arm = f'{{"optimizer.lr": "0.{number % 20 + 1:03}", "seed": "{number // 20}"}}'
    name = f"child {number}"
    tags = {
        **pattern.data.tags,
        "mlflow.runName": name,
        "mlflow.parentRunId": parent,
        f"{PREFIX}swept": arm,
        f"{PREFIX}job": str(number),
    }
    created = client.create_run(pattern.info.experiment_id, run_name=name, tags=tags)
    run_id, now = created.info.run_id, int(time.time() * 1000)
    params = [Param(key, value) for key, value in {**pattern.data.params, "seed": str(number // 20)}.items()]
    metrics = [Metric(key, value, now, step) for key, value in pattern.data.metrics.items() for step in range(1, 11)]
    client.log_batch(run_id, metrics=metrics, params=params[:100])
    if len(params) > 100:
        client.log_batch(run_id, params=params[100:])
    client.set_terminated(run_id, "FINISHED")


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
