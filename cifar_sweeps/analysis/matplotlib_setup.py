"""Set up matplotlib so that figures are the same whatever the user has set for figures of their own."""

import functools
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Three of Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"

DPI = 110
"""Of the pictures that are written as files."""
_FALLBACK_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Source Han Sans", "WenQuanYi Zen Hei"),
    *("Droid Sans Fallback", "Arial Unicode MS", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Malgun Gothic"),
    *("Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Unifont"),
    *("Noto Emoji", "Symbola", "Noto Sans Symbols2"),
)
"""Fonts with letters that matplotlib's own lacks, as far as they are installed."""
_MISSING = re.compile(r"Glyph (\d+) ")


def import_matplotlib() -> None:
    """Import matplotlib, also where MPLBACKEND names no backend or a matplotlibrc file cannot be read."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # a home that cannot be written, faults of a matplotlibrc
    try:
        import matplotlib
    except (ValueError, OSError):  # UnicodeDecodeError included
        before = {name: os.environ.get(name) for name in ("MPLBACKEND", "MATPLOTLIBRC")}
        os.environ.update(MPLBACKEND="agg", MATPLOTLIBRC=os.devnull)
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # what the import had got to
        try:
            import matplotlib  # noqa: F401
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


@contextmanager
def own_style() -> Iterator[None]:
    """Draw with matplotlib's defaults within the block, not with a matplotlibrc that asks for LaTeX, for example.

    Letters that the default font lacks come from other installed fonts.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["font.family"] = list(font_files())
        yield


@functools.cache
def font_files() -> dict[str, str]:
    """Return the fonts to draw with, the first first, and the file of each: matplotlib's own, and fallbacks."""
    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = {font.name: font.fname for font in reversed(fontManager.ttflist)}
    own = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    return {"DejaVu Sans": own, **{name: installed[name] for name in _FALLBACK_FONTS if name in installed}}


@contextmanager
def missing_glyphs() -> Iterator[set[str]]:
    """Collect the letters that no font has, of which matplotlib warns; other warnings pass."""
    found: set[str] = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    for warning in caught:
        glyph = _MISSING.match(str(warning.message))
        if glyph:
            found.add(chr(int(glyph[1])))
        else:
            logging.getLogger("py.warnings").warning("%s", warning.message)
