"""A browser and a JupyterLab server, shared by all tests here. Each notebook is opened and run once.

JupyterLab works on a copy of the notebooks with temporary settings. The browser can reach only this machine.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}
NOTIFICATIONS = "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"

# JupyterLab displays a traceback as stderr output.
ERROR = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
# Whether every code cell has an execution number, or a cell has failed, after which the others do not run.
FINISHED = """(error) => document.querySelector(error)
    || [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].every((cell) => /\\d/.test(cell.textContent))"""


@pytest.hookimpl(tryfirst=True)  # before pytest deselects tests by their marks
def pytest_collection_modifyitems(items):
    """All tests here are slow. With pytest-xdist they stay in one worker, because they share the server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="package")
def browser():
    """The one browser of all tests: Playwright starts only once in a process."""
    from .needs import CHROMIUM, sync_playwright  # imported here, so that a missing tool skips tests

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, OFFLINE])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def tab(browser):
    """tab(url) -> Page: a new tab, for a reader who prefers reduced motion."""

    def open_tab(url: str):
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 1280, "height": 1600})
        if url.startswith("file:"):
            page.clock.install()
        page.goto(url)
        return page

    return open_tab


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    """JupyterLab on a free port, with a copy of the notebooks in which no cell has run. Returns its URL and token."""
    from .needs import missing

    if find_spec("jupyterlab") is None:
        missing("jupyterlab")
    import_module("matplotlib.font_manager")  # builds its cache here, else its warning may end up in a notebook
    home, notebooks = tmp_path_factory.mktemp("jupyter"), tmp_path_factory.mktemp("notebooks")
    (home / NOTIFICATIONS).parent.mkdir(parents=True)
    (home / NOTIFICATIONS).write_text('{"fetchNews": "false", "checkForUpdates": false}')
    (notebooks / "exercises").mkdir()
    for path in [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks").glob("exercises/*.ipynb")]:
        notebook = json.loads(path.read_text("utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["execution_count"] = None
                # JupyterLab does not show the number of a cell whose source is folded.
                cell["metadata"].get("jupyter", {}).pop("source_hidden", None)
        (notebooks / path.relative_to(ROOT / "notebooks")).write_text(json.dumps(notebook), "utf-8")

    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={notebooks}"]
    with open(home / "log", "w") as log:
        process = subprocess.Popen(
            [*command, "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"],
            env=os.environ | {name: str(home / folder) for name, folder in FOLDERS.items()},
            stdout=log,
            stderr=log,
        )

    def server_info() -> str | None:
        assert process.poll() is None, (home / "log").read_text()
        return next((path.read_text() for path in (home / "runtime").glob("jpserver-*.json")), None)

    try:
        yield json.loads(wait_for(server_info, "JupyterLab"))
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="package")
def opened(server, tab):
    """opened("exercises/03_forward_noising") -> Page: that notebook in JupyterLab, with its kernel ready."""

    def open_notebook(name: str):
        url, path, workspace = server["url"], f"{name}.ipynb", name.replace("/", "-")
        page = tab(f"{url}lab/workspaces/{workspace}/tree/{path}?token={server['token']}")

        def kernel_ready() -> bool:
            """Whether the kernel is idle and the page is connected to it. Before that, "Run All Cells" does nothing."""
            answer = page.request.get(f"{url}api/sessions", headers={"Authorization": f"token {server['token']}"})
            kernels = [session["kernel"] for session in answer.json() if session["path"] == path]
            return any(kernel["execution_state"] == "idle" and kernel["connections"] for kernel in kernels)

        wait_for(kernel_ready, f"the kernel of {path}")
        return page

    return open_notebook


@pytest.fixture(scope="package")
def lab(opened):
    """lab("00_first_look") -> Page: that notebook in JupyterLab, after all its cells have run."""

    @cache
    def run(name: str):
        page = opened(name)
        run_all(page)
        return page

    return run


def run_all(page) -> None:
    """Run all cells of the notebook that is open on this page, and wait for the last one."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(FINISHED, arg=ERROR, timeout=600_000)


@pytest.fixture(scope="package")
def exported(tab, tmp_path_factory):
    """A notebook exported to HTML, opened as a file a few seconds ago: no kernel, no server, no network."""
    folder, name = tmp_path_factory.mktemp("exported"), "00_first_look"
    notebook = ROOT / f"notebooks/{name}.ipynb"
    _python("nbconvert", "--to", "html", "--output-dir", str(folder), str(notebook))
    return _wait(tab((folder / f"{name}.html").as_uri()))


@pytest.fixture(scope="package")
def saved(tab, tmp_path_factory):
    """A page written by `python -m tinysedd sample`, opened as a file a few seconds ago."""
    path = tmp_path_factory.mktemp("saved") / "x.html"
    _python("tinysedd", "sample", "--sampler", "first_hitting", "--seed", "1", "--save", str(path))
    return _wait(tab(path.as_uri()))


def _python(module: str, *options: str):
    run = subprocess.run([sys.executable, "-m", module, *options], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def _wait(page):
    page.clock.run_for(3_000)  # milliseconds: anything that plays by itself would be under way
    return page


def wait_for(poll: Callable, name: str, seconds: float = 120):
    """The result of the function as soon as it is true. Fails after so many seconds."""
    end = time.monotonic() + seconds
    while not (result := poll()):
        assert time.monotonic() < end, f"{name} was not ready within {seconds} s"
        time.sleep(0.1)
    return result
