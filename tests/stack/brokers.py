"""Configuration of three KRaft brokers (each a controller, too) with the JMX exporter's agent."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Broker", "format_storage", "write_configuration"]

# Quick to start and small; what is broken is noticed within seconds instead of a minute.
SETTINGS = """\
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
background.threads=2
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=1
offsets.topic.num.partitions=3
offsets.topic.replication.factor=3
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.retention.minutes=1440
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=2097152
log.index.size.max.bytes=1048576
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
replica.lag.time.max.ms=6000
controller.quorum.fetch.timeout.ms=4000
controller.quorum.election.timeout.ms=2000
leader.imbalance.check.interval.seconds=5
leader.imbalance.per.broker.percentage=0
"""

LOGGING = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss,SSS} %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""

JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xms96m", "-Xmx320m", "-Xss512k")


@dataclass(frozen=True)
class Broker:
    """One broker: its node id, its folder and its three ports."""

    node: int
    folder: Path
    port: int
    controller_port: int
    metrics_port: int

    @property
    def name(self) -> str:
        """Return the name of its process."""
        return f"broker-{self.node}"

    @property
    def address(self) -> str:
        """Return where clients connect."""
        return f"127.0.0.1:{self.port}"

    def command(self, kafka: Path) -> list[str | Path]:
        """Return the command that runs it; `kafka` is the program made by ``tests/judges/kafka``."""
        agent = kafka.parent / "agent" / "jmx_exporter.jar"
        return [
            kafka,
            *JVM,
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            f"-javaagent:{agent}=127.0.0.1:{self.metrics_port}:{self.folder / 'jmx.yml'}",
            "kafka.Kafka",
            self.folder / "server.properties",
        ]


def write_configuration(brokers: list[Broker], jmx: str) -> None:
    """Write the files of all brokers; `jmx` is the exporter's configuration."""
    voters = ",".join(f"{broker.node}@127.0.0.1:{broker.controller_port}" for broker in brokers)
    for broker in brokers:
        broker.folder.mkdir(parents=True)
        own = (
            f"node.id={broker.node}\n"
            f"listeners=PLAINTEXT://{broker.address},CONTROLLER://127.0.0.1:{broker.controller_port}\n"
            f"controller.quorum.voters={voters}\n"
            f"log.dirs={broker.folder / 'data'}\n"
        )
        (broker.folder / "server.properties").write_text(SETTINGS + own, encoding="utf-8")
        (broker.folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        (broker.folder / "jmx.yml").write_text(jmx, encoding="utf-8")


def format_storage(brokers: list[Broker], kafka: Path, cluster_id: str) -> None:
    """Format the storage of all brokers with one run of Kafka's tool: only the node's id differs."""
    first = brokers[0]
    logging = f"-Dlog4j2.configurationFile={first.folder / 'log4j2.properties'}"
    tool = [kafka, *JVM, logging, "kafka.tools.StorageTool", "format", "-t", cluster_id]
    run = subprocess.run(
        [*tool, "-c", first.folder / "server.properties"], capture_output=True, text=True, timeout=120, check=False
    )
    if run.returncode:
        raise RuntimeError(f"Kafka's storage tool failed:\n{run.stdout}{run.stderr}")
    for broker in brokers[1:]:
        data = broker.folder / "data"
        shutil.copytree(first.folder / "data", data)
        meta = data / "meta.properties"
        lines = [
            f"node.id={broker.node}" if line.startswith("node.id=") else line
            for line in meta.read_text(encoding="utf-8").splitlines()
            if not line.startswith("directory.id=")  # the broker makes its own
        ]
        meta.write_text("\n".join([*lines, ""]), encoding="utf-8")
