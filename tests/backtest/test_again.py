import pytest

from kmon_analysis.backtest.again import alone, with_incidents
from kmon_analysis.errors import IncidentError
from kmon_analysis.incidents import Excluded, Incident, Incidents
from kmon_analysis.rules.reader import parse_rules
from kmon_analysis.timing import DAY_MS, HOUR_MS, Interval
from kmon_analysis.workflow import backtest
from tests.labelling.test_review import pages_of
from tests.recommend.world import RULES, lag_history


def test_other_truth_gives_what_a_new_run_gives():
    history, incidents = lag_history(2, incidents=(3.4, 8.3))
    rules = parse_rules(RULES.format(threshold=500))
    start = history.interval.start_ms
    more = Incidents(
        (*incidents, Incident("more", Interval(start + 5 * DAY_MS, start + 5 * DAY_MS + HOUR_MS))),
        (Excluded(Interval(start + 9 * DAY_MS, start + 10 * DAY_MS)),),
    )
    old = backtest(rules, history, incidents)
    again, new = with_incidents(old, more), backtest(rules, history, more)
    assert again.scores == new.scores != old.scores
    assert again.incidents is more
    for name, replay in again.items():
        assert replay.incidents == new[name].incidents
        assert replay.signal() is old[name].signal()
    assert with_incidents(again, incidents).scores == old.scores


def test_truth_outside_the_history_is_refused():
    history, incidents = lag_history(2, incidents=(3.4,))
    result = backtest(parse_rules(RULES.format(threshold=500)), history, incidents)
    with pytest.raises(IncidentError, match="starts after the history"):
        with_incidents(result, Incidents((Incident("late", Interval(9 * 10**15 // 1000, 10**13)),)))


def test_one_group_alone_pages_as_it_did_among_the_others():
    result = pages_of([(100, 30, 200), (300, 5, 900)], groups=("a", "b"))
    replay = result["Lag"]
    for place, group in enumerate(replay.signal().groups):
        one = alone(replay, place, ("alertname",))
        among = [each.interval for each in replay.episodes() if each.group == place]
        assert [each.interval for each in one.episodes()] == among
        assert one.signal().labels == (group.labels.without("alertname"),)
