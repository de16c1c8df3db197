"""What a run that a script or a notebook starts shows, and that nothing of it decides over the training."""

import asyncio
import io
import sys
import warnings

import pytest
from conftest import TINY
from running import SMALL, JournalContents

import cifar_sweeps
from cifar_sweeps.analysis import figures
from cifar_sweeps.runs.artifacts import wrapping_up

PICTURES = tuple(override for override in SMALL if not override.startswith("analysis.pictures"))


class NotebookOutput(io.TextIOBase):
    """As ipykernel's: no file, no terminal, an encoding."""

    encoding = "UTF-8"

    def __init__(self, error: Exception | None = None) -> None:
        self.text, self.error = "", error

    def write(self, text):
        if self.error is not None:
            raise self.error
        self.text += text
        return len(text)


@pytest.mark.parametrize(
    "error", [None, BrokenPipeError(), UnicodeEncodeError("ascii", "…", 0, 1, "no"), ValueError("closed")], ids=repr
)
def test_a_notebook_s_run_shows_its_progress_and_bears_an_output_that_fails(tmp_path, monkeypatch, error):
    output = NotebookOutput(error if not isinstance(error, UnicodeEncodeError) else None)
    if isinstance(error, UnicodeEncodeError):
        output = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", output)

    async def cell():  # a notebook's cells run within its event loop
        return cifar_sweeps.run(cifar_sweeps.compose(SMALL), name="a run …", folder=tmp_path / "run")

    result = asyncio.run(cell())
    monkeypatch.undo()
    assert len(result.history) == 4
    assert JournalContents(tmp_path / "run").state == "FINISHED"
    if error is None:
        assert "epoch 4/4" in output.text
        assert "\x1b" not in output.text
    elif isinstance(error, UnicodeEncodeError):
        assert b"a run ..." in output.buffer.getvalue()


def test_a_run_can_be_asked_to_show_nothing(tmp_path, capsys):
    cifar_sweeps.run(cifar_sweeps.compose(SMALL), folder=tmp_path / "run", progress=False)
    assert capsys.readouterr() == ("", "")


def test_what_follows_the_training_is_said(tmp_path, capsys):
    cifar_sweeps.run(cifar_sweeps.compose(PICTURES), name="a run", folder=tmp_path / "run")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3] == "  testing on 60 images …"
    assert "test accuracy" in lines[-2]
    assert lines[-1] == "  drawing the pictures …"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], "drawing the pictures and saving the model"),
        (["analysis.pictures=false"], "saving the model"),
        (["tracking=none"], "drawing the pictures"),
        (["analysis.pictures=false", "analysis.log_model=false"], ""),
    ],
)
def test_only_what_is_done_is_said(overrides, said):
    assert wrapping_up(cifar_sweeps.compose([*TINY, *overrides])) == said


@pytest.mark.parametrize(
    ("level", "alone", "in_sweep"),
    [("best", True, False), ("all", True, True), ("none", False, False), ("true", True, True), ("false", False, False)],
)
def test_a_job_of_a_sweep_saves_its_model_only_where_all_do(level, alone, in_sweep):
    config = cifar_sweeps.compose([*TINY, "analysis.pictures=false", f"analysis.log_model={level}"])
    assert [wrapping_up(config, job) for job in (False, True)] == [
        "saving the model" if each else "" for each in (alone, in_sweep)
    ]


def test_pictures_that_cannot_be_drawn_cost_no_training(tmp_path, capsys, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("latex was not able to process the following string")

    monkeypatch.setattr(figures, "learning_curves", fail)
    cifar_sweeps.run(cifar_sweeps.compose(PICTURES), folder=tmp_path / "run")
    assert JournalContents(tmp_path / "run").state == "FINISHED"
    assert "could not be drawn: RuntimeError: latex was not able" in capsys.readouterr().out


def test_settings_of_the_user_s_own_figures_do_not_reach_ours(tmp_path, capsys):
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "font.family": ["no such font"], "savefig.format": "pdf"}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cifar_sweeps.run(cifar_sweeps.compose(PICTURES), name="a run of 猫", folder=tmp_path / "run")
        assert matplotlib.rcParams["text.usetex"]
    assert (tmp_path / "run" / "predictions.png").stat().st_size > 1000
    said = capsys.readouterr().out
    assert "could not be drawn" not in said
    has_font = "which are drawn as boxes" not in said  # where a font for it is installed
    assert has_font or "(猫)" in said
