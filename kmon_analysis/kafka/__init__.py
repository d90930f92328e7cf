"""Kafka's side: dialects of metric names, exporter configuration, starter rules, dashboard."""
