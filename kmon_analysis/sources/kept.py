"""What a server evaluated, kept beside a history on disk, so that the same work needs no server later.

::

    history/
      manifest.json, samples-0001.parquet      the history
      evaluated/4f2a…/                         one evaluated expression, in the form of a history

An entry belongs to the very samples that it was kept for (their digest), to one expression and to one grid.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kmon_analysis.errors import HistoryError
from kmon_analysis.history import History, Provenance
from kmon_analysis.series import Grid, Samples, SeriesSet
from kmon_analysis.sources.evaluation import Evaluated
from kmon_analysis.timing import EvaluationGrid

__all__ = ["FOLDER", "Kept"]

FOLDER = "evaluated"


@dataclass(frozen=True, slots=True)
class Kept:
    """The evaluations beside one history.

    Attributes
    ----------
    directory : Path
        Of the history.
    digest : str
        `History.digest` of its samples.
    """

    directory: Path
    digest: str

    @classmethod
    def beside(cls, history: History) -> Kept | None:
        """Return the place for a history; None when that lies in memory only."""
        return None if history.path is None else cls(history.path, history.digest)

    def load(self, text: str, grid: EvaluationGrid, query_offset_ms: int) -> Evaluated | None:
        """Return what was kept of an expression on a grid, or None.

        Raises
        ------
        HistoryError
            If the entry is damaged.
        """
        question = self._question(text, grid, query_offset_ms)
        place = self._place(question)
        if not place.exists():
            return None
        entry = History.open(place)
        about = entry.provenance
        if about.extra.get("question") != question:
            raise HistoryError(
                "holds the answer to another question", place=str(place), cure="Remove it, then ask the server again"
            )
        times = grid.times
        values = np.full((len(entry.series), len(times)), np.nan)
        present = np.zeros(values.shape, dtype=np.bool_)
        for row, part in enumerate(entry.series):
            columns = np.searchsorted(times, part.times)
            values[row, columns] = part.values
            present[row, columns] = True
        failed = np.isin(times, np.array(about.extra["failed_ms"], dtype=np.int64))
        return Evaluated(
            text=text,
            grid=Grid(entry.series.labels, times, values, present, failed),
            place=about.source,
            version=about.server_version,
            warnings=about.warnings,
            instants=int(about.extra["instants"]),
        )

    def store(self, evaluated: Evaluated, grid: EvaluationGrid, query_offset_ms: int) -> None:
        """Keep what a server evaluated, whole or not at all.

        Raises
        ------
        OutputError
            If the place cannot be written.
        """
        question = self._question(evaluated.text, grid, query_offset_ms)
        found = evaluated.grid
        parts = [
            Samples(labels, found.times[there], found.values[row, there])
            for row, labels in enumerate(found.labels)
            if (there := found.present[row]).any()
        ]
        about = Provenance(
            source=evaluated.place,
            start_ms=grid.start_ms,
            end_ms=grid.end_ms,
            queries=(evaluated.text,),
            server_version=evaluated.version,
            warnings=evaluated.warnings,
            extra={
                "question": question,
                "failed_ms": found.times[found.failed].tolist(),
                "instants": evaluated.instants,
            },
        )
        History(SeriesSet.from_samples(parts), about).save(self._place(question))

    def _question(self, text: str, grid: EvaluationGrid, query_offset_ms: int) -> dict[str, Any]:
        return {
            "expression": text,
            "start_ms": grid.start_ms,
            "end_ms": grid.end_ms,
            "step_ms": grid.step_ms,
            "phase_ms": grid.phase_ms % grid.step_ms,
            "query_offset_ms": query_offset_ms,
            "history": self.digest,
        }

    def _place(self, question: dict[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:24]
        return self.directory / FOLDER / name
