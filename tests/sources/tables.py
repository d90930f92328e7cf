"""Compare evaluated grids, and turn OpenMetrics-like tables into series."""

import numpy as np

from kmon_analysis.labels import parse_series
from kmon_analysis.series import Samples, SeriesSet

__all__ = ["same_grid", "samples_of"]


def samples_of(table):
    """Return the samples of `tests.prometheus_server.openmetrics`'s argument as series."""
    return SeriesSet.from_samples(
        Samples(
            parse_series(name),
            np.array([ms for ms, _ in samples], dtype=np.int64),
            np.array([float(value) for _, value in samples]),
        )
        for name, samples in table.items()
    )


def same_grid(one, other, *, times=True):
    """Tell whether two grids are equal to the bit, whatever the order of rows; text knows only one NaN."""
    if times and one.times.tolist() != other.times.tolist():
        return False
    return one.failed.tolist() == other.failed.tolist() and rows_of(one) == rows_of(other)


def rows_of(grid):
    """Return what is present: from labels to (column, bits)."""
    return {
        labels: [
            (int(column), "NaN" if np.isnan(grid.values[row, column]) else float(grid.values[row, column]).hex())
            for column in np.flatnonzero(grid.present[row])
        ]
        for row, labels in enumerate(grid.labels)
        if grid.present[row].any()
    }
