"""Where samples come from: a running Prometheus, files, a simulator; only here are a clock and a network."""
