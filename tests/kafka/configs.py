"""Configurations of the JMX exporter: the founding one, odd ones, and a grammar of random ones."""

from kmon_analysis.kafka.jmx_init import jmx_configuration

FOUNDING = """\
# kafka-jmx-config.yml
rules:
  - pattern: kafka.server<type=(.+), name=(.+)><>Value
    name: kafka_server_$1_$2
  - pattern: kafka.server<type=(.+), name=(.+), topic=(.+)><>Value
    name: kafka_server_$1_$2
    labels:
      topic: "$3"
"""

SAME_NAME = """\
rules:
  - pattern: kafka.server<type=(.+), name=(.+)PerSec, topic=(.+)><>Count
    name: kafka_server_$1_$2_total
    type: COUNTER
    labels: {topic: "$3"}
  - pattern: kafka.server<type=(.+), name=(.+)PerSec><>Count
    name: kafka_server_$1_$2_total
    type: COUNTER
"""

ODD = {
    "nothing": "",
    "no rules": "rules: []",
    "default of all": "lowercaseOutputName: yes\nlowercaseOutputLabelNames: true\nrules: [{}]",
    "default, snake": "rules:\n- pattern: kafka\\.(server|log)<.*\n  attrNameSnakeCase: true\n  type: GAUGE",
    "same name": SAME_NAME,
    "count for value": FOUNDING.replace("Value", "Count"),
    "count or value": FOUNDING.replace("Value", "(Count|Value)"),
    "not anchored": "rules: [{pattern: 'name=(TotalTimeMs), request=(\\w+)><>(.+)', name: '$1_Mean', labels: {r: $2}}]",
    "all of one name": "rules: [{pattern: 'kafka.server<type=([^,]+)', name: x, labels: {type: $1}, type: COUNTER}]",
    "types differ": """
rules:
- {pattern: 'kafka.server<type=ReplicaManager, name=(\\w+)><>Value', name: same, type: GAUGE, labels: {n: $1}}
- {pattern: 'kafka.server<type=ReplicaManager, name=(\\w+)><>Count', name: same_total, type: COUNTER, labels: {n: $1}}
""",
    "suffixes": """
rules:
- {pattern: 'name=LeaderCount><>Value', name: leaders_total}
- {pattern: 'name=PartitionCount><>Value', name: 7_partitions_info_total_, type: gauge}
- {pattern: 'name=BrokerState><>Value', name: _info, type: SUMMARY}
- {pattern: 'name=OfflineReplicaCount><>Value', name: off line--replicas_bucket_created, type: UNTYPED}
""",
    "values": """
rules:
- {pattern: 'name=LeaderCount><>Value: (\\d)', name: first_digit, value: $1}
- {pattern: 'name=PartitionCount><>Value', name: thousandth, valueFactor: 0.001, help: "of $0"}
- {pattern: 'name=UnderReplicatedPartitions><>Value', name: fixed, value: 3, valueFactor: 2}
- {pattern: 'type=app-info, id=(\\d+)><>Version', name: version, value: 1, labels: {id: $1, 'v e r': 'a\\\\b\\$1 "c"'}}
- {pattern: 'type=app-info, id=(\\d+)><>CommitId', name: commit, value: abc}
- {pattern: 'type=app-info', name: text}
- {pattern: 'java.lang<type=Memory><(\\w+)HeapMemoryUsage>(\\w+)', name: nonheap_$2}
- {pattern: 'java.lang<type=Memory><(\\w*)HeapMemoryUsage>(\\w+)', name: heap_$2, labels: {x: $1, y: z}}
- {pattern: 'java.lang<type=Memory><>Verbose: (true)', name: '$1', valueFactor: 5}
- {pattern: 'name=G1 (Young|Old)', name: gc_$1, labels: {gc: $1}}
- {pattern: 'name=AtMinIsrPartitionCount', name: ''}
""",
    "cache": """
rules:
- {pattern: 'name=LeaderCount><>Value: \\d', name: never, cache: true}
- {pattern: 'name=(LeaderCount)><>Value', name: leaders, cache: true}
- {pattern: 'name=(LeaderCount|PartitionCount)><>Value: \\d', name: '$1'}
""",
    "object names": """
whitelistObjectNames:
- "kafka.server:type=Rep*,*"
- "kafka.?og:type=Log,name=Size,topic=user?registered,*"
- "java.lang:*"
blacklistObjectNames: ["*:name=IsrShrinksPerSec,*", "kafka.server:type=ReplicaManager,name=LeaderCount"]
excludeObjectNameAttributes:
  "kafka.server:name=PartitionCount,type=ReplicaManager": [Value]
  "java.lang:type=Memory": [HeapMemoryUsage]
  "java.lang:*": [ThreadCount]
""",
    "new object names win": "includeObjectNames: ['kafka.log:*']\nwhitelistObjectNames: ['kafka.server:*']",
    "java's own": """
rules:
- pattern: 'kafka.server<type=Broker\\p{Upper}\\w++, name=(?<what>\\w+?)PerSec, topic=(?!user)(.*+)><>Count'
- pattern: 'kafka.server<type=Broker\\p{Upper}\\w++, name=(?<what>\\w+?)PerSec, topic=(?!user)([^>]*+)><>Count'
  name: 'x_${what}'
  labels: {topic: $2}
- {pattern: '(?i)KAFKA\\.SERVER<TYPE=(\\w+), NAME=([\\w&&[^B]]+)><>(?-i)V', name: 'y_$2'}
- pattern: '(?<=name=)(Size|LogEndOffset), topic=(\\w+)([._-])(\\w+)'
  name: 'z_$1'
  labels: {a: $2, b: $4, "c$3": d}
- pattern: '\\Qkafka.cluster<\\E[^>]*?topic=([a-z_.]{3,6})(?>\\S*?)(?:, partition=([02468]))'
  name: w
  labels: {t: $1, p: $2}
- pattern: 'name=NumLogSegments, topic=((\\w)\\w*)[._](\\w*)\\2(\\w*), partition=(\\d)(?<!1)'
  name: v_$2
  labels: {a: $3, b: $4, p: $5}
""",
    "a colon in a value": "rules: [{pattern: 'type=app-info', name: x, value: 1}]",
    "ten groups": """
rules:
- pattern: '(k)(a)(f)(k)(a)(.)(s)(e)(r)(v)(er)<type=(\\w+), name=(\\w+)><>Value'
  name: 'x_$13_$12'
  labels: {a: $10$1, b: $99, c: $011}
""",
    "missing group": "rules: [{pattern: 'name=LeaderCount><>Value', name: x_$1}]",
    "open dollar": "rules: [{pattern: 'name=LeaderCount><>Value', name: x, labels: {a: 'b$'}}]",
    "bad label name": "rules: [{pattern: 'name=LeaderCount><>Value', name: x, labels: {'a:b': c}}]",
    "label twice": "rules: [{pattern: 'name=(LeaderCount)><>Value', name: x, labels: {a b: c, a-b: d}}]",
    "the exporter's own name": "rules: [{pattern: 'name=LeaderCount><>Value', name: jvm_threads_current}]",
    "counter below zero": "rules: [{pattern: 'name=LeaderCount><>Value', name: x, type: COUNTER, valueFactor: -1}]",
    "value without pattern": "rules: [{value: 1}]",
    "refused": "rules: [{pattern: 'name=LeaderCount><>Value', name: 3}]",
    "refused pattern": "rules: [{pattern: 'name=(LeaderCount', name: x}]",
    "refused switch": "lowercaseOutputName: 'true'",
    "refused object name": "includeObjectNames: ['kafka.server']",
    "refused rules": "rules:",
}  # fmt: skip

OURS = {
    "init": jmx_configuration(),
    "init, idiomatic": jmx_configuration(idiomatic=True),
    "founding": FOUNDING,
}

PATTERNS = [
    "kafka.server<type=(.+), name=(.+)><>Value", "kafka\\.(\\w+)<type=([^,]+), name=([^,]+)><>(Count|Value)",
    "kafka.server<type=(.+), name=(.+), topic=(.+)><>(\\w+)", "kafka.(\\w+)<type=(.+), name=(.+), (.+)=(.+)><>",
    "kafka.network<type=RequestMetrics, name=(\\w+), request=(\\w+)><>(\\d+)thPercentile",
    "kafka.(.*)<type=(.*)><>(.*-(?:rate|avg))", "kafka.log<type=Log, name=(.*), topic=(.*), partition=(.*)><>Value",
    "(java.lang|kafka.cluster)<type=(\\w+)(.*)><(.*)>(\\w+)",
    "kafka.controller<(.*)name=(\\w*?)(Count)?><>Value: (\\d+)",
    "(\\d+)(thPercentile|\\b)", "kafka.server<type=(Broker|Replica)(\\w*), name=(\\w+?)(PerSec)?(, topic=(.*))?><>",
]  # fmt: skip
NAMES = ["kafka_$1", "$1_$2", "k_$1_total", "a.$2-$1", "x", "${1}" + "x", "K_$2_info", "$1$2_bucket", "_$1"]
LABELS = [("topic", "$2"), ("a-b", "$1"), ("A", "x"), ("part", "$3"), ("_objectname", "$1"), ("n$1", "$2"), ("p", "")]
KINDS = ["COUNTER", "GAUGE", "UNTYPED", "UNKNOWN", "counter", "HISTOGRAM"]
OBJECT_NAMES = ["kafka.server:*", "kafka.*:type=Log,*", "*:name=*PerSec,*", "java.lang:type=Memory", "kafka.network:*"]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def random_config(rng):
    """Write a configuration by a grammar; some break scrapes or are refused."""
    lines = []
    for key in ("lowercaseOutputName", "lowercaseOutputLabelNames"):
        if rng.random() < 0.2:
            lines.append(f"{key}: {rng.choice(['true', 'no'])}")
    for key in ("includeObjectNames", "blacklistObjectNames"):
        if rng.random() < 0.2:
            lines.append(f"{key}: [{quoted(rng.choice(OBJECT_NAMES))}, {quoted(rng.choice(OBJECT_NAMES))}]")
    lines.append("rules:")
    for _ in range(rng.randint(1, 5)):
        lines.append(f"- pattern: {quoted(rng.choice(PATTERNS))}")
        if rng.random() < 0.85:
            lines.append(f"  name: {quoted(rng.choice(NAMES))}")
            labels = dict(rng.sample(LABELS, rng.choice([0, 0, 1, 1, 2])))
            if labels:
                inside = ", ".join(f"{quoted(name)}: {quoted(value)}" for name, value in labels.items())
                lines.append(f"  labels: {{{inside}}}")
            if rng.random() < 0.2:
                lines.append("  help: 'about $1'")
        for key, chance, values in (
            ("type", 0.5, KINDS),
            ("valueFactor", 0.2, ["0.5", "1000", "x"]),
            ("value", 0.05, ["$1", "7", "-1.5e1", "x"]),
            ("attrNameSnakeCase", 0.15, ["true"]),
            ("cache", 0.2, ["true", "false"]),
        ):
            if rng.random() < chance:
                lines.append(f"  {key}: {rng.choice(values)}")
    return "\n".join(lines) + "\n"
