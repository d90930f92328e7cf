"""The notebooks that come with the package, copied to a folder of the user's, and JupyterLab on them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kmon_analysis.errors import OutputError, SettingError
from kmon_analysis.workflow_notebook import PATHS

__all__ = ["Copied", "copy_notebooks", "lab_command", "lab_environment", "shipped_notebooks"]


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of the notebooks.

    Attributes
    ----------
    written : tuple of Path
        New, or brought up to date.
    kept : tuple of Path
        There already and other than shipped: the user's own work.
    """

    written: tuple[Path, ...]
    kept: tuple[Path, ...]


def shipped_notebooks() -> tuple[Path, ...]:
    """Return the notebooks that come with the package: in the wheel inside it, in a source tree beside it.

    Raises
    ------
    SettingError
        If the package came without.
    """
    package = Path(__file__).parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        found = tuple(sorted(folder.glob("*.ipynb")))
        if found:
            return found
    raise SettingError("the notebooks did not come with the package", cure="Install kmon-analysis again")


def copy_notebooks(directory: str | Path) -> Copied:
    """Copy the notebooks to a folder; what is there already stays.

    Parameters
    ----------
    directory : str or Path
        Made when it does not exist.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    target = Path(directory)
    written, kept = [], []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for source in shipped_notebooks():
            place, content = target / source.name, source.read_bytes()
            if place.exists():
                if place.read_bytes() != content:
                    kept.append(place)
                continue
            beside = target / f".{source.name}.partial"
            beside.write_bytes(content)
            beside.replace(place)
            written.append(place)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}", place=str(target), cure="Choose another folder with --dir"
        ) from None
    return Copied(tuple(written), tuple(kept))


def lab_command(directory: str | Path, more: Sequence[str] = ()) -> list[str]:
    """Return the command line of JupyterLab on a folder, on the loopback interface only.

    Parameters
    ----------
    directory : str or Path
        Where the notebooks are.
    more : sequence of str
        Further arguments for JupyterLab; they come last and win.

    Raises
    ------
    SettingError
        If JupyterLab is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("jupyterlab") is None:
        raise SettingError("JupyterLab is not installed", cure='Install it with: pip install "kmon-analysis[lab]"')
    # In a container the user is often root; JupyterLab would refuse and say how.
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    place = f"--ServerApp.root_dir={Path(directory).resolve()}"
    return [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", place, *root, *more]


def lab_environment(environment: Mapping[str, str], directory: str | Path) -> dict[str, str]:
    """Return the environment for JupyterLab.

    Kernels run in the folder of their notebook, so the paths in ``KMON_…`` are made absolute. What they write goes to
    ``results`` there, if the user names no folder. This Python's own kernel goes before one of that name elsewhere.

    Parameters
    ----------
    environment : Mapping
        That of the caller.
    directory : str or Path
        Where the notebooks are.
    """
    named = {"KMON_OUT": str(Path(directory) / "results"), **environment}
    paths = {name: str(Path(named[name]).expanduser().absolute()) for name in PATHS if named.get(name, "").strip()}
    return {**environment, **paths, "JUPYTER_PREFER_ENV_PATH": "1"}
