"""The integration health endpoint: is Kafka reachable, are events being delivered."""

import logging

# Whoever serves decides where its log goes.
logging.getLogger(__name__).addHandler(logging.NullHandler())
