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
    from kmon_analysis.backtest.run import Backtest as Backtest
    from kmon_analysis.backtest.settings import Settings as Settings
    from kmon_analysis.errors import KmonError as KmonError
    from kmon_analysis.explore.review import review_incidents as review_incidents
    from kmon_analysis.history import History as History
    from kmon_analysis.incidents import Incident as Incident
    from kmon_analysis.incidents import Incidents as Incidents
    from kmon_analysis.incidents import read_incidents as read_incidents
    from kmon_analysis.labelling.suggest import suggest_incidents as suggest_incidents
    from kmon_analysis.postmortem.run import postmortem as postmortem
    from kmon_analysis.recommend.advice import Advice as Advice
    from kmon_analysis.rules.reader import read_rules as read_rules
    from kmon_analysis.sources.files import open_history as open_history
    from kmon_analysis.sources.simulation.store import load_scenario as load_scenario
    from kmon_analysis.timing import Interval as Interval
    from kmon_analysis.workflow import backtest as backtest
    from kmon_analysis.workflow import confirm as confirm
    from kmon_analysis.workflow import demo as demo
    from kmon_analysis.workflow import fetch as fetch
    from kmon_analysis.workflow import recommend as recommend

__version__ = "0.1.0"

# Name → module that defines it. At most 20; what is needed less often stays behind its import path.
_HOMES = {
    "KmonError": "kmon_analysis.errors",
    "History": "kmon_analysis.history",
    "open_history": "kmon_analysis.sources.files",
    "Incident": "kmon_analysis.incidents",
    "Incidents": "kmon_analysis.incidents",
    "read_incidents": "kmon_analysis.incidents",
    "read_rules": "kmon_analysis.rules.reader",
    "suggest_incidents": "kmon_analysis.labelling.suggest",
    "Interval": "kmon_analysis.timing",
    "Settings": "kmon_analysis.backtest.settings",
    "Backtest": "kmon_analysis.backtest.run",
    "backtest": "kmon_analysis.workflow",
    "Advice": "kmon_analysis.recommend.advice",
    "recommend": "kmon_analysis.workflow",
    "confirm": "kmon_analysis.workflow",
    "postmortem": "kmon_analysis.postmortem.run",
    "fetch": "kmon_analysis.workflow",
    "demo": "kmon_analysis.workflow",
    "review_incidents": "kmon_analysis.explore.review",
    "load_scenario": "kmon_analysis.sources.simulation.store",
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
