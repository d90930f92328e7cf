"""What lint says about configurations: the founding one with all its faults, its repairs, and one fault at a time."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from kmon_analysis.errors import DataFileError, SettingError
from kmon_analysis.kafka import dialects
from kmon_analysis.kafka.jmx_init import jmx_configuration
from kmon_analysis.kafka.jmx_lint import lint_jmx, lint_jmx_text
from kmon_analysis.kafka.mbeans import kafka_table
from tests.kafka.configs import FOUNDING, SAME_NAME

LEADERS = "kafka_server_ReplicaManager_LeaderCount"
MESSAGES = "kafka_server_BrokerTopicMetrics_MessagesInPerSec"
BYTES = "kafka_server_BrokerTopicMetrics_BytesInPerSec"


def names(lint):
    return {row.name for row in lint.series}


def found(text, code, **options):
    """Return the only finding of a code."""
    lint = lint_jmx_text(text, "f.yml", **options)
    remarks = [remark for remark in lint.remarks if remark.code == code]
    assert len(remarks) == 1, [str(remark.finding) for remark in lint.remarks]
    return remarks[0]


def test_all_faults_of_the_founding_configuration_with_line_and_cure():
    lint = lint_jmx_text(FOUNDING, "kafka-jmx-config.yml")
    assert [(remark.code, remark.finding.line, remark.finding.cure) for remark in lint.faults] == [
        ("missing", 2, "Add a rule for it; 'kmon jmx init' writes one"),
        ("missing", 2, "Add a rule for it; 'kmon jmx init' writes one"),
        ("no-attribute", 3, "Add a rule with Count: for meters before it"),
        ("greedy", 3, "Write ([^,]+) for the group, and a group and a label for 'topic'"),
        ("collision", 3, "Give the rule a group and a label for 'topic'"),
        ("shadowed", 5, "Move it before line 3"),
        ("no-attribute", 5, "Write Count: instead of Value"),
        ("greedy", 5, "Write ([^,]+) for the group, and a group and a label for 'clientId'"),
        ("greedy", 5, "Write ([^,]+) for the group, and a group and a label for 'partition'"),
    ]
    said = [remark.finding.problem for remark in lint.faults]
    assert "partitions without a leader" in said[0]
    assert "whether a controller can elect leaders" in said[1]
    assert "the rate of incoming messages by topic and inbound traffic by topic" in said[2]
    assert "has no attribute 'Value': a meter has Count" in said[2]
    assert "'topic' becomes part of the metric's name" in said[3]
    assert "topic=user.registered" in said[4]
    assert "topic=user_registered" in said[4]
    assert "never reached: all 10 attributes that it matches are taken by the rule on line 3" in said[5]
    assert "'partition' becomes part of the label 'topic'" in said[8]
    [note] = [remark for remark in lint.remarks if not remark.fault]
    assert note.code == "replica-lag"
    assert note.finding.line == 4
    assert "not the lag of consumers (and 7 more like it)" in note.finding.problem
    assert LEADERS in names(lint)
    assert not {MESSAGES, BYTES} & names(lint)


def test_repairs_that_are_none():
    count = lint_jmx_text(FOUNDING.replace("Value", "Count"))
    assert LEADERS not in names(count)
    assert f"{MESSAGES}_topic_user_registered" in names(count)
    assert {"collision", "greedy", "missing", "shadowed"} <= {remark.code for remark in count.faults}
    both = lint_jmx_text(FOUNDING.replace("Value", "(Count|Value)"))
    assert {LEADERS, MESSAGES, f"{MESSAGES}_topic_user_registered"} <= names(both)


@pytest.mark.parametrize("idiomatic", [False, True])
def test_our_own_configuration_has_no_fault_and_no_note(idiomatic):
    lint = lint_jmx_text(jmx_configuration(idiomatic=idiomatic))
    assert lint.remarks == ()
    rows = {row.name: row for row in lint.series}
    topics = len(kafka_table().samples["topic"])
    if idiomatic:
        assert rows["kafka_server_brokertopicmetrics_messagesin_total"].kind == "counter"
        assert "kafka_controller_kafkacontroller_offlinepartitionscount" in rows
        return
    for name in (MESSAGES, BYTES):
        assert (rows[name].kind, rows[name].labels, rows[name].count) == ("untyped", ("topic",), topics)
    assert (rows[LEADERS].kind, rows[LEADERS].labels, rows[LEADERS].count) == ("gauge", (), 1)
    assert rows["kafka_controller_KafkaController_OfflinePartitionsCount"].kind == "gauge"


@pytest.mark.parametrize(("idiomatic", "dialect"), [(False, "founding"), (True, "jmx-example")])
def test_our_own_configuration_speaks_a_known_dialect(idiomatic, dialect):
    ours = names(lint_jmx_text(jmx_configuration(idiomatic=idiomatic)))
    entry = YAML(typ="safe").load(Path(dialects.__file__).with_name("dialects.yml"))[dialect]
    wanted = {name for part in entry.values() if isinstance(part, dict) for name in part.get("names", ())}
    assert wanted
    assert wanted <= ours


@pytest.mark.parametrize("version", ["1.0", "1.3.0", "1.6"])
def test_every_release_reads_our_own_alike(version):
    lint = lint_jmx_text(jmx_configuration(), exporter_version=version)
    assert lint.series == lint_jmx_text(jmx_configuration()).series


def test_the_sum_over_all_topics_beside_the_topics_is_counted_twice():
    remark = found(SAME_NAME + "    # kept\n", "counted-twice")
    assert remark.finding.line == 7
    assert "the topics (line 2) and the sum over all topics (line 6)" in remark.finding.problem
    assert "(and 7 more like it)" in remark.finding.problem


RULE = "rules:\n- pattern: '{pattern}'\n  name: {name}\n"
FAULTS = [
    # code, configuration, line, words, cure
    ("dead", RULE.format(pattern="kafka.server<type=ReplicaManager,name=LeaderCount><>Value", name="x"), 2,
     "rule 1 matches nothing", "blank behind commas"),
    ("gone", RULE.format(pattern="kafka.server<type=SessionExpireListener, name=(.*)><>Count", name="x"), 2,
     "gone since Kafka 4.0", "Remove"),
    ("no-attribute", RULE.format(pattern="kafka.log<type=LogFlushStats, name=(\\w+)><>Value", name="x"), 2,
     "has no attribute 'Value'", "Write Count: instead of Value"),
    ("filtered", "includeObjectNames: ['kafka.log:*']\n" + RULE.format(pattern="name=LeaderCount><>Value", name="x"), 3,
     "left out by the object names", "Include it"),
    ("object-name", "includeObjectNames:\n- 'kafka.log:*'\n- 'kafka.server:type=ReplicaManager, name=*'\n", 3,
     "no MBean is included by", "Remove the blank"),
    ("object-name", "excludeObjectNames: ['kafka.server:type=ReplicaManager']\n", 1,
     "no MBean is excluded by", "Write kafka.server:type=ReplicaManager,*"),
    ("object-name", "excludeObjectNameAttributes: {'java.lang:*': [Verbose]}\n", 1, "wildcards", "whole object name"),
    ("cached-value", RULE.format(pattern="name=LeaderCount><>Value: \\d+", name="x") + "  cache: true\n", 2,
     "the value is not part", "End the pattern at ':'"),
    ("greedy", RULE.format(pattern="kafka.log<type=Log, name=(.+), partition=(.+)><>Value", name="log_$1"), 2,
     "group 1 takes", "Write ([^,]+)"),
    ("topic-in-name", RULE.format(pattern="kafka.log<type=Log, name=(\\w+), topic=([^,]+), partition=0><>Value",
                                  name="log_$1_$2"), 3, "puts the topic into", "labels"),
    ("collision", RULE.format(pattern="type=ReplicaManager, name=LeaderCount|name=PartitionCount><>Value", name="x"), 2,
     "both become x:", "a label for 'name'"),
    ("collision", RULE.format(pattern="name=TotalTimeMs, request=Produce><>Mean|Max: ", name="x"), 2,
     "_objectname", "End the pattern at one attribute"),
    ("suffix", RULE.format(pattern="name=LeaderCount><>Value", name="leaders_total"), 3,
     "leaders_total is exported as leaders", "Add 'type: COUNTER'"),
    ("type", RULE.format(pattern="name=LeaderCount><>Value", name="leaders") + "  type: gauge\n", 4,
     "does not know the type 'gauge'", "Write GAUGE"),
    ("type", RULE.format(pattern="name=LeaderCount><>Value", name="leaders_total") + "  type: COUNTER\n", 4,
     "goes up and down", "Write 'type: GAUGE'"),
    ("type-differs", RULE.format(pattern="name=LeaderCount><>Value", name="x")
     + "- pattern: name=(PartitionCount)><>Value\n  name: x\n  type: GAUGE\n  labels: {a: $1}\n", 6,
     "UNKNOWN (line 2) and GAUGE (line 6)", "same type"),
    ("no-effect", "rules:\n- pattern: name=LeaderCount\n  name: x\n  lables: {a: b}\n", 4,
     "unknown key 'lables'", "Did you mean 'labels'"),
    ("no-effect", "lowerCaseOutputName: true\n", 1, "unknown key", "Did you mean 'lowercaseOutputName'"),
    ("no-effect", "inferCounterTypeFromName: true\n", 1, "before release 1.4", "release"),
    ("no-rules", "rules: []\n", 1, "nothing is exported", "Remove 'rules:'"),
    ("no-value", RULE.format(pattern="app-info, id=1><>Version", name="x"), 2, "is text", "value: 1"),
    ("no-value", RULE.format(pattern="name=LeaderCount", name="x") + "  value: $0\n", 4, "is no number", "Correct"),
    ("scrape-fails", RULE.format(pattern="name=(LeaderCount)", name="x_$2"), 3,
     "names group 2, and the pattern has 1; the scrape ends there", "Name a group"),
    ("scrape-fails", RULE.format(pattern="name=(LeaderCount)", name="jmx_scrape_error"), 3,
     "a metric 'jmx_scrape_error' of its own; every scrape is answered with an error", "another name"),
    ("scrape-fails", RULE.format(pattern="name=(LeaderCount)", name="x") + "  labels: {a b: c, a.b: d}\n", 4,
     "the label 'a_b' is set twice", "each label once"),
    ("shadowed", "rules:\n- pattern: kafka.server<\n- pattern: name=LeaderCount\n  name: x\n", 3,
     "never reached", "Move it before line 2"),
    ("shadowed", "rules:\n- pattern: name=Mess\n  name: x\n- pattern: name=(.{8})[^,]*, topic=([^>]*)\n  name: y\n"
     "  labels: {topic: $2}\n", 4, "loses 35 of the 380 attributes", "Move it before line 2"),
    ("shadowed", "rules:\n- {}\n- {}\n", 3, "never reached", "Move it up"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "line", "words", "cure"), FAULTS, ids=[f"{f[0]}-{f[2]}" for f in FAULTS])
def test_each_fault_has_its_line_and_cure(code, text, line, words, cure):
    remark = found(text, code)
    assert remark.fault
    assert remark.finding.line == line
    assert words in remark.finding.problem
    assert cure in (remark.finding.cure or "")


def test_notes_are_no_faults():
    counter = RULE.format(pattern="name=MessagesInPerSec><>Count", name="messages") + "  type: COUNTER\n"
    assert "exported as messages_total" in found(counter, "suffix").finding.problem
    strange = RULE.format(pattern="cassandra.metrics<type=(.+)><>Value", name="x")
    assert not found(strange, "unknown").fault
    assert not found(RULE.format(pattern="kafka.server<type=Nonsense><>Value", name="x"), "unknown").fault


REFUSED = {
    "rules: [{pattern: a, name: 1}]": [":1:", "'name' of rule 1 is a int (1)", "Put it in quotes"],
    "rules: [{name: x}]": ["a name and no pattern"],
    "rules: [{pattern: x, labels: {a: b}}]": ["labels or help and no name"],
    "rules: [{pattern: x, name: y, labels: {a: 5, 6: c, d: }}, {pattern: '(', name: z}]": [
        "label 'a'", "the name of label '6'", "label 'd'", "rule 2: unclosed group; Java refuses",
    ],
    "rules:\n- pattern: 'ab[c'\n  name: x\n- pattern: \"q\\\\y\"\n  name: x\n": [":2:15", ":4:14", "Java refuses"],
    "rules: {a: b}": ["'rules' is a mapping"],
    "rules:": ["'rules' is empty"],
    "rules: [a]": ["rule 1 is a text"],
    "- a": ["a configuration is a mapping, not a list"],
    "lowercaseOutputName: 'yes'": ["'lowercaseOutputName' is a text"],
    "includeObjectNames: [a, 'b:c', '*:*,*', 'a:b=c,b=d', 3]": ["'a' has no ':'", "'b:c'", "'*' twice", "twice", "int"],
    "rules: [{pattern: 'a)|(?:b', name: x}]": ["brackets that close"],
    "rules: [{pattern: '(?x)a', name: x}]": ["(?x) is not replayed"],
    "rules: [{pattern: '(.*)(.*)(.*)(.*)(?=!)!', name: x}]": ["rule 1 backtracks", "Write a simpler pattern"],
    "a: 1\n---\nb: 2": ["second document"],
    "rules: [": ["not valid YAML"],
    "a: &a [*b]": ["not valid YAML"],
    "x: 1\nx: 2": ["key 'x' of the configuration is repeated"],
    "a: &a {b: c}\nrules: [{<<: *a}]": ["'<<' is not replayed"],
    "rules: [{pattern: !!str 5}]": ["a YAML tag is not replayed"],
    "metricCustomizers: []": ["not replayed"],
    "hostPort: a\njmxUrl: b": ["together"],
    "[" * 50000: ["nested deeper than 200"],
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=[text[:40] for text in REFUSED])
def test_what_the_exporter_refuses_is_said_at_once(text):
    with pytest.raises(DataFileError) as caught:
        lint_jmx_text(text, "f.yml")
    for words in REFUSED[text]:
        assert words in str(caught.value)
    assert all(finding.line is not None for finding in caught.value.findings)


def test_aliases_do_not_multiply():
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    # SnakeYAML refuses more than fifty aliases of collections.
    with pytest.raises(DataFileError, match="aliases"):
        lint_jmx_text(bomb + "rules: []")


def test_files_that_cannot_be_read(tmp_path):
    for path, words in ((tmp_path / "none.yml", "no such file"), (tmp_path, "directory")):
        with pytest.raises(DataFileError, match=words):
            lint_jmx(path)
    large = tmp_path / "large.yml"
    large.write_text("# " + "x" * 256_000)
    with pytest.raises(DataFileError, match="larger than"):
        lint_jmx(large)
    large.write_bytes(b"rules: []\n# \xff")
    with pytest.raises(DataFileError, match="byte 0xff"):
        lint_jmx(large)


@pytest.mark.parametrize("version", ["0.20", "2.0", "x", "", "1", "1.7", "9" * 400])
def test_releases_that_are_not_replayed(version):
    with pytest.raises(SettingError, match="is not replayed"):
        lint_jmx_text("", exporter_version=version)


def test_what_differs_between_releases():
    counts = "inferCounterTypeFromName: true\nrules: [{pattern: 'name=MessagesInPerSec><>Count', name: m_total}]"
    assert [row.name for row in lint_jmx_text(counts).series] == ["m"]
    assert [row.name for row in lint_jmx_text(counts, exporter_version="1.4").series] == ["m_total"]
    twice = "rules: [{pattern: 'name=LeaderCount><>V', name: x, labels: {a b: c, a-b: d}}]"
    assert "every scrape" in found(twice, "scrape-fails", exporter_version="1.2").finding.problem
    assert "ends there" in found(twice, "scrape-fails", exporter_version="1.3").finding.problem
    own = "excludeJvmMetrics: true"
    assert any(row.name.startswith("java_lang") for row in lint_jmx_text(own).series)
    assert not any(row.name.startswith("java_lang") for row in lint_jmx_text(own, exporter_version="1.5").series)
