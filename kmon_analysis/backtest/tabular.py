"""The former place of `kmon_analysis.tabular`."""

from __future__ import annotations

from kmon_analysis.tabular import html_table, text_table

__all__ = ["html_table", "text_table"]
