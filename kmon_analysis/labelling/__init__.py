"""Labelled truth where there is none yet: suggested windows, and the incident lists of other tools."""
