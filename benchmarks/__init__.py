"""Ratios against peers, measured in one run; see the README beside this file."""
