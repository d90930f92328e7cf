"""Tune Kafka alert rules from evidence: backtest, score, recommend, export, prove.

The names below are the front door; each is loaded on first use, so that the import itself is quick.
Depth is reached by import path: ``from kmon_analysis.rules.knobs import find_knobs``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmon_analysis.errors import KmonError as KmonError
    from kmon_analysis.history import History as History
    from kmon_analysis.history import open_history as open_history
    from kmon_analysis.incidents import Incident as Incident
    from kmon_analysis.incidents import Incidents as Incidents
    from kmon_analysis.incidents import read_incidents as read_incidents
    from kmon_analysis.labels import Labels as Labels
    from kmon_analysis.series import SeriesSet as SeriesSet

__version__ = "0.1.0"

# Name → module that defines it. At most 20; what is needed less often stays behind its import path.
_HOMES = {
    "KmonError": "kmon_analysis.errors",
    "History": "kmon_analysis.history",
    "open_history": "kmon_analysis.history",
    "Incident": "kmon_analysis.incidents",
    "Incidents": "kmon_analysis.incidents",
    "read_incidents": "kmon_analysis.incidents",
    "Labels": "kmon_analysis.labels",
    "SeriesSet": "kmon_analysis.series",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


class _FrontDoor(ModuleType):
    """Keep a function's name from being taken by the room of the same name.

    When ``kmon_analysis.backtest`` (a folder) is first imported, Python would bind it here as
    ``backtest`` and hide the function ``backtest``; which of the two one got would depend on what was
    imported before. The function always wins here; the folder stays reachable by ``from … import …``.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor
