"""Tables and paragraphs in Markdown, with what users wrote kept from being markup."""

import re
from collections.abc import Iterator, Mapping, Sequence

from cifar_sweeps.studies.reports.report_tables import TextTable

_MARKUP = re.compile(r"([\\|`*\[\]])")


def escape(text: str) -> str:
    """Return text as it reads in one line of Markdown, in a table's cell too."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", plain)


def table(grid: TextTable) -> str:
    """Return a heading and a table, or the words that stand in its place."""
    heading = f"## {escape(grid.title)}\n\n"
    if not grid.rows:
        return f"{heading}{escape(grid.empty)}\n"
    lines = [
        _row([column.title for column in grid.columns]),
        "| " + " | ".join("---:" if column.is_number else "---" for column in grid.columns) + " |",
        *(_row(row) for row in grid.rows),
    ]
    note = f"\n{escape(grid.note)}\n" if grid.note else ""
    return heading + "\n".join(lines) + "\n" + note


def document(values: Mapping[str, object], pictures: str) -> str:
    """Return the whole report. values: as the page's template takes them; pictures: the file that shows them."""
    return "\n".join(_sections(values, pictures))


def _sections(values: Mapping[str, object], pictures: str) -> Iterator[str]:
    yield f"# {escape(str(values['title']))}\n"
    yield "".join(f"**{escape(warning)}**\n\n" for warning in _texts(values["warnings"])) + escape(
        str(values["summary"])
    )
    yield ""
    yield from (table(grid) for grid in _grids(values["tables"]))
    yield f"## Pictures\n\nThey are in {escape(pictures)}.\n"
    yield from (table(grid) for grid in _grids(values["failures"]))
    yield "## Assumptions\n"
    assumptions = values["assumptions"]
    assert isinstance(assumptions, list)
    yield (
        "".join(
            f"{escape(arm)}:\n\n" + "".join(f"- {escape(text)}\n" for text in texts) + "\n"
            for arm, texts in assumptions
        )
        or "None is stated.\n"
    )
    yield "## Environment\n"
    environment = values["environment"]
    assert isinstance(environment, list)
    yield "| what | value |\n| --- | --- |\n" + "".join(
        f"| {escape(what)} | {escape(value)}{' **(the runs differ)**' if differs else ''} |\n"
        for what, value, differs in environment
    )
    # Indented: no number of backticks in a command ends this block.
    yield "## Do it again\n\n" + "".join(f"    {' '.join(line.split())}\n" for line in _texts(values["commands"]))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"


def _texts(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(text) for text in value]


def _grids(value: object) -> list[TextTable]:
    assert isinstance(value, list)
    return value
