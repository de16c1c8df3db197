"""Pages in a real browser: Debian's chromium, headless, driven by Playwright; MLflow's page on the loopback address.

Without chromium or Playwright these tests are skipped, and say so; `.ci/run` installs both.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_PATIENCE = 60.0
"""Seconds that a server has to start on a busy machine; a page's own waits are Playwright's."""
# MLflow's assistant opens by itself over a third of the page, once in a new browser.
_BEFORE_ANY_SCRIPT = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"


@pytest.fixture(scope="module")
def browser():
    """A headless chromium for the tests of one file: while it is open, an event loop runs in this process."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("chromium is missing: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield started
        started.close()


def cut_off_in_print(browser, path: Path) -> int:
    """Return how many elements of a page would be cut off on paper, where nothing scrolls."""
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.emulate_media(media="print")
    page.goto(path.as_uri())
    hidden = page.evaluate(
        "[...document.querySelectorAll('*')].filter(e => ['auto', 'scroll', 'hidden'].includes("
        "getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1).length"
    )
    assert page.pdf().startswith(b"%PDF")
    page.close()
    return hidden


class Opened:
    """An open page, what it requested from other machines, and the errors that its scripts raised."""

    def __init__(self, page) -> None:
        self.page = page
        self.requested: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def wait_for_text(self, text: str, timeout: float = 30.0) -> None:
        """Wait until the page shows a text."""
        self.page.get_by_text(text).first.wait_for(timeout=timeout * 1000)

    def text(self) -> str:
        """Return all that the page shows."""
        return str(self.page.inner_text("body"))

    def fits(self) -> bool:
        """Return whether nothing of the page lies beyond its right edge."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def requests_elsewhere(self) -> list[str]:
        """Return the addresses that were requested, but for those of this machine."""
        own = ("file:", "data:", "blob:", "http://127.0.0.1:", "about:")
        return [url for url in self.requested if not url.startswith(own)]


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., Opened]]:
    """Open an address in a page of its own, ``width`` pixels wide; all are closed after the test."""
    contexts = []

    def opened(address: str | Path, width: int = 1400, height: int = 1000, **options) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.add_init_script(_BEFORE_ANY_SCRIPT)
        shown = Opened(context.new_page())
        shown.page.goto(address.as_uri() if isinstance(address, Path) else address)
        return shown

    yield opened
    for context in contexts:
        context.close()


@contextlib.contextmanager
def mlflow_page(outputs: Path) -> Iterator[str]:
    """Serve MLflow's page of an outputs folder with `cifar-sweeps ui`, and yield its address, without a slash."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "cifar_sweeps.cli.main", "ui", "--port", str(port)]
    log = outputs / "ui.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, "CIFAR_SWEEPS_OUTPUTS": str(outputs)}
        )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + _PATIENCE
        while not _answers(f"{address}/health"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
