"""The report in a real browser: wide, narrow and printed, without network."""

import pytest
from studies.reports.hostile_text import MARKUP, hostile_sweep
from studies.study_toys import ToyStore, regularization

from cifar_sweeps.studies.reports.study_report import write_report

from .conftest import cut_off_in_print


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    toy = ToyStore(tmp_path_factory.mktemp("store"))
    regularization(toy)
    return write_report("new", tmp_path_factory.mktemp("report") / "report.html", toy.store)


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_fits_shows_its_figures_and_requests_nothing(report, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(report.page.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []
    loaded = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert loaded
    assert all(loaded)
    text = page.inner_text("body")
    assert "agrees" in text
    assert "out | of memory" in text  # why a run failed
    headings = page.evaluate("[...document.querySelectorAll('h2')].map(h => h.innerText)")
    assert headings[:4] == [
        "Runs that did not finish",
        "Claims",
        "Published and measured",
        "Arms by final validation accuracy",
    ]
    assert headings.index("Figures") > 3
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(report, browser, scheme):
    page = browser.new_page(color_scheme=scheme)
    page.goto(report.page.as_uri())
    luminance = """colour => { const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(
        v => v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b }"""
    ratios = page.evaluate(
        f"""(() => {{ const light = {luminance}, page = light(getComputedStyle(document.body).backgroundColor);
        return [...document.querySelectorAll('h1, h2, p, td, th, figcaption')].map(e => {{
            const text = light(getComputedStyle(e).color);
            return (Math.max(text, page) + .05) / (Math.min(text, page) + .05) }}) }})()"""
    )
    assert min(ratios) >= 4.5  # WCAG 2, level AA
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    page.close()


def test_nothing_is_cut_off_when_printed(report, browser):
    assert cut_off_in_print(browser, report.page) == 0


def test_markup_in_user_text_runs_nothing(tmp_path, browser):
    report = write_report("hostile", tmp_path / "report.html", hostile_sweep(tmp_path))
    page = browser.new_page()
    events = []
    page.on("dialog", lambda dialog: (events.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda error: events.append(str(error)))
    page.goto(report.page.as_uri())
    assert events == []
    assert MARKUP in page.inner_text("h1")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    page.close()
