"""Tables of formatted cells, for HTML pages, Markdown and the terminal."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers are right-aligned. ``is_extra``: omitted on a narrow terminal."""

    title: str
    is_number: bool = False
    is_extra: bool = False


@dataclass(frozen=True)
class TextTable:
    """A table of formatted cells. ``empty``: shown instead of a table without rows; ``note``: shown below it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str = ""
    note: str = ""
