from __future__ import annotations

import pytest

from kmon_analysis.kafka.dialects import dialects
from kmon_analysis.kafka.expressions import selector
from kmon_analysis.kafka.units import unit_of
from kmon_analysis.promql.parser import parse

IN = "kafka_server_BrokerTopicMetrics_MessagesInPerSec"
LAG = "kafka_consumer_lag_sum"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (LAG, "messages"),
        (f"sum by (topic) (rate({IN}[5m]))", "messages/s"),
        (f"sum(rate({IN}[5m])) or vector(0)", "messages/s"),
        (f"max_over_time({LAG}[1h:1m])", "messages"),
        (f"increase({IN}[1h])", "messages"),
        (f"deriv({LAG}[10m])", "messages/s"),
        (f"-({LAG} - 5)", "messages"),
        (f"{LAG} + {IN}", "messages"),
        (f"{LAG} + some_gauge", None),
        (f"{LAG} / rate({IN}[5m])", "seconds"),
        (f"{LAG} / ignoring(x) {LAG}", "ratio"),
        (f"{LAG} * {LAG}", None),
        (f"1 / {LAG}", None),
        (f"{LAG} / 1", "messages"),
        (f"2 * {LAG}", None),
        (f"{LAG} / 1000", None),
        (f"count({LAG})", None),
        (f'count_values("v", {LAG})', None),
        (f"{LAG} > bool 5", "ratio"),
        (f"{LAG} > 5 and on() hour() > 6", "messages"),
        (f"{LAG} unless absent({LAG})", "messages"),
        (f"quantile_over_time(0.9, {LAG}[1h])", "messages"),
        (f"topk(3, {LAG})", "messages"),
        (f"absent({LAG})", None),
        ("time() - process_start_time_seconds", "seconds"),
        ("histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))", "seconds"),
        ("rate(process_cpu_seconds_total[5m])", "ratio"),
        ("rate(node_network_receive_bytes_total[5m])", "bytes/s"),
        ("rate(http_requests_total[5m])", None),
        ('{__name__=~"a|b"}', None),
        ('kafka_server_BrokerTopicMetrics_Count{name="BytesInPerSec"}', "bytes"),
        ("kafka_server_BrokerTopicMetrics_Count", None),
        ("confluent_kafka_server_received_bytes", "bytes/min"),
        ("up", None),
        ("1", None),
    ],
)
def test_units_follow_names_and_functions(text, unit):
    assert unit_of(parse(text)) == unit


@pytest.mark.parametrize("name", list(dialects()))
def test_every_dialect_names_the_unit_of_its_metrics(name):
    for metric in dialects()[name].metrics.values():
        if metric.expr or len(metric.names) > 1:
            continue
        unit = {"rate_gauge": f"{metric.unit}/s", "delta_gauge": f"{metric.unit}/min"}.get(metric.kind, metric.unit)
        assert unit_of(parse(selector(metric))) == unit
