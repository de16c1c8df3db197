"""MLflow's page as a user meets it after a sweep: the printed link, then the report, a picture, a comparison."""

import re

import pytest
from conftest import TINY, cifar_train
from mlflow import MlflowClient

from .conftest import mlflow_page

pytestmark = pytest.mark.slow
SWEEP = ("kernel_size=k3,k5", "regularization=none,l2", "analysis.log_model=false", *TINY)
JOBS = 4


class Swept:
    """A finished sweep, its printed link, and its runs: the parent, and the children, the best first."""

    def __init__(self, outputs, printed):
        self.link = re.search(r"http://127\.0\.0\.1:5000(/#/\S+)", printed)[1]
        client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
        self.experiment = client.get_experiment_by_name("cifar_sweeps").experiment_id
        runs = client.search_runs([self.experiment])
        (self.parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        self.children = sorted(
            (run for run in runs if run is not self.parent), key=lambda run: -run.data.metrics["best/val_accuracy"]
        )


@pytest.fixture(scope="module")
def served(browser, tmp_path_factory):
    """A tiny sweep and the address of its page."""
    outputs = tmp_path_factory.mktemp("outputs")
    done = cifar_train("-m", *SWEEP, CIFAR_SWEEPS_OUTPUTS=str(outputs), timeout=300)
    assert done.returncode == 0, done.stderr
    with mlflow_page(outputs) as address:
        yield Swept(outputs, done.stdout), address


def run_page(swept, run):
    return f"/#/experiments/{swept.experiment}/runs/{run.info.run_id}?workflowType=machine_learning"


def test_the_printed_link_opens_charts_that_a_person_wants_first(served, open_page):
    swept, address = served
    opened = open_page(address + swept.link)
    opened.wait_for_text("This sweep")
    opened.page.locator(".js-plotly-plot").nth(2).wait_for()
    grid = opened.page.get_by_test_id("draggable-chart-cards-grid").first
    titles = ["val/accuracy", "train/accuracy vs val/accuracy", "Parallel Coordinates", "train/loss vs val/loss"]
    shown = grid.inner_text()
    assert [shown.index(title) for title in titles] == sorted(shown.index(title) for title in titles)
    for axis in ("swept/kernel_size", "swept/regularization", "best/val_accuracy"):
        assert axis in shown
    text = opened.text()
    assert "This sweep\n(4)\n" in text
    for section in ("\nbest\n(2)\n", "\ntest/recall\n(10)\n", "\ntrain\n(3)\n", "\nval\n(2)\n"):  # behind, and closed
        assert text.index("train/loss vs val/loss") < text.index(section)
    assert "test/recall/disc" not in text
    assert re.search(r"\d\d:\d\d kernel_size × ", text)  # the view's name, where the page lists the views
    assert opened.errors == []
    assert opened.requests_elsewhere() == []


def test_its_table_has_the_swept_keys_and_the_results_the_best_run_first(served, open_page):
    swept, address = served
    opened = open_page((address + swept.link).replace("&compareRunsMode=CHART", ""), width=1800)
    opened.page.locator("[role=columnheader][col-id='metrics.`test/accuracy`']").wait_for()
    shown = opened.page.locator("[role=columnheader][col-id]").all()
    placed = sorted(shown, key=lambda each: each.bounding_box()["x"])
    headings = [each.inner_text().strip() for each in placed]
    wanted = ["swept/kernel_size", "swept/regularization", "best/val_accuracy", "final/val_accuracy", "test/accuracy"]
    assert [each for each in headings if "/" in each] == wanted
    assert {"Run Name", "Created", "Duration"} <= set(headings)  # the state stands beside the start
    cells = opened.page.locator("[role=gridcell][col-id='metrics.`best/val_accuracy`']").all_inner_texts()
    best = [float(each) for each in cells if each not in ("", "-")]
    assert best == [pytest.approx(run.data.metrics["best/val_accuracy"], abs=1e-3) for run in swept.children]
    values = opened.page.locator("[role=gridcell][col-id='params.`swept/kernel_size`']").all_inner_texts()
    assert values[:JOBS] == [run.data.params["swept/kernel_size"] for run in swept.children]


def test_a_sweep_leads_to_its_report(served, open_page):
    swept, address = served
    opened = open_page(address + run_page(swept, swept.parent))
    opened.wait_for_text("Best")
    with opened.page.expect_popup() as new:
        opened.page.get_by_role("link", name="report", exact=True).click()
    report = new.value.frame_locator("iframe").first
    report.get_by_text("Study: cifar_sweeps").first.wait_for()
    assert "workflowType=machine_learning" in new.value.url
    opened.page.get_by_text("Show more").first.click()
    rows = opened.page.locator("table", has_text="best val").first.get_by_role("row").all_inner_texts()
    assert len(rows) == JOBS + 1
    assert rows[1].split()[:3] == [
        *swept.children[0].info.run_name.replace("kernel_size=", "").split()[:1],
        "/",
        rows[1].split()[2],
    ]


def test_a_run_leads_to_its_sweep_and_to_its_pictures(served, open_page):
    swept, address = served
    run = swept.children[0]
    opened = open_page(address + run_page(swept, run))
    opened.wait_for_text(f"test accuracy {run.data.metrics['test/accuracy']:.4f}")
    with opened.page.expect_popup() as new:
        opened.page.get_by_role("link", name="confusion matrix").click()
    picture = new.value.locator("img[src*='confusion_matrix'], img[src^='blob:'], canvas").first
    picture.wait_for()
    new.value.wait_for_function("[...document.images].some(image => image.naturalWidth > 300)")
    with opened.page.expect_popup() as new:
        opened.page.get_by_role("link", name=re.compile(r"^sweep 2")).first.click()
    new.value.get_by_text("Child runs").first.wait_for()
    assert swept.parent.info.run_id in new.value.url


def test_two_runs_are_compared(served, open_page):
    swept, address = served
    opened = open_page((address + swept.link).replace("&compareRunsMode=CHART", ""), width=1800)
    for run in swept.children[:2]:
        row = opened.page.get_by_role("row").filter(has_text=run.info.run_name).first
        opened.page.locator(f"[row-id*='{run.info.run_id}'] input[type=checkbox]").first.check()
        row.wait_for()
    opened.page.get_by_role("button", name="Compare").first.click()
    opened.wait_for_text("Comparing 2 Runs")
    text = opened.text()
    for run in swept.children[:2]:
        assert run.info.run_name in text
