"""A postmortem of what running servers hold: the same numbers as from the files."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kmon_analysis as km
from kmon_analysis.history import History, Provenance
from kmon_analysis.promql.needs import selections
from kmon_analysis.series import Samples, SeriesSet, is_stale
from kmon_analysis.timing import format_instant
from tests.prometheus_server import openmetrics, running_prometheus
from tests.tools import REPOSITORY

FOLDER = REPOSITORY / "data" / "recorded-kafka"
CREDIT = ("--credit-before", "10s", "--credit-after", "30s")
RELEASES = {"prometheus": "2.42", "prometheus3": "3.16"}


@pytest.fixture(scope="module")
def recorded():
    """Return what the rules read of the recorded cluster, without stale markers, which OpenMetrics cannot hold."""
    whole, rules = km.open_history(FOLDER), km.read_rules(FOLDER / "rules.yml")
    places = {
        place
        for rule in rules.rules
        for need in selections(rule.expr)
        for place in whole.series.matching(need.matchers).tolist()
    }
    parts = []
    for place in sorted(places):
        part = whole.series[place]
        kept = ~is_stale(part.values)
        parts.append(Samples(part.labels, part.times[kept], part.values[kept]))
    series = SeriesSet.from_samples(parts)
    start_ms = int(series.times.min()) // 1000 * 1000
    end_ms = int(series.times.max()) // 1000 * 1000 + 1000
    return History(series, Provenance("recorded-kafka", start_ms, end_ms, scrape_interval_ms=5_000))


@pytest.fixture(scope="module", params=list(RELEASES))
def server(request, recorded):
    samples = {}
    for part in recorded.series:
        labels = dict(part.labels)
        name = labels.pop("__name__")
        inside = ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
        pairs = zip(part.times.tolist(), part.values.tolist(), strict=True)
        samples[f"{name}{{{inside}}}"] = [(at, repr(value)) for at, value in pairs]
    with running_prometheus(openmetrics(samples), program=request.param) as running:
        yield RELEASES[request.param], running.url


@pytest.mark.parametrize("incident", ["INC-001", "INC-011"])
def test_a_server_gives_the_numbers_of_the_files(kmon, recorded, server, tmp_path, incident):
    release, url = server
    recorded.save(tmp_path / "history")
    given = ("--rules", FOLDER / "rules.yml", "--incidents", FOLDER / "incidents.yml", *CREDIT)
    span = [format_instant(at_ms) for at_ms in (recorded.interval.start_ms, recorded.interval.end_ms)]
    live = kmon(
        "postmortem",
        incident,
        "--prometheus",
        url,
        "--start",
        span[0],
        "--end",
        span[1],
        *given,
        "-o",
        tmp_path / "live",
    )
    files = kmon(
        "postmortem",
        incident,
        "--history",
        tmp_path / "history",
        "--semantics",
        release,
        *given,
        "-o",
        tmp_path / "files",
    )
    assert (live.status, files.status) == (0, 0), live.err + files.err
    told = [json.loads((tmp_path / name / "postmortem.json").read_text()) for name in ("live", "files")]
    for each in told:
        assert each.pop("semantics") == release
        assert each["rules"][0]["status"] == "paged"
    assert told[0]["rules"] == told[1]["rules"]
    assert {key: value for key, value in told[0].items() if key != "unknown"} == {
        key: value for key, value in told[1].items() if key != "unknown"
    }
    again = kmon("postmortem", "--bundle", tmp_path / "live" / "bundle")
    assert again.status == 0, again.out
    assert np.isfinite(told[0]["rules"][0]["first_firing"]["offset_s"])
