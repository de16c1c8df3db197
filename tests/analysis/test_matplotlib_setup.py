import os
import subprocess
import sys
import warnings

import pytest

from cifar_sweeps.analysis.matplotlib_setup import missing_glyphs

PROGRAM = """
import logging, os, warnings
warnings.simplefilter("error")
from cifar_sweeps.analysis.matplotlib_setup import import_matplotlib, own_style
names = ("MPLBACKEND", "MATPLOTLIBRC")
before = [os.environ.get(name) for name in names]
import_matplotlib()
assert before == [os.environ.get(name) for name in names], "the user's settings are left as they are"
import matplotlib
from matplotlib.figure import Figure
with own_style():
    Figure().savefig("figure.png")
"""


@pytest.mark.parametrize(
    ("environment", "matplotlibrc"),
    [
        ({"MPLBACKEND": "nonsense"}, None),
        ({"MPLBACKEND": "module://no_such_module.backend"}, None),
        ({"MPLCONFIGDIR": "/proc/nowhere", "HOME": "/proc/nowhere"}, None),
        ({}, b"backend: nonsense\nno.such.key: 1\n"),
        ({}, b"text.usetex: true\nsavefig.dpi: 1e9\n"),
    ],
    ids=["backend", "module", "home", "keys", "latex"],
)
def test_figures_are_drawn_whatever_is_set_for_others(tmp_path, environment, matplotlibrc):
    if matplotlibrc is not None:
        (tmp_path / "matplotlibrc").write_bytes(matplotlibrc)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "figure.png").stat().st_size > 100


def test_letters_that_no_font_has_are_collected_and_not_warned_of(recwarn):
    with missing_glyphs() as missing:
        warnings.warn("Glyph 29483 (\\N{CJK UNIFIED IDEOGRAPH-732B}) missing from font(s) DejaVu Sans.", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
    assert missing == {"猫"}
    assert not recwarn
