"""The page of a comparison in a real browser: wide and narrow, without network."""

import shutil

import pytest
from inspection.comparison.planted_runs import one_sweep, toy_explain

from cifar_sweeps.inspection.comparison.compare import compare
from cifar_sweeps.inspection.comparison.page import write_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    planted = one_sweep(tmp_path_factory.mktemp("planted") / "outputs")
    typed = ["arms:none", "arms:dropout"]
    return write_page(compare(*typed, planted.store), typed, planted.store.outputs, toy_explain)


@pytest.fixture(scope="module")
def browser():
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_fits_shows_its_figures_and_requests_nothing(page_file, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []
    loaded = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert loaded == [True] * 7  # four curves, two figures of classes, and the images that only A has right
    headings = page.locator("h2").all_inner_texts()
    assert headings[0].startswith("Do these two settings differ?")
    assert headings[1:6] == [
        *("What differs", "Figures", "Curves", "By class", "Images that one has right and the other wrong")
    ]
    page.close()


def test_the_sheets_stand_side_by_side_only_where_there_is_room(page_file, browser):
    lefts = {}
    for width in (1200, 400):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(page_file.as_uri())
        lefts[width] = page.locator("figure").evaluate_all("all => all.slice(0, 2).map(one => one.offsetLeft)")
        page.close()
    assert lefts[1200][0] < lefts[1200][1]
    assert lefts[400][0] == lefts[400][1]
