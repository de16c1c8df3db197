"""Render the report as Markdown, with markup in user text escaped."""

import re
from collections.abc import Iterator, Mapping, Sequence

from cifar_sweeps.analysis.pages.html_page import Section
from cifar_sweeps.analysis.tables import TextTable

_MARKUP = re.compile(r"([\\|`*\[\]])")


def escape(text: str) -> str:
    """Escape text for one line of Markdown, including table cells."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", plain)


def render_table(table: TextTable) -> str:
    """Return a heading and a table, or its text for an empty table."""
    heading = f"## {escape(table.title)}\n\n"
    return heading + _body(table)


def _body(table: TextTable) -> str:
    if not table.rows:
        return f"{escape(table.empty)}\n"
    lines = [
        _row([column.title for column in table.columns]),
        "| " + " | ".join("---:" if column.is_number else "---" for column in table.columns) + " |",
        *(_row(row) for row in table.rows),
    ]
    note = f"\n{escape(table.note)}\n" if table.note else ""
    return "\n".join(lines) + "\n" + note


def render_report(values: Mapping[str, object], figures_file: str) -> str:
    """Return the report. values: as for the HTML template; figures_file: the file with the figures."""
    return "\n".join(_sections(values, figures_file))


def _sections(values: Mapping[str, object], figures_file: str) -> Iterator[str]:
    yield f"# {escape(str(values['title']))}\n"
    yield "".join(f"**{escape(warning)}**\n\n" for warning in _texts(values["warnings"])) + escape(
        str(values["summary"])
    )
    yield ""
    yield from (render_table(table) for table in _tables(values["tables"]))
    importance = values.get("importance")
    if isinstance(importance, Section):
        yield f"## {escape(importance.title)}\n\n" + "".join(f"{escape(text)}\n\n" for text in importance.texts)
        yield from (_body(table) for table in importance.tables)
    if values["figures"]:
        yield f"## Figures\n\nSee {escape(figures_file)}.\n"
    assumptions = values["assumptions"]
    assert isinstance(assumptions, list)
    if assumptions:
        yield "## Assumptions\n"
        yield "".join(
            f"{escape(arm)}:\n\n" + "".join(f"- {escape(text)}\n" for text in texts) + "\n"
            for arm, texts in assumptions
        )
    yield "## Environment\n"
    environment = values["environment"]
    assert isinstance(environment, list)
    yield "| what | value |\n| --- | --- |\n" + "".join(
        f"| {escape(what)} | {escape(value)}{' **(the runs differ)**' if differs else ''} |\n"
        for what, value, differs in environment
    )
    # Indented: backticks in a command cannot end this block.
    yield "## Reproduce\n\n" + "".join(f"    {' '.join(line.split())}\n" for line in _texts(values["commands"]))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"


def _texts(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(text) for text in value]


def _tables(value: object) -> list[TextTable]:
    assert isinstance(value, list)
    return value
