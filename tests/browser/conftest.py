"""One JupyterLab of the tests' own, and one page of a Chromium that shows it. Without either, the tests skip and say
why."""

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="session")
def page():
    """A page of a headless Chromium. It keeps what its scripts complain about in `errors`."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH, and none named by the variable CHROMIUM")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = chromium.new_page(viewport={"width": 1400, "height": 1000})
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: page.errors.append(message.text) if is_error(message) else None)
        yield page
        chromium.close()


def is_error(message):
    """Whether a line of the console is an error. What needs the internet is none."""
    return message.type == "error" and not re.search(r"Failed to load resource|net::ERR", message.text)


@pytest.fixture(scope="session")
def lab(page, tmp_path_factory):
    """(address of a JupyterLab with settings of its own, the folder that it serves)."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    folder.mkdir()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token="]
    options += [f"--ServerApp.root_dir={folder}", "--ServerApp.disable_check_xsrf=True"]
    options += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    # Every cell is in the page, also those that are out of sight.
    settings = home / "JUPYTER_CONFIG_DIR/lab/user-settings/@jupyterlab/notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}', encoding="utf-8")
    folders = {name: str(home / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"} | folders
    log = home / "lab.log"
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        try:
            wait_for(f"{address}/api/status", server, page, log)
            yield address, folder
        finally:
            server.terminate()
            server.wait(30)


def wait_for(address, server, page, log, tries=600):
    """Return when the server answers; fail with its log where it ends, or does not answer."""
    for _ in range(tries):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            page.wait_for_timeout(200)
    pytest.fail(f"JupyterLab does not answer:\n{log.read_text(encoding='utf-8')[-2000:]}")
