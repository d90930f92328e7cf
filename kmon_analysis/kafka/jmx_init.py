"""Write a configuration of the JMX exporter whose metrics the rules of this toolkit read."""

from __future__ import annotations

import os
from pathlib import Path

from kmon_analysis.errors import OutputError

__all__ = ["jmx_configuration", "write_new"]

_HEAD = """\
# Configuration of the Prometheus JMX exporter (release 1.0 or newer) for brokers and controllers of Kafka,
# written by 'kmon jmx init{option}'. Check changes with 'kmon jmx lint FILE'.
#
# Every node runs the agent, dedicated controllers too: the beans of kafka.controller exist only there.
#   KAFKA_OPTS="-javaagent:jmx_prometheus_javaagent.jar=7071:FILE"

{case}
# Only these are asked for; all others would make each scrape slower and be dropped by the rules.
includeObjectNames:
  - "kafka.server:type=BrokerTopicMetrics,*"
  - "kafka.server:type=ReplicaManager,*"
  - "kafka.controller:type=KafkaController,*"

# The first rule that matches an attribute takes it. Patterns are not anchored, so each one ends at the attribute's
# ':'; ([^,]+) stops at the end of a property, where (.+) would run into the next one.
rules:
"""

_EXACT = """\
  # Meters have a Count, which only grows, and rates; they have no Value. The topic becomes a label. UNTYPED keeps
  # the name: for a COUNTER the exporter adds '_total'.
  #   kafka_server_BrokerTopicMetrics_MessagesInPerSec{topic="..."}, kafka_server_BrokerTopicMetrics_BytesInPerSec
  - pattern: 'kafka\\.server<type=(BrokerTopicMetrics), name=([^,]+), topic=([^,]+)><>Count:'
    name: kafka_server_$1_$2
    type: UNTYPED
    labels:
      topic: "$3"

  # The sum over all topics is left out: under the same name, sum() would count everything twice. Who wants it gives
  # it another name:
  # - pattern: 'kafka\\.server<type=(BrokerTopicMetrics), name=([^,]+)><>Count:'
  #   name: kafka_server_$1_AllTopics_$2
  #   type: UNTYPED

  # Gauges have a Value.
  #   kafka_server_ReplicaManager_LeaderCount, kafka_server_ReplicaManager_UnderReplicatedPartitions
  - pattern: 'kafka\\.server<type=(ReplicaManager), name=([^,]+)><>Value:'
    name: kafka_server_$1_$2
    type: GAUGE

  # Every controller reports the offline partitions of the whole cluster: take max() of them, and sum() of
  # kafka_controller_KafkaController_ActiveControllerCount.
  #   kafka_controller_KafkaController_OfflinePartitionsCount
  - pattern: 'kafka\\.controller<type=(KafkaController), name=([^,]+)><>Value:'
    name: kafka_controller_$1_$2
    type: GAUGE
"""

_IDIOMATIC = """\
  # Meters have a Count, which only grows, and rates; they have no Value. The topic becomes a label. The rate is
  # Prometheus' own work, so that 'PerSec' goes from the name; a COUNTER's name ends in '_total'.
  #   kafka_server_brokertopicmetrics_messagesin_total{topic="..."}, kafka_server_brokertopicmetrics_bytesin_total
  - pattern: 'kafka\\.server<type=(BrokerTopicMetrics), name=([^,]+)PerSec, topic=([^,]+)><>Count:'
    name: kafka_server_$1_$2_total
    type: COUNTER
    labels:
      topic: "$3"

  # The sum over all topics is left out: under the same name, sum() would count everything twice. Who wants it gives
  # it another name:
  # - pattern: 'kafka\\.server<type=(BrokerTopicMetrics), name=([^,]+)PerSec><>Count:'
  #   name: kafka_server_$1_alltopics_$2_total
  #   type: COUNTER

  # Gauges have a Value.
  #   kafka_server_replicamanager_leadercount, kafka_server_replicamanager_underreplicatedpartitions
  - pattern: 'kafka\\.server<type=(ReplicaManager), name=([^,]+)><>Value:'
    name: kafka_server_$1_$2
    type: GAUGE

  # Every controller reports the offline partitions of the whole cluster: take max() of them, and sum() of
  # kafka_controller_kafkacontroller_activecontrollercount.
  #   kafka_controller_kafkacontroller_offlinepartitionscount
  - pattern: 'kafka\\.controller<type=(KafkaController), name=([^,]+)><>Value:'
    name: kafka_controller_$1_$2
    type: GAUGE
"""

_KEEP = """\
# The names keep their capitals, as in kafka_server_BrokerTopicMetrics_MessagesInPerSec.
lowercaseOutputName: false
"""
_LOWER = """\
# Names in small letters, as most published rules and dashboards have them.
lowercaseOutputName: true
"""


def jmx_configuration(*, idiomatic: bool = False) -> str:
    """Return a configuration with comments.

    Parameters
    ----------
    idiomatic : bool
        Small letters and counters that end in ``_total``, instead of Kafka's own names.

    Examples
    --------
    >>> "kafka_server_$1_$2_total" in jmx_configuration(idiomatic=True)
    True
    """
    head = _HEAD.format(option=" --idiomatic" if idiomatic else "", case=_LOWER if idiomatic else _KEEP)
    return head + (_IDIOMATIC if idiomatic else _EXACT)


def write_new(path: str | Path, text: str) -> None:
    """Write a file that does not exist yet, whole or not at all.

    Raises
    ------
    OutputError
        If there is something already, or if the folder cannot be written.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(text.encode())
            _place_new(beside, target)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        if isinstance(error, FileExistsError) and target.parent.is_dir():
            problem, cure = "is there already", "Choose another name, or remove it first"
        else:
            problem = f"cannot be written: {getattr(error, 'strerror', None) or error}"
            cure = "Choose a folder that you may write to, with room on its disk"
        raise OutputError(problem, place=str(path), cure=cure) from None


def _place_new(beside: Path, target: Path) -> None:
    """Move a file to a name that is free."""
    try:
        # A link does not replace what is there, not even what came a moment ago.
        os.link(beside, target)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has links.
        target.open("xb").close()
        os.replace(beside, target)  # noqa: PTH105 - os.replace says that it replaces
