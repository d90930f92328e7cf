"""The rule packs in ``data/rule-packs``: nothing is refused, and promtool of both releases sees what we see."""

import numpy as np
import pytest

import kmon_analysis as km
from kmon_analysis.backtest.run import backtest
from kmon_analysis.backtest.settings import Settings
from kmon_analysis.promql.evaluate import evaluate
from kmon_analysis.promql.semantics import Semantics
from kmon_analysis.rules.model import AlertingRule
from kmon_analysis.series import SeriesSet
from tests.promql.promtool import ask
from tests.tools import REPOSITORY, require

FOLDER = REPOSITORY / "data" / "rule-packs"
PACKS = sorted(path.stem for path in FOLDER.glob("*.yml"))
RELEASES = {"2.42": "promtool", "3.16": "promtool3"}
STEP_MS = 30_000
# Whole minutes and odd seconds: before, in and after the faults of the history.
HOURS = (1.5, 2.1, 2.75, 3.51, 5.06, 5.12, 5.75, 8.0, 8.6, 11.5, 12.9)


@pytest.fixture(scope="module")
def history():
    return km.open_history(FOLDER / "history")


def test_there_are_seven():
    assert len(PACKS) == 7


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("pack", PACKS)
def test_every_rule_is_evaluated_and_some_alert_fires(history, pack, version):
    rules = km.read_rules(FOLDER / f"{pack}.yml")
    result = backtest(rules, history, settings=Settings(version=version))
    assert not result.refused
    assert set(result) == {rule.name for rule in rules.alerts}
    assert any(score.pages for score in result.scores.values())


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("pack", PACKS)
def test_promtool_sees_the_same(history, tmp_path, pack, version):
    promtool = require(RELEASES[version])
    rules = [
        rule
        for group in km.read_rules(FOLDER / f"{pack}.yml").groups
        for rule in group.rules
        if not ((isinstance(rule, AlertingRule) and "consumergroup:" in rule.text) or "topic:kafka" in rule.text)
    ]
    start_ms = int(min(part.times[0] for part in history.series))
    # A test's clock begins at 0; what lies further back than any window would only be read in vain.
    found = 0
    for hours in HOURS:
        at_ms = int(hours * 3_600_000) // 1000 * 1000
        low_ms = max(0, at_ms - 4_500_000) // 60_000 * 60_000
        near = history.series.between(start_ms + low_ms, start_ms + at_ms + 180_000)
        moved = SeriesSet.from_samples(
            type(part)(part.labels, part.times - start_ms - low_ms, part.values) for part in near if len(part.times)
        )
        questions = [(rule.text, at_ms - low_ms) for rule in rules if "hour()" not in rule.text]
        # Samples are loaded up to the last whole minute of all questions only.
        answers = ask(promtool, tmp_path, moved, STEP_MS, [*questions, ("vector(1)", at_ms - low_ms + 120_000)])[:-1]
        for (text, time_ms), theirs in zip(questions, answers, strict=True):
            rule = next(rule for rule in rules if rule.text == text)
            grid = evaluate(rule.expr, moved, np.array([time_ms]), Semantics.of(version))
            assert not isinstance(theirs, str), (text, theirs)
            assert grid.at(0) == theirs, (text, hours)
            found += len(theirs)
    assert found
