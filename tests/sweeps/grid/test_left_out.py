"""`sweep.exclude` leaves jobs out by what they were given, and by what they compose."""

import pytest
from hydra.types import RunMode

from cifar_sweeps.config.grid.dimensions import dimensions, grid_jobs
from cifar_sweeps.config.grid.exclusion import parse_rule
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.config.sweep_composer import SweepComposerCache
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_support import current_loader, hooks, initialized_compose, is_composition_error
from cifar_sweeps.sweeps.grid.left_out import leave_out
from cifar_sweeps.sweeps.grid.sweep import grid_batches


@pytest.fixture(scope="module")
def loader():
    rules = hooks(check=lambda config: None, compose=SweepComposerCache())  # as in the command: files are read once
    with initialized_compose(conf_folder()), rules:
        yield current_loader()


@pytest.fixture(scope="module")
def master(loader):
    return loader.load_configuration("config", [], RunMode.MULTIRUN)


@pytest.fixture
def kept(loader, master):
    """Returns the jobs of a sweep that rules leave, and what is said of the others."""

    def of(overrides, *rules):
        jobs = grid_jobs(dimensions({}, overrides, loader))
        return leave_out(jobs, [parse_rule(rule) for rule in rules], loader, master)

    return of


SWEEP = ["model=plain_3,lenet_1", "optimizer=adam,sgd", "optimizer.lr=1e-3"]


@pytest.mark.parametrize(
    ("rules", "left", "said"),
    [
        ([], "pa ps la ls", []),
        (
            ["model=lenet_1 and optimizer=sgd"],
            "pa ps la",
            ["Left out by sweep.exclude 'model=lenet_1 and optimizer=sgd': 1 of 4 jobs"],
        ),
        (["optimizer.momentum=0.9"], "pa la", ["Left out by sweep.exclude 'optimizer.momentum=0.9': 2 of 4 jobs"]),
        (["optimizer.momentum!=0.9"], "ps ls", ["Left out by sweep.exclude 'optimizer.momentum!=0.9': 2 of 4 jobs"]),
        (["kernel_size=k3 and model.blocks!=[] and model=plain_3"], "la ls", [None]),
        (["optimizer.lr=0.001 and experiment=null and optimizer=sgd"], "pa la", [None]),
        (["study=quickstart or model=lenet_1", "seed=1"], "pa ps", [None, "sweep.exclude: 'seed=1' matches no job"]),
        (
            ["model=lenet_1", "optimizer=sgd"],
            "pa",
            ["Left out by sweep.exclude: 3 of 4 jobs: 2 by 'model=lenet_1', 2 by 'optimizer=sgd'"],
        ),
        (
            ["model=lenet_3"],
            "pa ps la ls",
            [
                "sweep.exclude: 'model=lenet_3' matches no job: model is never lenet_3, but plain_3, lenet_1; "
                "did you mean 'lenet_1'?"
            ],
        ),
    ],
)
def test_the_jobs_that_no_rule_names_are_left(kept, rules, left, said):
    jobs, lines = kept(SWEEP, *rules)
    assert [job[0][6] + job[1][10] for job in jobs] == left.split()
    assert len(lines) == len(said)
    assert all(expected in (None, line) for line, expected in zip(lines, said, strict=True))


@pytest.mark.parametrize(
    ("rules", "messages"),
    [
        (["model=plain_3 or model=lenet_1"], ["leaves out all 4 jobs, so that there is none; narrow it down"]),
        (["model=plain_3", "model=lenet_1"], ["leaves out all 4 jobs (2 by 'model=plain_3', 2 by 'model=lenet_1')"]),
        (["optimizer=sdg"], ["'optimizer=sdg': optimizer has no option sdg, but ", "; did you mean 'sgd'?"]),
        (["model=lenet_1 and optimizer!=sdg"], ["optimizer has no option sdg"]),
        (["lr=0.001"], ["no job has the key lr; did you mean 'optimizer.lr'?"]),
        (["modle=lenet_1"], ["sweep.exclude: 'modle=lenet_1': no job has the key modle; did you mean 'model'?"]),
        (
            ["model=x or lr=1", "pair=3"],
            ["the key lr", "the key pair; a rule names keys of the config, swept are model,"],
        ),
        (["optimizer.momentun=0.9"], ["no job has the key optimizer.momentun; did you mean"]),
        (["trainer.early_stopping=3"], ["is a group of keys; compare one of them: trainer.early_stopping.patience"]),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(kept, rules, messages):
    with pytest.raises(ConfigError) as refused:
        kept(SWEEP, *rules)
    for message in messages:
        assert message in str(refused.value)


def test_a_job_that_cannot_be_composed_is_left_out_by_what_it_was_given(kept):
    sweep = ["optimizer=adam,sgd", "optimizer.momentum=0.5,0.9"]
    jobs, _ = kept(sweep, "optimizer=adam")
    assert jobs == [["optimizer=sgd", "optimizer.momentum=0.5"], ["optimizer=sgd", "optimizer.momentum=0.9"]]
    with pytest.raises(Exception, match=r"optimizer\.momentum") as refused:
        kept(sweep, "optimizer=adam and trainer.epochs=10")
    assert is_composition_error(refused.value)


def test_a_job_keeps_no_rule_among_its_overrides(loader, tmp_path, capsys):
    typed = ["p=zip(model=[plain_3,lenet_1],seed=[1,2])", "optimizer.lr=0.1,0.2", 'sweep.exclude=["seed=2"]']
    config = loader.load_configuration("config", [*typed[1:], f"hydra.sweep.dir={tmp_path}"], RunMode.MULTIRUN)
    [batch] = grid_batches(loader, config, {}, typed, None)
    assert batch == [["model=plain_3", "seed=1", f"optimizer.lr={rate}"] for rate in (0.1, 0.2)]
    assert capsys.readouterr().out == "Left out by sweep.exclude 'seed=2': 2 of 4 jobs\n"
    assert (tmp_path / "multirun.yaml").exists()


def test_batches_are_as_large_as_they_may_be(loader, master, tmp_path):
    config = loader.load_configuration("config", [f"hydra.sweep.dir={tmp_path}"], RunMode.MULTIRUN)
    batches = [*grid_batches(loader, config, {"seed": "range(5)"}, [], 2)]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [job for batch in batches for job in batch] == [[f"seed={seed}"] for seed in range(5)]
    with pytest.raises(ConfigError, match="max_batch_size=0: must be at least 1"):
        next(grid_batches(loader, config, {"seed": "range(5)"}, [], 0))
