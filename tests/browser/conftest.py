"""A browser, and JupyterLab in it: one of each for all tests here. A notebook is opened and run once.

JupyterLab works on a copy of the notebooks and with settings of its own. The browser finds nothing but this machine.
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
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync""".split()
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
PLACES = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}
NEWS = "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"

# JupyterLab shows errors as it shows what goes to stderr.
ERROR = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
# Whether each code cell has the number of a run; or one has failed, and those after it will not run.
FINISHED = """(error) => document.querySelector(error)
    || [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].every((cell) => /\\d/.test(cell.textContent))"""


def pytest_collection_modifyitems(items):
    """Where two tests run at a time, those here stay together, for they share the server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="package")
def tab():
    """tab(url) -> Page: a new tab, of a reader who has asked for reduced motion."""
    from .needs import CHROMIUM, sync_playwright  # here, for what is missing shall skip tests and not the conftest

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, OFFLINE])

        def open_tab(url: str):
            page = browser.new_page(reduced_motion="reduce", viewport={"width": 1280, "height": 1600})
            if url.startswith("file:"):
                page.clock.install()
            page.goto(url)
            return page

        yield open_tab
        browser.close()


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    """JupyterLab on a free port, over a copy of the notebooks in which no cell has been run: what it says of itself."""
    from .needs import missing

    if find_spec("jupyterlab") is None:
        missing("jupyterlab")
    import_module("matplotlib.font_manager")  # which complains on a machine where it is new and slow; not in a notebook
    home, notebooks = tmp_path_factory.mktemp("jupyter"), tmp_path_factory.mktemp("notebooks")
    (home / NEWS).parent.mkdir(parents=True)
    (home / NEWS).write_text('{"fetchNews": "false", "checkForUpdates": false}')
    (notebooks / "exercises").mkdir()
    for path in [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks").glob("exercises/*.ipynb")]:
        notebook = json.loads(path.read_text("utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["execution_count"] = None
        (notebooks / path.relative_to(ROOT / "notebooks")).write_text(json.dumps(notebook), "utf-8")

    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={notebooks}"]
    with open(home / "log", "w") as log:
        process = subprocess.Popen(
            [*command, "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"],
            env=os.environ | {name: str(home / place) for name, place in PLACES.items()},
            stdout=log,
            stderr=log,
        )

    def facts() -> str | None:
        assert process.poll() is None, (home / "log").read_text()
        return next((path.read_text() for path in (home / "runtime").glob("jpserver-*.json")), None)

    try:
        yield json.loads(wait_for(facts, "JupyterLab"))
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="package")
def opened(server, tab):
    """opened("exercises/03_forward_noising") -> Page: that notebook in JupyterLab, its kernel ready for a cell."""

    def open_notebook(name: str):
        url, path, workspace = server["url"], f"{name}.ipynb", name.replace("/", "-")
        page = tab(f"{url}lab/workspaces/{workspace}/tree/{path}?token={server['token']}")

        def listening() -> bool:
            """Whether the kernel has started and the page is connected to it: else "Run All Cells" runs none."""
            answer = page.request.get(f"{url}api/sessions", headers={"Authorization": f"token {server['token']}"})
            kernels = [session["kernel"] for session in answer.json() if session["path"] == path]
            return any(kernel["execution_state"] == "idle" and kernel["connections"] for kernel in kernels)

        wait_for(listening, f"the kernel of {path}")
        return page

    return open_notebook


@pytest.fixture(scope="package")
def lab(opened):
    """lab("00_first_look") -> Page: that notebook in JupyterLab, all cells run."""

    @cache
    def run(name: str):
        page = opened(name)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_function(FINISHED, arg=ERROR, timeout=600_000)
        return page

    return run


@pytest.fixture(scope="package")
def exported(tab, tmp_path_factory):
    """A notebook exported to HTML, opened as a file some seconds ago: no kernel, no server, no network."""
    folder, name = tmp_path_factory.mktemp("exported"), "00_first_look"
    notebook = ROOT / f"notebooks/{name}.ipynb"
    _python("nbconvert", "--to", "html", "--output-dir", str(folder), str(notebook))
    return _later(tab((folder / f"{name}.html").as_uri()))


@pytest.fixture(scope="package")
def saved(tab, tmp_path_factory):
    """A page that the command wrote, opened as a file some seconds ago."""
    path = tmp_path_factory.mktemp("saved") / "x.html"
    _python("tinysedd", "sample", "--sampler", "first_hitting", "--seed", "1", "--save", str(path))
    return _later(tab(path.as_uri()))


def _python(module: str, *options: str):
    run = subprocess.run([sys.executable, "-m", module, *options], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def _later(page):
    page.clock.run_for(3_000)  # milliseconds, in which what plays by itself would not have come to its end
    return page


def wait_for(what: Callable, name: str, seconds: float = 120):
    """What the function gives, as soon as that is something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"waited {seconds} s for {name}, in vain"
        time.sleep(0.1)
    return found
