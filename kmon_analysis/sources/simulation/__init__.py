"""A simulated Kafka service with known incidents, to try rules on before real data is at hand."""
