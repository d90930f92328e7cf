"""What Grafana does to a query before it sends it.

Sources: Grafana's ``packages/grafana-data`` and ``public/app/features/templating``
(format ``regex``), as documented under "Advanced variable format options".
"""

from __future__ import annotations

import re

_REGEX = re.compile(r"[-/\\^$*+?.()|\[\]{}]")
_VARIABLE = re.compile(r"\$\{(\w+):regex\}")


def regex_format(values):
    """Write the chosen values in the format ``regex``."""
    escaped = [_REGEX.sub(lambda found: "\\" + found[0], value) for value in values]
    return escaped[0] if len(escaped) == 1 else "(" + "|".join(escaped) + ")"


def interpolate(query, chosen, model, interval="4m"):
    """Replace the variables of a query; a variable that is not chosen stands at All."""
    every = {each["name"]: each.get("allValue") for each in model["templating"]["list"]}

    def value(found):
        name = found[1]
        return regex_format(chosen[name]) if name in chosen else every[name]

    return _VARIABLE.sub(value, query).replace("$__rate_interval", interval)
