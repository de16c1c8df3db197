"""The page of a run's data in a real browser: wide, narrow and printed, without network."""

import pytest

from cifar_sweeps.config.compose import compose
from cifar_sweeps.inspection.data_findings import look_at_data
from cifar_sweeps.inspection.data_page import write_data_page

from .conftest import cut_off_in_print

OVERRIDES = ("data.source.train_images=400", "data.source.test_images=100", "augmentation=flip_crop")
HEADINGS = [
    "Notes",
    "Splits and classes",
    "Samples",
    "Under augmentation",
    "Mean and deviation of the channels",
    "Duplicates",
    "Odd images",
    "Do it again",
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    found = look_at_data(compose([*OVERRIDES, "trainer.threads=1"]))
    return write_data_page(found, ["cifar-sweeps", "data", *OVERRIDES], tmp_path_factory.mktemp("page") / "data.html")


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_fits_shows_its_pictures_and_requests_nothing(written, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(written.page.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []
    shown = page.evaluate("[...document.images].map(i => i.naturalWidth > 0 && i.clientWidth <= innerWidth && i.alt)")
    assert len(shown) == len(list(written.folder.glob("*.png")))
    assert all(shown)
    assert page.evaluate("[...document.querySelectorAll('h2')].map(h => h.innerText)") == HEADINGS
    assert "data.mean=[" in page.inner_text("body")
    page.close()


def test_nothing_is_cut_off_when_printed(written, browser):
    assert cut_off_in_print(browser, written.page) == 0
