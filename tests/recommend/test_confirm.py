from kmon_analysis.recommend.confirm import confirm, tuned_rules
from tests.recommend.world import advise, lag_history

DAYS = (8.4, 12.3, 17.6, 22.5, 27.3, 33.6)
TIERS = """groups:
- name: kafka
  rules:
  - {alert: Lag, expr: kafka_consumer_lag_sum > 500, for: 5m, labels: {severity: ticket}}
  - {alert: Lag, expr: kafka_consumer_lag_sum > 600, for: 5m, labels: {severity: page}}
"""


def test_tiers_of_one_name_are_confirmed_each_with_its_own_values():
    history, incidents = lag_history(6, incidents=DAYS)
    advice = advise(history, incidents, rules=TIERS)
    proposed = [one.proposed for one in advice.values()]
    assert [one.rule for one in advice.values()] == ["Lag (kafka, rule 1)", "Lag (kafka, rule 2)"]
    assert None not in proposed
    texts = [rule.text for rule in tuned_rules(advice).alerts]
    assert texts == [f"kafka_consumer_lag_sum > {one.threshold:g}" for one in proposed]
    later, truth = lag_history(6, incidents=DAYS, seed=8)
    found = confirm(advice, later, truth)
    for name in advice:
        assert found.proposed.scores[name].false_pages == 0 < found.current.scores[name].false_pages
        assert found.proposed.scores[name].caught == found.current.scores[name].caught == len(DAYS)
