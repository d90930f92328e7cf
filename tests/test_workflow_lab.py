"""JupyterLab on a copy of the notebooks."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

from kmon_analysis.errors import OutputError
from kmon_analysis.workflow_lab import copy_notebooks, lab_command, lab_environment, shipped_notebooks
from tests.prometheus_server import free_port
from tests.tools import REPOSITORY

NAMES = sorted(path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb"))


def test_all_notebooks_are_copied_and_own_work_stays(tmp_path):
    target = tmp_path / "a folder" / "lab"
    assert sorted(path.name for path in copy_notebooks(target).written) == NAMES
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        path.name: path.read_bytes() for path in (REPOSITORY / "notebooks").glob("*.ipynb")
    }
    mine, gone = target / NAMES[0], target / NAMES[1]
    mine.write_text("{}")
    gone.unlink()
    again = copy_notebooks(target)
    assert (again.written, again.kept) == ((gone,), (mine,))
    assert mine.read_text() == "{}"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written") as caught:
        copy_notebooks(tmp_path / "file" / "lab")
    assert "--dir" in str(caught.value)


def test_kernels_find_the_files_that_were_named_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {
        "KMON_RULES": "rules.yml",
        "KMON_INCIDENTS": "/x/i.csv",
        "KMON_HISTORY": "",
        "KMON_LAST": "7d",
        "HOME": "h",
    }
    found = lab_environment(given, "lab")
    assert found["KMON_RULES"] == str(tmp_path / "rules.yml")
    assert found["KMON_INCIDENTS"] == "/x/i.csv"
    assert found["KMON_OUT"] == str(tmp_path / "lab" / "results")
    assert {name: found[name] for name in ("KMON_HISTORY", "KMON_LAST", "HOME")} == {
        "KMON_HISTORY": "",
        "KMON_LAST": "7d",
        "HOME": "h",
    }
    assert lab_environment({**given, "KMON_OUT": "here"}, "lab")["KMON_OUT"] == str(tmp_path / "here")


def test_the_wheel_holds_the_notebooks_inside_the_package(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, REPOSITORY]
    pins = str(REPOSITORY / "constraints.txt")
    environment = {**os.environ, "PIP_CONSTRAINT": pins, "PIP_BUILD_CONSTRAINT": pins}
    subprocess.run(pip, check=True, env=environment, cwd=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert all(top.startswith("kmon_analysis") for top in tops)
    code = "from kmon_analysis.workflow_lab import shipped_notebooks\nprint(*shipped_notebooks(), sep='\\n')"
    run = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
    )
    folder = tmp_path / "installed" / "kmon_analysis" / "notebooks"
    assert run.stdout.split() == [str(folder / name) for name in NAMES]
    assert [path.name for path in shipped_notebooks()] == NAMES


def test_jupyterlab_serves_the_copy_on_this_machine_only_with_a_kernel_of_this_python(tmp_path):
    port, log = free_port(), tmp_path / "log"
    copy_notebooks(tmp_path / "lab")
    command = lab_command(
        tmp_path / "lab",
        ["--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.token=t"],
    )
    # A kernel of the same name that the user installed elsewhere must not be taken.
    foreign = tmp_path / "home" / ".local" / "share" / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text(
        json.dumps({"argv": ["false"], "display_name": "foreign", "language": "python"})
    )
    environment = {
        **lab_environment(os.environ, tmp_path / "lab"),
        "HOME": str(tmp_path / "home"),
        "JUPYTER_NO_CONFIG": "1",
    }
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=tmp_path)
    try:
        contents = answer(process, log, f"http://127.0.0.1:{port}/api/contents?token=t")
        assert sorted(item["name"] for item in contents["content"]) == NAMES
        known = answer(process, log, f"http://127.0.0.1:{port}/api/kernelspecs?token=t")
        assert known["kernelspecs"][known["default"]]["spec"]["display_name"] != "foreign"
        assert listens_on(process.pid, port) == {"0100007F"}
    finally:
        process.terminate()
        process.wait(60)


def answer(process, log, url, within_s=180):
    give_up = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(url) as found:
                return json.load(found)
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.2)


def listens_on(pid, port):
    """Return the addresses, in the kernel's own writing, at which anybody listens on a port."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port}
