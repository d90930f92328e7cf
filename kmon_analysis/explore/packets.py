"""What the picture in the browser is drawn from: plain numbers and cleaned text, no markup.

Times are milliseconds UTC, heights are shares of the axis, so that the browser only scales. Lines travel as 32-bit
floats beside the text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kmon_analysis.backtest.score import MEDIAN_FROM
from kmon_analysis.backtest.windows import full_from_ms
from kmon_analysis.explore.choices import GroupBy
from kmon_analysis.explore.counting import FALSE, KINDS, TRUE
from kmon_analysis.explore.model import COLUMNS, Numbers, TunerModel, View
from kmon_analysis.recommend.candidates import Setting
from kmon_analysis.report.figure import Scale, scale_for
from kmon_analysis.report.timeline import unit_words, value_name
from kmon_analysis.report.words import (
    clean,
    compact,
    count,
    describe,
    number,
    per_week,
    same_duration,
    short_labels,
    shortened,
)
from kmon_analysis.timing import WEEK_MS, Interval, duration, span

__all__ = [
    "LISTED",
    "Picture",
    "comparison_rows",
    "facts_of",
    "group_words",
    "lists_of",
    "picture_of",
    "sentence_of",
    "view_of",
]

Floats = npt.NDArray[np.float64]

# Pages that the list shows; more of them are a number, not a list to read.
LISTED = 200
# As many as the style sheet of the front end.
COLOURS = 6
_LEAST_COLUMNS = 200
# Longest name of an incident, in characters.
_NAME = 30
_STATUS = {
    "caught": "found",
    "early": "found early",
    "already firing": "already firing before",
    "missed": "not found",
    "no data": "no data",
}
_KIND = {"true": "for an incident", "duplicate": "again for an incident", "false": "false", "excluded": "excluded"}
# Beside a false page at the start of the history.
_EARLY = ", before the window was full"


def group_words(group_by: GroupBy) -> str:
    """Write how alerts make pages."""
    if group_by is None:
        return "each alert"
    return clean(", ".join(group_by)) if group_by else "the whole rule"


def facts_of(model: TunerModel) -> dict[str, Any]:
    """Return what does not change while the tuner is open."""
    choices, replay = model.choices, model.replay
    period = replay.period
    return {
        "name": clean(model.name),
        "expression": clean(replay.rule.text.strip("\n"), lines=True),
        "period": [period.start_ms, period.end_ms],
        "step_ms": replay.grid.step_ms,
        "op": replay.knobs.op or "",
        "thresholds": [number(value) for value in choices.thresholds],
        "windows": [same_duration(value) for value in choices.windows_ms],
        "fors": [same_duration(value) for value in choices.fors_ms],
        "hours": list(choices.hours),
        "groups": [group_words(each) for each in choices.group_by],
        "reason": clean(choices.reason),
        "deployed": describe(model.deployed),
    }


@dataclass(frozen=True)
class Picture:
    """One stretch of time without what depends on the threshold.

    Attributes
    ----------
    head : dict
        Plain JSON.
    points : bytes
        For each line its places in time and on the axis, 32-bit floats; NaN breaks a line.
    scale : Scale
        The axis of values.
    """

    head: dict[str, Any]
    points: bytes
    scale: Scale


def picture_of(
    model: TunerModel,
    setting: Setting,
    group_by: GroupBy,
    period: Interval,
    columns: int = COLUMNS,
    *,
    fit: bool = False,
) -> Picture:
    """Return the lines, the axis and the incidents of a stretch of time.

    Parameters
    ----------
    model, setting, group_by
        Where the knobs stand.
    period : Interval
        The stretch.
    columns : int
        Its width in pixels.
    fit : bool
        Whether the axis holds the values of this stretch only, instead of all values and thresholds.
    """
    scale = model.scale(setting)
    head: dict[str, Any] = {"period": [period.start_ms, period.end_ms], "lines": [], "rest": 0, "infinite": 0}
    points = b""
    if model.replay.knobs.sweepable:
        # Least and greatest value of every second pixel: no peak is lost, and half as much is drawn.
        lines = model.lines(setting, period, max(columns // 2, _LEAST_COLUMNS))
        if fit and not math.isnan(lines.low):
            scale = scale_for(lines.low, lines.high, lines.least_positive, ())
        _, names = short_labels(lines.labels)
        heading, _ = short_labels(lines.labels)
        drawn = [*lines.lines]
        if lines.rest_low is not None and lines.rest_high is not None:
            drawn += [lines.rest_high, lines.rest_low]
        head |= {
            "lines": [
                {"name": name, "size": len(x), "colour": colour}
                for name, (x, _), colour in zip(names, lines.lines, model.colours(lines.labels, COLOURS), strict=True)
            ],
            "heading": heading,
            "rest": lines.rest,
            "rest_sizes": [len(x) for x, _ in drawn[len(names) :]],
            "infinite": lines.infinite,
            "ticks": ticks(scale),
            "scale": scale.note,
            "axis": [scale.kind, scale.low, scale.high, scale.linear_to],
            "places": _places(scale, model.choices.thresholds),
            "unit": ", ".join(filter(None, [clean(value_name(model.replay, 60)), unit_words(model.replay)])),
            "empty": math.isnan(lines.low),
        }
        shares = [
            part
            for x, y in drawn
            for part in ((x - period.start_ms) / max(period.duration_ms, 1), np.clip(scale.places(y), -0.05, 1.05))
        ]
        points = np.concatenate([np.empty(0), *shares]).astype("<f4").tobytes()
    else:
        rows = model.presence(period, columns)
        _, names = short_labels([labels.without(*model.replay.rule.labels) for labels, _ in rows], 60)
        head |= {
            "present": [
                {"name": name, "runs": _runs(runs, period)} for name, (_, runs) in zip(names, rows, strict=True)
            ],
            "empty": not rows,
            "unit": "condition true (no threshold to turn)",
        }
    deployed = model.at(model.deployed, group_by, period=period, columns=columns)
    head["deployed"] = {
        "pending": _runs(deployed.pending, period),
        "firing": _runs(deployed.firing, period),
        "place": _place(scale, model.deployed.threshold),
    }
    head["bands"] = _bands(model)
    head["fit"] = fit
    return Picture(head, points, scale)


def view_of(
    model: TunerModel, view: View, period: Interval, columns: int = COLUMNS, *, scale: Scale | None = None
) -> dict[str, Any]:
    """Return what moves with the threshold and is seen at once; `scale` is that of the picture."""
    found, choices = view.tally, model.choices
    deployed = model.deployed_numbers(view.group_by)
    setting = view.setting
    rows = comparison_rows(deployed, view.numbers)
    return {
        "values": {
            "threshold": "" if setting.threshold is None else f"{setting.threshold:.12g}",
            "threshold_stop": _stop(choices.thresholds, setting.threshold),
            "window": "" if setting.window_ms is None else same_duration(setting.window_ms),
            "window_stop": _stop(choices.windows_ms, setting.window_ms),
            "for": same_duration(setting.for_ms),
            "for_stop": _stop(choices.fors_ms, setting.for_ms),
            "group": _index(choices.group_by, view.group_by),
        },
        "place": _place(scale or model.scale(setting), setting.threshold),
        "numbers": {"chosen": _plain(view.numbers), "deployed": _plain(deployed)},
        "rows": rows,
        "sentence": sentence_of(deployed, view.numbers),
        "pending": _runs(view.pending, period),
        "firing": _runs(view.firing, period),
        "marks": {
            "true": _marks(found.starts[found.kinds <= 1], period, columns),
            "false": _marks(found.starts[found.kinds == FALSE], period, columns),
            "excluded": _marks(found.starts[found.kinds > FALSE], period, columns),
        },
        "found": [
            [outcome.incident.interval.start_ms, outcome.incident.interval.end_ms, int(outcome.found)]
            for outcome in found.must
        ],
    }


def lists_of(model: TunerModel, view: View) -> dict[str, Any]:
    """Return what is read at rest: the pages and the incidents, each by itself."""
    found = view.tally
    return {
        "pages": _pages(model, view, LISTED),
        "more_pages": max(0, found.pages - LISTED),
        "incidents": [
            {
                "id": shortened(clean(outcome.incident.id), _NAME),
                "start": outcome.incident.interval.start_ms,
                "end": outcome.incident.interval.end_ms,
                "must": outcome.incident.must_page,
                "found": outcome.found,
                "status": _STATUS[outcome.status],
                "delay": duration(outcome.delay_ms),
                "paged": outcome.first_firing_ms if outcome.found else None,
            }
            for outcome in found.outcomes
        ],
    }


def _pages(model: TunerModel, view: View, most: int) -> list[dict[str, Any]]:
    """Describe the first pages."""
    found, setting = view.tally, view.setting
    groups = model.grouped(view.group_by).signal(setting.window_ms, setting.hours or "").groups
    owners = found.groups[:most].tolist()
    alerts = {
        place: shortened(
            clean(
                ", ".join(
                    f"{key}={value}"
                    for key, value in groups[place].labels.without("alertname", *model.replay.rule.labels).items()
                )
            )
            or "–",
            80,
        )
        for place in set(owners)
    }
    full = full_from_ms(model.replay, setting.window_ms)
    ids = [f"for {shortened(clean(outcome.incident.id), _NAME)}" for outcome in found.outcomes]
    rows = zip(
        found.starts[:most].tolist(),
        found.ends[:most].tolist(),
        found.kinds[:most].tolist(),
        found.credited[:most].tolist(),
        owners,
        strict=True,
    )
    return [
        {
            "start": start,
            "end": end,
            "length": duration(end - start),
            "kind": KINDS[kind],
            "words": ids[credited] if kind == TRUE else _KIND[KINDS[kind]] + _EARLY * (kind == FALSE and start < full),
            "alert": alerts[owner],
        }
        for start, end, kind, credited, owner in rows
    ]


def _plain(numbers: Numbers) -> dict[str, Any]:
    return asdict(numbers)


def comparison_rows(deployed: Numbers, chosen: Numbers) -> list[list[str]]:
    """Return name, deployed and chosen value of everything counted."""

    def rate(value: float | None) -> str:
        return per_week(math.nan if value is None else value)

    def caught(numbers: Numbers) -> str:
        if numbers.incidents is None:
            return "no incident"
        return f"{numbers.caught} of {numbers.incidents}" if numbers.incidents else "none observed"

    def median(numbers: Numbers) -> str:
        few = numbers.delay_median_ms is None and numbers.caught
        return f"needs {MEDIAN_FROM} found" if few else duration(numbers.delay_median_ms)

    pairs = (deployed, chosen)
    return [
        ["incidents caught", *(caught(each) for each in pairs)],
        ["false pages a week", *(rate(each.false_pages_per_week) for each in pairs)],
        ["false pages", *(f"{each.false_pages:,}" for each in pairs)],
        ["pages a week", *(rate(each.pages_per_week) for each in pairs)],
        ["pages", *(f"{each.pages:,}" for each in pairs)],
        ["median delay", *(median(each) for each in pairs)],
        ["worst delay", *(duration(each.delay_worst_ms) for each in pairs)],
    ]


def sentence_of(deployed: Numbers, chosen: Numbers) -> str:
    """Say in one sentence what the setting did, for a screen reader."""
    if chosen.incidents is None:
        caught = "No incident concerns this rule"
    else:
        caught = f"{chosen.caught} of {count(chosen.incidents, 'incident')} caught"
    return (
        f"{caught}, {count(chosen.false_pages, 'false page')} in {span(chosen.weeks * WEEK_MS)} of normal time "
        f"(deployed: {deployed.false_pages:,})."
    )


# ---- numbers for drawing ------------------------------------------------------------------------


def _steps(instants: npt.NDArray[np.int64], period: Interval) -> str:
    """Write ascending instants as the milliseconds from one to the next, the first from the start of the period.

    Text, because a browser keeps hundreds of answers and reads few of them.
    """
    return ",".join(map(str, np.diff(instants, prepend=period.start_ms).tolist()))


def _runs(runs: Floats, period: Interval) -> str:
    """Write starts and ends in turn."""
    whole = runs.astype(np.int64)
    return _steps(np.cumsum(whole, axis=1).ravel(), period)


def _marks(instants: npt.NDArray[np.int64], period: Interval, columns: int) -> str:
    """Keep one mark for each pixel of the period."""
    inside = instants[(instants >= period.start_ms) & (instants < period.end_ms)]
    pixel = (inside - period.start_ms) * columns // max(period.duration_ms, 1)
    return _steps(inside[np.flatnonzero(np.diff(pixel, prepend=-1))], period)


def _stop(stops: Sequence[float], value: float | None) -> int:
    """Return the place of the stop next to a value."""
    if value is None or not stops:
        return 0
    return min(range(len(stops)), key=lambda place: abs(stops[place] - value))


def _index(options: Sequence[GroupBy], value: GroupBy) -> int:
    return options.index(value) if value in options else -1


def _places(scale: Scale, values: Sequence[float]) -> list[float]:
    return [round(float(place), 5) for place in scale.places(np.array(values, dtype=np.float64)).tolist()]


def _place(scale: Scale, threshold: float | None) -> float | None:
    return None if threshold is None else _places(scale, [threshold])[0]


def _bands(model: TunerModel) -> list[dict[str, Any]]:
    incidents = model.replay.incidents
    bands = [
        {
            "id": shortened(clean(incident.id), _NAME),
            "start": incident.interval.start_ms,
            "end": incident.interval.end_ms,
            "kind": "incident" if incident.must_page else "optional",
        }
        for incident in incidents.incidents
    ]
    bands += [
        {
            "id": clean(window.reason) or "excluded time",
            "start": window.interval.start_ms,
            "end": window.interval.end_ms,
            "kind": "excluded",
        }
        for window in incidents.excluded
    ]
    return bands


def ticks(scale: Scale) -> list[list[Any]]:
    """Return places and texts of an axis of values."""
    if scale.kind == "linear":
        span = scale.high - scale.low
        raw = span / 5
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
        values = np.arange(math.ceil(scale.low / step), math.floor(scale.high / step) + 1) * step
    else:
        furthest = max(scale.high, -scale.low)
        lowest = scale.linear_to if scale.kind == "symlog" else scale.low
        decades = np.arange(math.ceil(math.log10(lowest)), math.floor(math.log10(furthest)) + 1)
        wide = len(decades) > 8
        values = 10.0 ** (decades[::2] if wide else decades)
        if scale.kind == "log" and len(values) < 3:
            values = np.outer(10.0 ** np.append(decades[0] - 1 if len(decades) else 0, decades), (1, 2, 5)).ravel()
        if scale.kind == "symlog":
            values = np.concatenate([-values[::-1], [0.0], values])
        values = values[(values >= scale.low) & (values <= scale.high)]
    places = _places(scale, values.tolist())
    return [[place, compact(float(f"{value:.6g}"))] for place, value in zip(places, values.tolist(), strict=True)]
