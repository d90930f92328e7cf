"""How alerts make pages, in words and as Alertmanager's configuration says it."""

from __future__ import annotations

import json
import re

from kmon_analysis.errors import printable

__all__ = ["alertmanager_grouping", "page_words"]

_PLAIN = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def page_words(group_by: tuple[str, ...] | None) -> str:
    """Say what gets one page.

    Examples
    --------
    >>> page_words(None), page_words(("topic", "az")), page_words(())
    ('each alert', 'each topic, az', 'the whole rule')
    """
    if group_by is None:
        return "each alert"
    return f"each {printable(', '.join(group_by))}" if group_by else "the whole rule"


def alertmanager_grouping(group_by: tuple[str, ...] | None) -> str:
    """Write the ``group_by`` of an Alertmanager route that sends such pages.

    Notes
    -----
    Alertmanager ``config/config.go``: ``...`` groups by all labels. A page is never of two rules, hence ``alertname``.

    Examples
    --------
    >>> alertmanager_grouping(("topic",)), alertmanager_grouping(None)
    ('group_by: [alertname, topic]', "group_by: ['...']")
    """
    if group_by is None:
        return "group_by: ['...']"
    names = dict.fromkeys(("alertname", *group_by))
    return f"group_by: [{', '.join(name if _PLAIN.fullmatch(name) else json.dumps(name) for name in names)}]"
