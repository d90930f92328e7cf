"""Text that would act if a page took it for markup, in every place that comes from outside."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from kmon_analysis.backtest.run import Backtest, backtest
from kmon_analysis.history import History, Provenance
from kmon_analysis.incidents import Incidents
from kmon_analysis.labels import Labels
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.series import Samples, SeriesSet
from tests.recommend.world import LAG, lag_history

__all__ = ["MARKUP", "STEERING", "backtest_of_hostile_text"]

# Each sets a flag in the page's window when it acts.
MARKUP = (
    "<script>window.acted = 1; alert(1)</script>"
    '"\'><img src=x onerror="window.acted = 2">'
    "</code></pre></title></style><svg onload='window.acted = 3'></svg>"
    "<a href='javascript:window.acted = 4'>link</a> ${alert(5)}"
)
# A turned reading order, a mark-up of tables and Markdown, a formula, a colour of terminals, and no place to break.
STEERING = "\u202egnp.exe\u202c | `code` **bold** [link](http://example.org) $\\frac{1}{2}$ \x1b[31mred " + "W" * 400


def backtest_of_hostile_text() -> Backtest:
    """Replay a lag rule over six weeks whose every name, label, title and cause is hostile."""
    history, incidents = lag_history(6, incidents=(8.4, 12.3, 17.6, 22.5, 27.3, 33.6))
    [plain] = history.series
    samples = [
        Samples(Labels({**LAG, "topic": topic, "consumergroup": MARKUP}), plain.times, plain.values + extra)
        for topic, extra in ((MARKUP, 0.0), (STEERING, 1.0))
    ]
    provenance = Provenance(
        f"file {MARKUP}",
        int(plain.times[0]),
        int(plain.times[-1]) + 60_000,
        scrape_interval_ms=60_000,
        warnings=(MARKUP, STEERING),
    )
    truth = [
        replace(known, id=f"{number} {text}", kind=text, cause=f"{{{{ 7 * 7 }}}} {text}")
        for number, known in enumerate(incidents.incidents)
        for text in [(MARKUP, STEERING)[number % 2]]
    ]
    alerts = [
        {
            "alert": f"{name} {text}",
            "expr": f"kafka_consumer_lag_sum{{topic!={json.dumps(text)}}} > {threshold}",
            "for": "5m",
            "labels": {"severity": text},
            "annotations": {"summary": text, "description": f"{{{{ $value }}}} {STEERING}"},
        }
        for name, text, threshold in (("Lag", MARKUP, 500), ("Also", "plain", 400))
    ]
    rules = parse_rules(json.dumps({"groups": [{"name": MARKUP, "rules": alerts}]}), f"{MARKUP[:40]}.yml")
    assert np.all(np.diff(plain.times) > 0)
    return backtest(rules, History(SeriesSet.from_samples(samples), provenance), Incidents(incidents=tuple(truth)))
