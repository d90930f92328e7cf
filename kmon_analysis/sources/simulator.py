"""Histories with known answers: a simulated Kafka service, its incidents and its deployed rules.

Use it to learn the toolkit and to test it, not to choose product defaults: simulator and toolkit
share their assumptions.
"""

from __future__ import annotations

from kmon_analysis.sources.simulation.scenarios import (
    SCENARIOS,
    Scenario,
    SimulatedIncident,
    SimulatedWindow,
    Simulation,
    simulate,
)
from kmon_analysis.sources.simulation.store import load_scenario, write_scenario

__all__ = [
    "SCENARIOS",
    "Scenario",
    "SimulatedIncident",
    "SimulatedWindow",
    "Simulation",
    "load_scenario",
    "simulate",
    "write_scenario",
]
