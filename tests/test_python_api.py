"""The Python API: its examples are run as they are printed, and importing it costs nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

import cifar_sweeps

README = Path(__file__).parents[1] / "README.md"


def examples(text: str) -> list[str]:
    """The lines of a text's doctest examples."""
    return re.findall(r"^ *>>> (.*)$", text, flags=re.MULTILINE)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """A fresh folder with its own outputs, as a notebook is started in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFAR_SWEEPS_OUTPUTS")
    return tmp_path


@pytest.mark.parametrize("text", [cifar_sweeps.__doc__, README.read_text(encoding="utf-8")], ids=["module", "README"])
def test_the_examples_run_in_their_order(text, in_folder, monkeypatch):
    compose = cifar_sweeps.compose
    # A small run in place of the example's, so that it takes a second.
    small = [line for line in TINY if not line.startswith(("model.", "trainer.epochs"))]
    monkeypatch.setattr(cifar_sweeps, "compose", lambda overrides: compose([*overrides, *small]))
    lines, names = examples(text), {}
    assert len(lines) >= 5
    values = []
    for line in lines:
        code = compile(line, "example", "single" if "=" in line.split("(")[0] or line.startswith("import") else "eval")
        values.append(eval(code, names))
    assert (in_folder / "outputs" / "mlflow.db").exists()
    assert list(names["table"]["name"]) == ["first try"]
    assert list(names["table"]["state"]) == ["finished"]
    assert names["result"].metrics["test/accuracy"] == names["table"]["test/accuracy"].item()


def test_the_history_has_a_row_an_epoch_and_the_store_finds_the_run(in_folder):
    result = cifar_sweeps.run(cifar_sweeps.compose(TINY), name="here")
    history = cifar_sweeps.load_history("cifar_sweeps")
    assert list(history["epoch"]) == [1, 2]
    assert list(history["val/accuracy"]) == [metrics.val_accuracy for metrics in result.history]
    store = cifar_sweeps.Store.open("outputs")
    assert store.find_run("here").run_id == result.run_id
    assert len(cifar_sweeps.load_results("cifar_sweeps", store)) == 1


def test_a_store_that_is_not_there_is_a_clear_error(in_folder):
    with pytest.raises(cifar_sweeps.TrackingError, match="elsewhere"):
        cifar_sweeps.Store.open("elsewhere")


def test_a_faulty_config_is_a_clear_error():
    with pytest.raises(cifar_sweeps.ConfigError, match=r"did you mean 'optimizer\.lr'"):
        cifar_sweeps.compose(["lr=0.1"])


def test_the_import_is_light_and_every_name_is_found():
    script = (
        "import sys, cifar_sweeps\n"
        "print(*sorted({'torch', 'mlflow', 'pandas', 'hydra'} & set(sys.modules)))\n"
        "assert set(cifar_sweeps.__all__) <= set(dir(cifar_sweeps))\n"
        "for name in cifar_sweeps.__all__: assert getattr(cifar_sweeps, name).__name__ == name\n"
        "try: cifar_sweeps.nothing\n"
        "except AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "module 'cifar_sweeps' has no attribute 'nothing'"]
