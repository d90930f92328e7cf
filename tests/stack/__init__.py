"""A real Kafka cluster with everything that watches it, on this machine, without containers.

Three KRaft brokers with the JMX exporter, producers and consumers, a lag exporter, Prometheus 3.x with rules,
Alertmanager and a webhook receiver: `cluster.Stack` starts them on free loopback ports in one folder and stops them;
`faults` breaks parts of it on demand. ``python -m tests.stack`` does the same from a terminal.
"""
