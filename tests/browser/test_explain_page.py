"""The page of `cifar-sweeps explain` in a real browser: wide, narrow and dark, without network."""

import pytest
from PIL import Image

import cifar_sweeps
from cifar_sweeps.inspection.explain.artifacts import write_artifacts
from cifar_sweeps.inspection.explain.explanation import explain
from cifar_sweeps.inspection.explain.subjects import Selection
from cifar_sweeps.runs.trained_run import open_trained_run
from cifar_sweeps.tracking.store import Store

SMALL = [
    "data.source.train_images=150",
    "data.source.test_images=40",
    "model.blocks=[{filters: [4]}, {filters: [8]}]",
    "model.dense=[16]",
    "trainer.threads=1",
    "trainer.epochs=1",
    "analysis=none",
]
MISTAKES = 2


@pytest.fixture(scope="module")
def page_file(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    cifar_sweeps.run(cifar_sweeps.compose([*SMALL, f"outputs={folder}"]), name="small", progress=False)
    Image.new("RGB", (64, 48), "navy").save(folder / "a <i>picture.png")
    run = open_trained_run("small", Store.open(folder))
    selection = Selection(mistakes=MISTAKES, files=(folder / "a <i>picture.png",))
    page, _ = write_artifacts(explain(run, selection, [], lambda _line: None), "cifar-sweeps explain small")
    return page


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_fits_and_its_pictures_are_enlarged_pixel_for_pixel(page_file, open_page, width):
    opened = open_page(page_file, width=width)
    assert opened.fits()
    assert opened.requests_elsewhere() == []
    images = opened.page.evaluate(
        """[...document.querySelectorAll('.tile img')].map(e => [e.complete && e.naturalWidth > 0,
            getComputedStyle(e).imageRendering])"""
    )
    # Each mistake has 7 pictures, the picture 5; all have 5 neighbours and 4 + 8 + 8 maps; there are 4 filters.
    assert len(images) == MISTAKES * (7 + 5 + 20) + (5 + 5 + 20) + 4
    assert all(loaded and style == "pixelated" for loaded, style in images)
    sizes = opened.page.evaluate(
        """[...document.querySelectorAll('.subject .tiles:not(.small):not(.tiny) img')].map(e =>
            [e.naturalWidth, e.offsetWidth, e.offsetHeight])"""
    )
    assert {natural for natural, _, _ in sizes} == {8, 32, 128}  # Grad-CAM at its own resolution, images, overlays
    assert all(shown >= 100 and shown == high for _, shown, high in sizes)
    assert opened.errors == []


def test_a_link_leads_to_each_image_and_its_maps_open(page_file, open_page):
    opened = open_page(page_file, width=1200)
    links = opened.page.locator(".places a")
    assert links.count() == MISTAKES + 1
    assert links.last.inner_text() == "a <i>picture.png"
    links.last.click()
    assert opened.page.evaluate("document.querySelector(':target h2').innerText").startswith(
        "a <i>picture.png: predicted"
    )
    maps = opened.page.locator("details").last
    assert not maps.locator("img").first.is_visible()
    maps.locator("summary").click()
    assert maps.locator("img").first.is_visible()
    assert maps.locator("h3").all_inner_texts() == [
        "features.block1.conv1 (4×32×32)",
        "features.block2.conv1 (8×16×16)",
        "features.block2.activation1 (8×8×8)",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(page_file, open_page, scheme):
    opened = open_page(page_file, width=1200, color_scheme=scheme)
    luminance = """colour => { const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(
        v => v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b }"""
    ratios = opened.page.evaluate(
        f"""(() => {{ const light = {luminance}, page = light(getComputedStyle(document.body).backgroundColor);
        return [...document.querySelectorAll('h1, h2, h3, p, a, summary, figcaption, figcaption b, .bars span')].map(
            e => {{ const text = light(getComputedStyle(e).color);
            return (Math.max(text, page) + .05) / (Math.min(text, page) + .05) }}) }})()"""
    )
    assert min(ratios) >= 4.5  # WCAG 2, level AA
