"""Render the report as one self-contained HTML page: no external files, no scripts."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import jinja2
from matplotlib.figure import Figure

from cifar_sweeps.analysis.matplotlib_setup import missing_glyphs


@dataclass(frozen=True)
class ReportFigure:
    """A figure on the page. ``description``: its caption and alternative text."""

    title: str
    description: str
    figure: Figure

    @property
    def data_uri(self) -> str:
        """The figure as a data URI. SVG, which stays sharp when printed or enlarged."""
        file = io.BytesIO()
        with missing_glyphs():  # a browser draws their boxes
            self.figure.savefig(file, format="svg", metadata={"Date": None})
        return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"


def render_page(values: Mapping[str, object]) -> str:
    """Return the HTML of the report; every text in ``values`` is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cifar_sweeps.studies.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(values)
