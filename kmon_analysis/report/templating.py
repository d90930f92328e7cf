"""The Jinja environment of every page: foreign text is escaped and cleaned, an unknown name is an error."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kmon_analysis.report.words import clean
from kmon_analysis.tabular import SORT_SCRIPT, SORT_SOURCE, TABLE_STYLE

if TYPE_CHECKING:
    import jinja2

__all__ = ["environment"]


@lru_cache(maxsize=4)
def environment(*rooms: str) -> jinja2.Environment:
    """Return an environment that finds the templates of some rooms, and those of the house's look.

    Parameters
    ----------
    *rooms : str
        Packages with a folder ``templates``, searched before that of `kmon_analysis.report`.
    """
    import jinja2
    from markupsafe import Markup

    def finalise(value: Any) -> Any:
        # Escaping stops markup, not characters that turn the reading order round: those go here, once for all.
        return value if isinstance(value, Markup) else clean(str(value), lines=True)

    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(room) for room in (*rooms, "kmon_analysis.report")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=finalise,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"table_style": TABLE_STYLE, "sort_script": SORT_SCRIPT, "sort_source": SORT_SOURCE}
    return made
