"""One of something is not written as several, in everything that people read of a tiny past."""

import re

import pytest

from kmon_analysis.postmortem.run import postmortem
from kmon_analysis.recommend.by_hand import chosen_by_hand
from kmon_analysis.report.page import render_report
from kmon_analysis.workflow_notebook import _rules
from tests.recommend.world import RULES, advise, lag_history

NOUNS = (
    "alerts|false pages|pages|incidents|suggestions|weeks|days|hours|rules|series|gaps|samples|evaluations|tests|groups"
    "|windows|thresholds|settings"
)
ONE = re.compile(rf"(?<![\w.,:/-])1 (?:{NOUNS})\b(?! (?:name|of))")


def plural_of_one(text):
    return [text[max(0, found.start() - 40) : found.end() + 20] for found in ONE.finditer(text.replace("1 series", ""))]


@pytest.fixture(scope="module", params=[(), (3.4,), (3.4, 8.6)], ids=["none", "one", "two"])
def tiny(request):
    return advise(*lag_history(2, incidents=request.param, noise_per_week=0.5, noise_peak=900.0))


def test_one_is_not_several(tiny, tmp_path):
    result, [name] = tiny.backtest, list(tiny)
    hand = chosen_by_hand(tiny, name, tiny[name].current)
    shown = [repr(each) for each in (result, result[name], result.scores[name], result.history.series, tiny, hand)]
    shown += [tiny[name].headline, *tiny[name].reasons, result._repr_html_(), tiny._repr_html_(), render_report(tiny)]
    for incident in result.incidents.incidents[:1]:
        made = postmortem(result, incident.id, sooner=None)
        shown += [repr(made), made._repr_html_()]
        shown += [path.read_text() for path in made.write(tmp_path).paths if path.suffix in (".md", ".html")]
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES.format(threshold=500))
    shown.append(_rules({"KMON_RULES": str(rules)}, None)[1])
    assert "1 alert." in shown[-1]
    assert [text for each in shown for text in plural_of_one(each)] == []


def test_the_scan_finds_what_it_looks_for():
    for text in ("found 1 of 1 incidents", "1 alerts.", "(1 false pages)"):
        assert plural_of_one(text)
    assert not plural_of_one("2.1 weeks, 1 of 6 incidents, 11 alerts, 1 incident, 1 series")
