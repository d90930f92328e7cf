"""Links to a span of time in Grafana and Prometheus, everything foreign percent-escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

from kmon_analysis.errors import SettingError
from kmon_analysis.kafka.dashboard import UID
from kmon_analysis.kafka.dialects import dialects
from kmon_analysis.timing import SECOND_MS, Interval, format_duration

__all__ = ["grafana_link", "prometheus_link"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LABEL = "label."
_KNOWN = ("from_ms", "to_ms", "labels", "rule", "label.NAME")
# Variables of the dashboard that kmon writes.
_ROLES = ("cluster", "topic", "group")


def grafana_link(template: str, span: Interval, labels: Mapping[str, str], *, rule: str = "") -> str:
    """Return the address of a dashboard at a time.

    Parameters
    ----------
    template : str
        An address with any of ``{from_ms}``, ``{to_ms}``, ``{labels}`` (as ``var-NAME=VALUE&…``), ``{rule}`` and
        ``{label.NAME}``; or one without, of Grafana itself (then of the dashboard that ``kmon dashboard`` writes)
        or of a dashboard (``…/d/UID``).
    span : Interval
        What to show.
    labels : Mapping
        What it is about. The dashboard's own variables ``cluster``, ``topic`` and ``group`` are set from whatever
        the known exporters call them.
    rule : str
        The alert's name.

    Raises
    ------
    SettingError
        If the template is no web address, or has a placeholder that means nothing.

    Examples
    --------
    >>> grafana_link("https://grafana.example.com", Interval(0, 60_000), {"consumergroup": "a b"})
    'https://grafana.example.com/d/kmon-kafka?from=0&to=60000&var-group=a%20b'
    """
    if not _PLACEHOLDER.search(template):
        return _of_dashboard(checked(template, "--grafana"), span, labels)
    values = {
        "from_ms": str(span.start_ms),
        "to_ms": str(span.end_ms),
        "labels": _variables({**labels, **_roles(labels)}),
        "rule": _escaped(rule),
    }

    def filled(found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith(_LABEL):
            return _escaped(labels.get(name.removeprefix(_LABEL), ""))
        if name not in values:
            raise SettingError(
                f"{{{name}}} means nothing in the address of a dashboard",
                place="--grafana",
                cure="Known are " + ", ".join(f"{{{each}}}" for each in _KNOWN),
            )
        return values[name]

    return checked(_PLACEHOLDER.sub(filled, template), "--grafana")


def prometheus_link(url: str, expr: str, span: Interval, *, version: str | None = None) -> str:
    """Return the address of an expression's graph at a time.

    Parameters
    ----------
    url : str
        Of Prometheus.
    expr : str
        PromQL.
    span : Interval
        What to show.
    version : str, optional
        Release of the server; from 3.0 on the page is ``/query``, to which ``/graph`` leads as well.

    Notes
    -----
    Prometheus ``web/ui/react-app/src/utils/index.ts``, ``parseOption``, and
    ``web/ui/mantine-ui/src/pages/query/urlStateEncoding.ts``: both read numbered tabs and times in UTC.
    """
    parts = urlsplit(checked(url, "--prometheus-url"))
    major = (version or "").partition(".")[0]
    page = "query" if major.isdecimal() and int(major) >= 3 else "graph"
    end = datetime.fromtimestamp(-(-span.end_ms // SECOND_MS), UTC).strftime("%Y-%m-%d %H:%M:%S")
    length = format_duration(-(-span.duration_ms // SECOND_MS) * SECOND_MS)
    query = {"expr": expr, "tab": "0", "range_input": length, "end_input": end}
    return urlunsplit(
        (
            parts.scheme,
            parts.netloc,
            f"{parts.path.rstrip('/')}/{page}",
            "&".join(f"g0.{name}={_escaped(value)}" for name, value in query.items()),
            "",
        )
    )


def checked(address: str, place: str) -> str:
    """Return a web address without credentials; anything else could run a script when it is followed."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or not address.isprintable() or any(map(str.isspace, address)):
        raise SettingError(f"{address!r} is no web address", place=place, cure="Write it as https://host/path")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _of_dashboard(address: str, span: Interval, labels: Mapping[str, str]) -> str:
    parts = urlsplit(address)
    path = parts.path.rstrip("/")
    if "/d/" not in f"{path}/":
        path = f"{path}/d/{UID}"
    shown = [f"from={span.start_ms}", f"to={span.end_ms}", _variables(_roles(labels))]
    return urlunsplit((parts.scheme, parts.netloc, path, "&".join(filter(None, [parts.query, *shown])), ""))


@lru_cache(maxsize=1)
def _role_of() -> Mapping[str, str]:
    """Map label names of all dialects to the dashboard's variables."""
    return {
        label: role
        for dialect in dialects().values()
        for metric in dialect.metrics.values()
        for role, label in metric.labels.items()
        if role in _ROLES
    }


def _roles(labels: Mapping[str, str]) -> dict[str, str]:
    found = {_role_of()[name]: value for name, value in labels.items() if name in _role_of()}
    return {role: found[role] for role in _ROLES if role in found}


def _variables(values: Mapping[str, str]) -> str:
    return "&".join(f"var-{_escaped(name)}={_escaped(value)}" for name, value in values.items())


def _escaped(text: str) -> str:
    """Escape everything but letters, digits and ``_.-~``; a blank is %20, since not every page reads a plus."""
    return quote(text, safe="")
