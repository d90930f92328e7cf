"""Tune Kafka alert rules from evidence."""
