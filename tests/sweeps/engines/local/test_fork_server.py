"""What the fork server imports ahead of all jobs: every name is there, or each job pays for it without a word."""

import importlib
import subprocess
import sys

import pytest

from cifar_sweeps.sweeps.engines.local import fork_server

PRELOADED = (*fork_server.PRELOAD, *fork_server.PRELOAD_FOR_STORE, *fork_server.PRELOAD_FOR_EXPORT)


@pytest.mark.parametrize("name", PRELOADED)
def test_what_the_server_is_told_to_import_exists(name):
    assert importlib.util.find_spec(name) is not None  # the server passes over one that does not


def test_the_server_has_imported_all_that_a_job_unpickles_and_runs():
    script = (
        "import importlib, sys\n"
        f"for name in {fork_server.PRELOAD!r}: importlib.import_module(name)\n"
        "from cifar_sweeps.sweeps.engines.local import preload\n"
        "print(*[name for name in preload._FOR_ANY_RUN if name not in sys.modules])\n"
        "needed = ['torch', 'cifar_sweeps.sweeps.train_job', 'cifar_sweeps.sweeps.engines.local.process']\n"
        "print(*[name for name in needed if name not in sys.modules])\n"
        # Of a sweep whose command sends the records no job needs them, and they would delay the first one.
        "print(*[name for name in ('mlflow', 'sqlalchemy', 'torch._dynamo') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_server_has_made_what_libraries_make_at_their_first_use():
    states = "sum(len(each.states) for each in OmegaConfGrammarParser.decisionsToDFA)"
    script = (
        "import importlib\n"
        f"for name in {fork_server.PRELOAD!r}: importlib.import_module(name)\n"
        "from hydra.core.plugins import Plugins\n"
        "from hydra.core.singleton import Singleton\n"
        "from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser\n"
        "from PIL import Image\n"
        "from cifar_sweeps.analysis import picture_text\n"
        f"learned = {states}\n"
        "if Plugins not in Singleton._instances: print('the installed plugins')\n"
        "if not Image._initialized: print('the formats of images')\n"
        "if not picture_text._letters.cache_info().currsize: print('the fonts')\n"
        "from cifar_sweeps.config.compose import compose\n"
        "compose(['data=synthetic'])\n"
        f"if {states} > 1.1 * learned: print('the grammar:', learned, {states})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == []


def test_the_server_leaves_cuda_alone_so_that_its_jobs_can_use_it():
    # A process that has initialized the driver can fork none that uses CUDA: torch then says so of each fork.
    script = (
        "import importlib, os, torch\n"
        f"for name in {PRELOADED!r}: importlib.import_module(name)\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(torch.cuda._is_in_bad_fork())\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_a_job_imports_nothing_that_the_server_could_have_imported_for_all(tmp_path):
    script = (
        "import importlib, sys\n"
        f"for name in {fork_server.PRELOAD!r}: importlib.import_module(name)\n"
        "print(*{'omegaconf._impl', 'hydra_plugins.cifar_sweeps_launcher'} - {*sys.modules})\n"
        "from cifar_sweeps.config.compose import compose\n"
        "from cifar_sweeps.runs.run import run\n"
        "images = ['data=synthetic', 'data.source.train_images=60', 'data.source.test_images=20']\n"
        "config = compose([*images, 'trainer.epochs=1', 'trainer.threads=1', 'tracking=none', 'outputs=.'])\n"
        "before = {*sys.modules}\n"
        "run(config, progress=False)\n"
        "print(*{*sys.modules} - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == []
