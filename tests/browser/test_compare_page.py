"""The page of a comparison in a real browser: wide and narrow, without network."""

import pytest
from inspection.comparison.planted_runs import one_sweep, toy_explain

from cifar_sweeps.inspection.comparison.compare import compare
from cifar_sweeps.inspection.comparison.page import write_page


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    planted = one_sweep(tmp_path_factory.mktemp("planted") / "outputs")
    typed = ["arms:none", "arms:dropout"]
    return write_page(compare(*typed, planted.store), typed, planted.store.outputs, toy_explain)


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_fits_shows_its_figures_and_requests_nothing(page_file, open_page, width):
    shown = open_page(page_file, width)
    assert shown.fits()
    assert shown.requests_elsewhere() == []
    loaded = shown.page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert loaded == [True] * 7  # four curves, two figures of classes, and the images that only A has right
    headings = shown.page.locator("h2").all_inner_texts()
    assert headings[0].startswith("Do these two settings differ?")
    assert headings[1:6] == [
        *("What differs", "Figures", "Curves", "By class", "Images that one has right and the other wrong")
    ]


@pytest.mark.parametrize(("width", "is_beside"), [(1200, True), (400, False)], ids=["wide", "phone"])
def test_figures_stand_side_by_side_where_there_is_room(page_file, open_page, width, is_beside):
    figures = open_page(page_file, width).page.locator("figure")
    first, second = figures.evaluate_all("all => all.slice(0, 2).map(one => one.offsetLeft)")
    assert (first < second) == is_beside
