"""JupyterLab on this machine, away from the user's own settings, and notebooks that are open in it."""

from __future__ import annotations

import ast
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from playwright.sync_api import Locator

from kmon_analysis.workflow_notebook import VARIABLES
from tests.browser.watching import Visit
from tests.tools import REPOSITORY

__all__ = ["Lab", "Notebook", "started"]

START_S = 120
RUN_MS = 900_000
HIGHEST = 15_000
# News and checks for updates ask servers elsewhere.
QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


def environment(home: Path) -> dict[str, str]:
    """Return an environment in which Jupyter finds nothing of the user's, and caches that cost time are kept."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
    for name in VARIABLES:
        kept.pop(name, None)
    return {
        **kept,
        "KMON_OUT": str(home / "out"),
        "HOME": str(home),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
        "MPLCONFIGDIR": matplotlib.get_configdir(),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": str(REPOSITORY),
    }


@dataclass(frozen=True)
class Lab:
    """A server, and the folder that it shows."""

    address: str
    token: str
    folder: Path

    def url(self, name: str) -> str:
        """Return the address at which JupyterLab opens a notebook, with nothing else open."""
        return f"{self.address}/lab/tree/{name}?reset&token={self.token}"

    def ask(self, path: str, method: str = "GET") -> Any:
        """Return the server's answer; None where it says nothing."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.address}/{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")

    def stop_kernels(self) -> None:
        """Shut all kernels down: their memory is wanted by the next one."""
        for session in self.ask("api/sessions"):
            self.ask(f"api/sessions/{session['id']}", "DELETE")


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


@contextmanager
def started(home: Path):
    """Run a server on a copy of the notebooks until the block ends."""
    folder = home / "notebooks"
    shutil.copytree(REPOSITORY / "notebooks", folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    settings = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(QUIET))
    port, token = free_port(), secrets.token_hex()
    log = home / "server.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
                *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"),
                *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
                *(
                    "--LabApp.extension_manager=readonly",
                    "--expose-app-in-browser",
                    "--ServerApp.terminals_enabled=False",
                ),
            ],
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    lab = Lab(f"http://127.0.0.1:{port}", token, folder)
    try:
        limit = time.monotonic() + START_S
        while True:
            assert process.poll() is None, log.read_text()
            try:
                lab.ask("api/status")
                break
            except OSError:
                assert time.monotonic() < limit, log.read_text()
                time.sleep(0.1)
        yield lab
    finally:
        # A polite end stops the kernels, too.
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# The notebook's own model: which cells have run, and with what.
MODEL = "window.jupyterapp.shell.currentWidget.content.model"
KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel"
DONE = f"""() => {{
  const cells = {MODEL}.toJSON().cells.filter(c => c.cell_type === 'code' && String(c.source).trim());
  const failed = cells.some(c => c.outputs.some(o => o.output_type === 'error'));
  return {KERNEL}?.status === 'idle' && (failed || cells.every(c => c.execution_count !== null)); }}"""
ASK = f"""async ([code, name]) => {{
  const asked = {{code, silent: true, store_history: false, user_expressions: {{[name]: name}}}};
  const future = {KERNEL}.requestExecute(asked);
  const reply = (await future.done).content;
  if (reply.status !== 'ok') throw new Error(reply.ename + ': ' + reply.evalue);
  return reply.user_expressions[name].data['text/plain']; }}"""


@dataclass
class Notebook:
    """A notebook in JupyterLab's window."""

    here: Visit
    name: str

    @classmethod
    def open(cls, here: Visit, lab: Lab, name: str) -> Notebook:
        """Open one and wait until its kernel is ready; the kernel is shut down once the page is closed."""
        here.later.append(lab.stop_kernels)
        here.page.goto(lab.url(name))
        here.page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        here.page.wait_for_function(f"() => {KERNEL}?.status === 'idle'", timeout=START_S * 1000)
        opened = cls(here, name)
        # The server remembers the theme that the notebook before ended in.
        opened.use_theme("JupyterLab Light")
        return opened

    def run_all(self) -> None:
        """Choose "Run All Cells" from the menu, and wait until every cell has run or one has failed."""
        page = self.here.page
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_function(DONE, timeout=RUN_MS)

    def code_cells(self) -> list[dict]:
        """Return the code cells that hold something, as they would be stored."""
        cells = self.here.page.evaluate(f"{MODEL}.toJSON().cells")
        return [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]

    def errors(self) -> list[str]:
        """Return what failed, and what was written to stderr."""
        return [
            f"{''.join(cell['source'])[:80]!r}: {output.get('ename', 'stderr')}: "
            f"{output.get('evalue') or output.get('text')}"
            for cell in self.code_cells()
            for output in cell["outputs"]
            if output["output_type"] == "error" or output.get("name") == "stderr"
        ]

    def ask(self, expression: str) -> object:
        """Evaluate an expression in the kernel and return its value."""
        code = f"import json as _json; _answer = _json.dumps({expression})"
        shown = self.here.page.evaluate(ASK, [code, "_answer"])
        return json.loads(ast.literal_eval(shown))

    def outputs(self) -> Locator:
        """Return the areas below cells that show results."""
        return self.here.page.locator(".jp-Notebook .jp-OutputArea-output")

    def use_theme(self, name: str) -> None:
        """Switch JupyterLab's theme."""
        page = self.here.page
        page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name)
        page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
        # It covers the page while the style sheets change.
        page.locator("#jupyterlab-splash").wait_for(state="detached")

    def unroll(self) -> None:
        """Make the window as high as the notebook, so that a picture shows all of it."""
        page = self.here.page
        cells = page.locator(".jp-Notebook .jp-Cell")
        for _ in range(5):
            cells.first.scroll_into_view_if_needed()
            top, end = cells.first.bounding_box(), cells.last.bounding_box()
            high = min(round(end["y"] + end["height"] - top["y"]) + 200, HIGHEST)
            if high == page.viewport_size["height"]:
                break
            # Heights of cells that were out of sight are guesses until they are in sight.
            page.set_viewport_size({"width": page.viewport_size["width"], "height": high})
            page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
