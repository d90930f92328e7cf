"""Choosing rule values from evidence, and saying how sure that is."""
