"""Render a self-contained HTML page: no external files, no scripts."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import jinja2
from matplotlib.figure import Figure

from cifar_sweeps.analysis.matplotlib_setup import missing_glyphs
from cifar_sweeps.analysis.sheet import Sheet
from cifar_sweeps.analysis.tables import TextTable

_DPI = 144
"""Of pictures stored as PNG: sharp on screens of two pixels a point."""


@dataclass(frozen=True)
class PageFigure:
    """A figure on a page. ``description``: its caption and alternative text.

    format: ``svg`` stays sharp when printed or enlarged; ``png`` is smaller where the figure shows many images.
    """

    title: str
    description: str
    figure: Figure | Sheet
    format: Literal["svg", "png"] = "svg"

    @property
    def data_uri(self) -> str:
        """The figure as a data URI."""
        file = io.BytesIO()
        if isinstance(self.figure, Sheet):
            self.figure.image.save(file, format="png")
            return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        settings = {"metadata": {"Date": None}} if self.format == "svg" else {"dpi": _DPI}
        with missing_glyphs():  # a browser draws their boxes
            self.figure.savefig(file, format=self.format, **settings)
        kind = "image/svg+xml" if self.format == "svg" else "image/png"
        return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading, then paragraphs, tables and figures. side_by_side: figures two abreast."""

    title: str
    texts: Sequence[str] = ()
    tables: Sequence[TextTable] = ()
    figures: Sequence[PageFigure] = ()
    side_by_side: bool = True


def render_sections(
    title: str,
    summary: str,
    sections: Sequence[Section],
    *,
    version: str,
    warnings: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> str:
    """Return the HTML of a page of sections; every text is escaped. commands: those that make the page again."""
    values = {"title": title, "summary": summary, "sections": sections, "version": version}
    return render_template("sections.html.jinja", {**values, "warnings": warnings, "commands": commands})


def render_template(name: str, values: Mapping[str, object], package: str = "cifar_sweeps.analysis.pages") -> str:
    """Return the HTML of a template of ``package``, which may extend ``base.html.jinja``; every text is escaped."""
    folders = dict.fromkeys([package, "cifar_sweeps.analysis.pages"])
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(folder, ".") for folder in folders]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(values)
