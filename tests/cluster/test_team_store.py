"""A team's store, PostgreSQL behind an MLflow server, gets each line of each journal once, whatever is killed."""

import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from cifar_sweeps.tracking import delivery, journal
from cifar_sweeps.tracking.delivery import undelivered_folders
from cifar_sweeps.tracking.recovery import sync

from .postgres.team_store import TeamStore, missing
from .postgres.writers import STUDY, Load, digests, start_writers

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

LOAD = Load(writers=16, runs=5, lines=2500, seconds=50)
"""200,000 lines; the writers are at work while what they write to is killed."""
_AWAY = 3.0
"""Seconds that a server stays away."""


@pytest.fixture(scope="module")
def store():
    store = TeamStore(Path(tempfile.mkdtemp(prefix="cifar_sweeps_store_", dir="/tmp")))
    try:
        store.start()
        yield store
    finally:
        store.remove()


class Recorded:
    """What PostgreSQL holds of a study, asked by SQL."""

    def __init__(self, store: TeamStore, study: str = STUDY) -> None:
        self.store, self.study = store, study
        of_study = "FROM runs JOIN experiments USING (experiment_id) WHERE experiments.name = %s"
        self.runs = dict(self._ask(f"SELECT runs.run_uuid, runs.name {of_study}"))
        self.states = Counter(state for (state,) in self._ask(f"SELECT status {of_study}"))
        self.experiments = self._ask("SELECT count(*) FROM experiments WHERE name = %s")[0][0]

    def rows(self, columns: str, table: str) -> list[tuple]:
        """Return rows of a table that has ``run_uuid``, of this study's runs, with the run's name first."""
        of_study = "JOIN runs USING (run_uuid) JOIN experiments USING (experiment_id) WHERE experiments.name = %s"
        return self._ask(f"SELECT runs.name, {columns} FROM {table} {of_study}")

    def artifacts(self) -> dict[str, dict[str, str]]:
        """Return the digests of each run's artifacts by its name, as they lie in the server's folder."""
        found = {}
        for run, name in self.runs.items():
            folders = list(self.store.artifacts.glob(f"*/{run}/artifacts"))
            files = digests(folders[0]) if folders else {}
            # What a killed server of MLflow had begun to write stays beside the files.
            found[name] = {path: digest for path, digest in files.items() if "/.artifact.uploading." not in f"/{path}"}
        return found

    def _ask(self, query: str) -> list[tuple]:
        return ask(self.store, query, self.study)


def ask(store, query, *values):
    import psycopg2

    connection = psycopg2.connect(store.database_uri.replace("+psycopg2", ""))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()
    finally:
        connection.close()


def expected_metrics(load):
    """Return (value, whether it is not a number) as MLflow's table holds them, by (run's name, metric, step)."""
    return {
        (f"writer {writer} run {run}", name, line): (0.0, True)
        if math.isnan(value)
        else (min(value, sys.float_info.max), False)
        for writer in range(load.writers)
        for run in range(load.runs)
        for line in range(1, load.lines + 1)
        for name, value in load.values_of(writer, run, line).items()
    }


def check(store, outputs, load):
    """Assert that the store holds what the journals of these writers say: nothing lost, nothing twice."""
    recorded, expected = Recorded(store), expected_metrics(load)
    rows = recorded.rows("key, step, value, is_nan", "metrics")
    assert len(rows) == len(expected) == load.all_lines * load.values
    assert {(name, key, step): (value, is_nan) for name, key, step, value, is_nan in rows} == expected
    latest = {}
    for (name, key, step), value in expected.items():
        if step > latest.get((name, key), (0,))[0]:
            latest[name, key] = (step, *value)
    rows = recorded.rows("key, step, value, is_nan", "latest_metrics")
    assert {(name, key): tuple(rest) for name, key, *rest in rows} == latest
    assert len(rows) == len(latest)

    jobs = [f"writer {writer} run {run}" for writer in range(load.writers) for run in range(load.runs)]
    sweeps = [f"writer {writer}" for writer in range(load.writers)]
    assert sorted(recorded.runs.values()) == sorted([*jobs, *sweeps])
    assert recorded.experiments == 1
    assert recorded.states == {"FINISHED": len(jobs) + len(sweeps)}
    tags = {(name, key): value for name, key, value in recorded.rows("key, value", "tags")}
    assert {recorded.runs[tags[job, "mlflow.parentRunId"]] for job in jobs} == set(sweeps)
    assert all(recorded.runs[tags[job, "mlflow.parentRunId"]] == job.partition(" run")[0] for job in jobs)
    assert all(f"writer {tags[job, 'cifar_sweeps.half'].replace(' ', ' run ')}" == job for job in jobs)
    assert Counter(name for name, _ in recorded.rows("key", "params")) == dict.fromkeys(jobs, 40)

    artifacts = recorded.artifacts()
    for writer in range(load.writers):
        for run in range(load.runs):
            folder = load.folder(outputs, writer, run)
            files = {f"figures/{name}": digest for name, digest in digests(folder / "figures").items()}
            named = {"weights.bin": "checkpoints/weights.bin", "config.yaml": "config.yaml"}
            files |= {named[name]: digest for name, digest in digests(folder).items() if name in named}
            assert artifacts[f"writer {writer} run {run}"] == files
    assert not undelivered_folders(outputs)


def sync_all(outputs):
    """Send what is left, as a user does who repeats the command until nothing is."""
    for _ in range(5):
        if sync(outputs):
            return
        time.sleep(1)
    raise AssertionError("not all could be sent")


@pytest.fixture(scope="module")
def written(store, tmp_path_factory):
    """The outputs of all writers, while the server is killed once, and the database killed and stopped."""
    outputs, figures = tmp_path_factory.mktemp("team"), {}

    def kill_server():
        store.stop_server(kill=True)
        time.sleep(_AWAY)
        store.start_server()

    def kill_database():
        store.stop_database(kill=True)
        time.sleep(_AWAY)
        store.start_database()

    def restart_database():
        store.stop_database()
        time.sleep(_AWAY)
        store.start_database()

    began = time.monotonic()
    writers = start_writers(outputs, store.uri, LOAD)
    for share, happens in ((0.2, kill_server), (0.45, kill_database), (0.7, restart_database)):
        while sum(map(journal.count_lines, journal.folders(outputs))) < share * LOAD.all_lines:
            time.sleep(0.2)
        assert all(writer.is_alive() for writer in writers)
        happens()
    figures["memory of the server (MB)"] = round(store.server_memory() / 1e6)
    for writer in writers:
        writer.join()
    figures["seconds until the writers had ended"] = round(time.monotonic() - began, 1)
    figures["journals that were not sent then"] = len(undelivered_folders(outputs))
    assert [writer.exitcode for writer in writers] == [0] * LOAD.writers
    sync_all(outputs)
    seconds = time.monotonic() - began
    figures |= {"seconds": round(seconds, 1), "lines/s": round(LOAD.all_lines / seconds)}
    figures["deadlocks"] = store.deadlocks()
    print(f"\n{LOAD.writers} writers, {LOAD.all_lines:,} lines: {figures}", file=sys.__stderr__)
    return outputs


def test_sixteen_writers_lose_and_double_nothing_while_server_and_database_are_killed(store, written):
    check(store, written, LOAD)
    assert store.deadlocks() == 0


def test_journals_that_are_sent_again_leave_no_duplicates(store, written):
    """The note of what was sent is gone of some runs; of others it is one of the middle of the delivery."""
    chosen = random.Random(0)
    began, lines = time.monotonic(), 0
    for number, folder in enumerate(journal.folders(written)):
        note = folder / delivery.NOTE
        if number % 8 == 0:
            note.unlink()
            lines += journal.count_lines(folder)
        elif number % 8 == 1:
            state = json.loads(note.read_text())
            left = chosen.randrange(1, state["lines"])
            note.write_text(json.dumps({**state, "lines": state["lines"] - left}))
            lines += left
    assert undelivered_folders(written)
    sync_all(written)
    seconds = time.monotonic() - began
    print(f"\n{lines:,} lines sent again in {seconds:.1f} s", file=sys.__stderr__)
    check(store, written, LOAD)
