"""What others have set for other programs: each row a small process that prepares itself as the commands do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from cifar_sweeps.errors import CifarSweepsError
from cifar_sweeps.system.surroundings import prepare
try:
    lines = prepare(lambda *_: None)
except CifarSweepsError as error:
    print(f"{type(error).__name__}: {error}"); sys.exit(1)
import getpass, os, warnings, logging, subprocess
from pathlib import Path
warnings.warn("a library's", DeprecationWarning)
warnings.warn("a library's")
logging.getLogger("a.library").warning("a library's")
logging.getLogger("cifar_sweeps.data").warning("ours")
import random
names = ("COLUMNS", "LINES", "MPLBACKEND", "no_proxy", "OMP_NUM_THREADS", "OMP_PROC_BIND", "PYTHONWARNINGS")
names += ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
facts = {name: os.environ.get(name) for name in names}
child = subprocess.run([sys.executable, "-c", "import random; print(random.__file__)"], capture_output=True, text=True)
facts |= {"lines": lines, "random": random.__file__, "child": child.stdout, "path": sys.path}
facts |= {"user": getpass.getuser(), "home": str(Path.home())}
print(json.dumps(facts))
"""


def prepared(folder: Path, *options: str, status: int = 0, preexec=None, **environment: str | None):
    """Return the facts of a process that was prepared with these variables (None: unset) in this folder."""
    program = folder.parent / f"{folder.name}-program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    own = {key: value for key, value in {**os.environ, **environment}.items() if value is not None}
    done = subprocess.run(
        [sys.executable, *options, str(program)],
        cwd=folder,
        env=own,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=preexec,
    )
    assert done.returncode == status, done.stderr
    if status:
        return done.stdout
    assert done.stderr.splitlines() == ["ours"]  # no warning of a library
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"COLUMNS": "0", "LINES": "0"}, {"COLUMNS": None, "LINES": None}),
        ({"COLUMNS": "7"}, {"COLUMNS": "40"}),
        ({"COLUMNS": "wide"}, {"COLUMNS": "wide"}),
        ({"COLUMNS": "100"}, {"COLUMNS": "100"}),
        ({"MPLBACKEND": "module://matplotlib_inline.backend_inline"}, {"MPLBACKEND": "agg"}),
        ({"MPLBACKEND": "nonsense"}, {"MPLBACKEND": "agg"}),
        ({"PYTHONWARNINGS": "error"}, {"PYTHONWARNINGS": None}),
        ({"PYTHONWARNINGS": "error::DeprecationWarning,default"}, {"PYTHONWARNINGS": None}),
        ({"PYTHONWARNINGS": "always"}, {"PYTHONWARNINGS": None}),
        ({"PYTHONDEVMODE": "1"}, {}),
        ({"PYTHONOPTIMIZE": "0"}, {}),
        ({"PYTHONSAFEPATH": "1"}, {}),
        ({"HTTP_PROXY": "http://proxy:3128"}, {"no_proxy": "127.0.0.1,localhost,::1"}),
        (
            {"https_proxy": "http://proxy:3128", "NO_PROXY": "a.b,localhost"},
            {"no_proxy": "a.b,localhost,127.0.0.1,::1"},
        ),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "*"}, {"no_proxy": "*"}),
        ({}, {"no_proxy": None, "lines": []}),
        ({"OMP_PROC_BIND": "true"}, {"OMP_PROC_BIND": None}),
        ({"OMP_PROC_BIND": "false"}, {"OMP_PROC_BIND": "false", "lines": []}),
        ({"OMP_NUM_THREADS": "4,2"}, {"OMP_NUM_THREADS": "4,2", "lines": []}),
        ({"OMP_NUM_THREADS": "all"}, {"OMP_NUM_THREADS": None}),
        ({}, {"GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": None}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": None, "OMP_WAIT_POLICY": "active"}),
        ({"TMPDIR": "/nonexistent"}, {}),
        ({"HOME": ""}, {"home": str(Path.home())}),
        ({"HOME": None, "USER": None, "LOGNAME": None, "TERM": None, "PATH": "/usr/bin:/bin"}, {}),
        ({"LC_ALL": "tr_TR.UTF-8", "TZ": "Nonsense/Zone"}, {}),
    ],
    ids=lambda each: " ".join(f"{key}={value}" for key, value in each.items()) or "none",
)
def test_settings_for_other_programs_change_nothing_here(tmp_path, environment, expected):
    clean = dict.fromkeys(
        (
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "no_proxy",
            "NO_PROXY",
            "GOMP_SPINCOUNT",
        )
    )
    facts = prepared(tmp_path, **{**clean, **environment})
    assert {name: facts[name] for name in expected} == expected
    for name in ("OMP_PROC_BIND", "OMP_NUM_THREADS"):
        if name in expected and expected[name] is None:  # what is not followed is said
            assert facts["lines"][0].startswith(f"{name}={environment[name]} ")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_without_a_name_and_a_home_has_both():
    program = (
        "import getpass, os, pathlib, pwd\n"
        "from cifar_sweeps.system import surroundings\n"
        "os.setuid(54321)\n"  # now: the folder of the program may be root's alone
        "surroundings._name_the_user(os.environ)\n"
        "print(getpass.getuser(), pathlib.Path.home())\n"
    )
    mine = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME")
    own = {key: value for key, value in os.environ.items() if key not in mine}
    done = subprocess.run([sys.executable, "-c", program], env=own, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["uid-54321", "/"]


@pytest.mark.parametrize("option", [(), ("-W", "error"), ("-bb",)], ids=" ".join)
@pytest.mark.parametrize("allowed", ["", "mynets"])
def test_own_modules_are_found_and_take_no_library_s_place(tmp_path, option, allowed):
    for name in ("random", "socket", "signal", "yaml", "torch", "cifar_sweeps"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('own')", encoding="utf-8")
    facts = prepared(tmp_path, *option, CIFAR_SWEEPS_ALLOW_TARGETS=allowed)
    assert not facts["random"].startswith(str(tmp_path))
    assert not facts["child"].startswith(str(tmp_path))
    assert (facts["path"][-1] == str(tmp_path)) == bool(allowed)


def test_a_folder_that_the_user_has_put_first_stays_there(tmp_path):
    facts = prepared(tmp_path, CIFAR_SWEEPS_ALLOW_TARGETS="mynets", PYTHONPATH=".")
    assert facts["path"].count(str(tmp_path)) == 1
    assert facts["path"][-1] != str(tmp_path)


def test_a_python_without_assertions_is_refused_with_what_to_unset(tmp_path):
    said = prepared(tmp_path, status=1, PYTHONOPTIMIZE="2")
    assert said.startswith("MachineError: PYTHONOPTIMIZE=2 leaves out assertions")
    assert "unset PYTHONOPTIMIZE" in said


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep such a folder")
def test_a_current_folder_that_is_gone_is_told(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    said = prepared(gone, status=1, preexec=gone.rmdir)
    assert said.startswith("MachineError: the current folder is gone; go to one that exists")
