"""One self-contained HTML page: nothing is fetched, nothing runs."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import jinja2
from matplotlib.figure import Figure


@dataclass(frozen=True)
class ReportFigure:
    """A figure on the page. ``words`` say what it shows, for those who do not see it."""

    title: str
    words: str
    figure: Figure

    @property
    def source(self) -> str:
        """The figure as an address that holds it whole. SVG, so that it stays sharp on paper and under a lens."""
        file = io.BytesIO()
        self.figure.savefig(file, format="svg", metadata={"Date": None})
        return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"


def render(values: Mapping[str, object]) -> str:
    """Return the page; everything in ``values`` is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cifar_sweeps.studies.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(values)
