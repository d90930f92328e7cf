"""The differential proof: random rule groups and expressions, judged by promtool and running servers of two releases.

Run it as ``python -m tests.conformance --cases 1000 --seed 7``, or from code by `tests.conformance.harness.run`.
"""
