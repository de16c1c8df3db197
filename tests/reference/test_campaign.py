"""The reference is trained once, wherever it goes on; its tables are made of the archives alone."""

import io
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from conftest import TINY

from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.reference import archive, campaign
from cifar_sweeps.reference.stages import STAGES, Stage
from cifar_sweeps.reference.status import status_lines
from cifar_sweeps.reference.tables import make_table
from cifar_sweeps.studies.overview.catalogue import swept_by

STAGE = Stage("quickstart", ("kernel_size=k3", "regularization=none,l2"), "two runs")


@pytest.fixture
def places(tmp_path, monkeypatch, capfd):
    """A folder of archives, a folder to train in, what is told, and what the sweeps print."""
    monkeypatch.delenv(campaign.REAL_DATA, raising=False)
    monkeypatch.setattr(campaign, "_lowest_priority", lambda: None)  # these are over in seconds
    return tmp_path / "reference", tmp_path / "work", [], lambda: capfd.readouterr().out


def go_on(places, work=None):
    folder, usual, told, printed = places
    status = campaign.train([STAGE], folder, work or usual, told.append, TINY)
    return status, printed()


def jobs_in(path):
    """Return the journals of the jobs in an archive."""
    with tarfile.open(path) as packed:
        names = [name for name in packed.getnames() if name.count("/") == 3 and name.endswith("journal.jsonl")]
        return {name: packed.extractfile(name).read() for name in names}


@pytest.mark.slow
def test_what_is_archived_is_never_trained_again_and_its_table_is_the_same(places, tmp_path):
    folder, _, told, _ = places
    status, printed = go_on(places)
    assert status == 0
    assert "job 1 finished" in printed
    path = campaign.archive_path(folder, "quickstart")
    assert told[-1] == f"{path}: 2 finished runs"
    first = jobs_in(path)
    assert len(first) == 2
    other_machine = tmp_path / "elsewhere"
    status, printed = go_on(places, other_machine)
    assert status == 0
    assert "2 jobs had finished before" in " ".join(printed.split())
    assert "started" not in printed
    assert archive.finished_runs(other_machine, "quickstart") == 2
    assert jobs_in(path) == first
    tables = [[place.read_text() for place in make_table("quickstart", folder)] for _ in range(2)]
    assert tables[0] == tables[1]
    assert "regularization=l2" in tables[0][0]
    assert "by `python -m cifar_sweeps.reference table quickstart`" in tables[0][0]
    assert not any(place.suffix in (".pt", ".png") for place in (folder / "journals").rglob("*"))


@pytest.mark.slow
def test_runs_are_only_ever_added(places, tmp_path):
    folder, _, told, printed = places
    go_on(places)
    more = Stage("quickstart", ("kernel_size=k5", "regularization=none"), "one more")
    empty = tmp_path / "empty"  # the archive's runs are not even there when it is packed
    assert campaign.train([more], folder, empty, told.append, TINY) == 0
    assert told[-1].endswith(": 3 finished runs")
    lines = status_lines([STAGE, more], empty)
    assert [line.split()[1:3] for line in lines[1:]] == [["2", "2"], ["1", "1"]]
    printed()


def test_a_damaged_archive_is_refused_and_nothing_is_written_outside(places, tmp_path):
    folder, work, _, _ = places
    path = campaign.archive_path(folder, "quickstart")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be read"):
        archive.unpack(path, work)
    with tarfile.open(path, "w:xz") as evil:
        member = tarfile.TarInfo("../journal.jsonl")
        member.size = 1
        evil.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(DataError, match=r"holds \.\./journal.jsonl, which is no file of a run"):
        archive.unpack(path, work)
    with pytest.raises(DataError, match="there is no such archive; train first"):
        make_table("depth", folder)


def test_images_are_named_alike_on_every_machine(tmp_path, monkeypatch):
    commands = []
    for machine in ("one", "two"):
        images, checkout = tmp_path / machine / "images", tmp_path / machine / "checkout"
        images.mkdir(parents=True)
        checkout.mkdir()
        monkeypatch.chdir(checkout)
        commands.append(campaign._data_overrides({campaign.REAL_DATA: str(images)}))
        assert campaign._data_overrides({campaign.REAL_DATA: str(images)}) == commands[-1]  # once more
    assert commands[0] == commands[1] == ["data=image_folder", "data.root=outputs/data/cifar10-jpeg"]
    with pytest.raises(ConfigError, match="the images of the reference are those of"):
        campaign._data_overrides({campaign.REAL_DATA: str(tmp_path / "one" / "images")})
    with pytest.raises(ConfigError, match="there is no such folder; unset it"):
        campaign._data_overrides({campaign.REAL_DATA: "nowhere"})


CAMPAIGN = """
import sys
from pathlib import Path
from cifar_sweeps.reference import campaign
from cifar_sweeps.reference.stages import Stage
campaign._lowest_priority = lambda: None
stage = Stage("quickstart", ("kernel_size=k3", "regularization=none,l2", "hydra.launcher.n_jobs=1"), "two runs")
say = lambda line: print(line, flush=True)
if __name__ == "__main__":
    sys.exit(campaign.train([stage], Path(sys.argv[1]), Path(sys.argv[2]), say, sys.argv[3:]))
"""


@pytest.mark.slow_fault
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_campaign_that_is_stopped_goes_on_with_what_it_has(places, tmp_path, how):
    folder, work, _, _ = places
    script = tmp_path / "go.py"
    script.write_text(CAMPAIGN)
    command = [sys.executable, str(script), str(folder), str(work), *TINY, "trainer.epochs=200"]
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(
        command, stdout=log, stderr=log, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    end = time.monotonic() + 120
    while "job 1 started" not in (tmp_path / "log").read_text() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(how)
    assert process.wait(60) == 130, (tmp_path / "log").read_text()
    first = jobs_in(campaign.archive_path(folder, "quickstart"))
    assert len(first) == 1  # the one that had finished
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 job had finished before" in " ".join(done.stdout.split())
    both = jobs_in(campaign.archive_path(folder, "quickstart"))
    assert len(both) == 2
    assert {name: both[name] for name in first} == first


def test_a_stage_that_was_interrupted_ends_the_campaign_with_what_is_finished_archived(places, monkeypatch):
    folder, work, told, _ = places
    monkeypatch.setattr(campaign, "_sweep", lambda *_: 130)
    assert campaign.train([STAGE, STAGE], folder, work, told.append) == 130
    assert told[-1] == "interrupted; the same command goes on"
    assert sum(line.startswith("stage") for line in told) == 1


def test_each_stage_is_of_arms_that_its_study_has():
    for stage in STAGES:
        arms = swept_by(stage.study)["experiment"]
        assert set(stage.arms) <= set(arms), stage
