"""User text in a report is escaped, never markup."""

import re
from html.parser import HTMLParser

import pytest
from hostile_text import MARKUP, hostile_sweep

from cifar_sweeps.studies.reports.study_report import write_report


class Reader(HTMLParser):
    """Collect the elements, attributes and text of a page."""

    def __init__(self):
        super().__init__()
        self.elements, self.attributes, self.sources, self.text = set(), set(), set(), ""

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.sources.update(value.partition(":")[0] for name, value in attrs if name in ("src", "href"))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    store = hostile_sweep(tmp_path_factory.mktemp("store"))
    return write_report("hostile", tmp_path_factory.mktemp("report") / "report.html", store)


def test_the_page_shows_markup_as_text(report):
    reader = Reader()
    reader.feed(report.page.read_text(encoding="utf-8"))
    assert reader.elements & {"script", "iframe", "object", "embed", "link", "base", "form", "a", "svg"} == set()
    assert [name for name in reader.attributes if name.startswith("on")] == []
    assert reader.sources == {"data"}
    # Title and heading, two arms, a claim and its source, a metric's source, failure, assumption, machine, command.
    assert reader.text.count(MARKUP) > 12


def test_the_markdown_has_no_user_markup(report):
    text = report.markdown.read_text(encoding="utf-8")
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    assert "<" not in prose
    assert "\\[x\\](javascript" in prose
    assert re.search(r"(?<!\\)\]\(", prose) is None


def test_the_default_folder_is_reports_whatever_the_study_is_called(tmp_path):
    store = hostile_sweep(tmp_path)
    written = write_report("hostile", None, store)
    assert {path.parent for path in written.paths.values()} == {tmp_path / "reports"}
    assert all(len(path.name.encode()) < 200 for path in written.paths.values())
