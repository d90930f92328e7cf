"""What we do not evaluate ourselves: from the server, or from what it said before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kmon_analysis.errors import ExpressionError, OutputError
from kmon_analysis.history import History
from kmon_analysis.promql.evaluate import check_supported
from kmon_analysis.rules.model import Rule
from kmon_analysis.series import Grid
from kmon_analysis.sources.connection import Patience
from kmon_analysis.sources.evaluation import Evaluated, Evaluator
from kmon_analysis.sources.kept import FOLDER, Kept
from kmon_analysis.sources.prometheus import Progress
from kmon_analysis.timing import EvaluationGrid

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

__all__ = ["ServerSide", "server_side"]


class ServerSide:
    """Evaluates rules on a server, and knows what a server said of them before.

    Parameters
    ----------
    history : History
        The samples that the other rules are evaluated on. Where it lies on disk, answers are kept beside it and
        found there again.
    source : str or PrometheusConnect, optional
        URL, or the user's own connection; None: only what was kept.
    patience : Patience, optional
        Timeouts and retries.
    progress : callable, optional
        Told the rule's name and how far its evaluation is.

    Attributes
    ----------
    answers : list of Evaluated
        Whatever was asked for and answered, in this order.
    """

    def __init__(
        self,
        history: History,
        source: str | PrometheusConnect | None = None,
        *,
        patience: Patience | None = None,
        progress: Callable[[str, Progress], None] | None = None,
    ) -> None:
        self.answers: list[Evaluated] = []
        self._kept = Kept.beside(history)
        self._progress = progress
        self._name = ""
        self._evaluator = None if source is None else Evaluator(source, patience=patience, progress=self._tell)
        self._unkept = ""

    def __call__(self, rule: Rule, grid: EvaluationGrid, query_offset_ms: int) -> Grid:
        """Evaluate a rule's expression.

        Raises
        ------
        ExpressionError
            If the server does not take it, or there is no server and nothing was kept.
        SourceError, HistoryError
            If the server does not do its part, or what was kept is damaged.
        """
        found = None if self._kept is None else self._kept.load(rule.text, grid, query_offset_ms)
        if found is None:
            if self._evaluator is None:
                check_supported(rule.expr)
                raise ExpressionError("nothing of this expression is kept", expression=rule.text, cure="Give a server")
            self._name = rule.name
            found = self._evaluator.evaluate(rule.text, grid, query_offset_ms)
            self._keep(found, grid, query_offset_ms)
        self.answers.append(found)
        return found.grid

    @property
    def by(self) -> str:
        """Who evaluated: ``the server prometheus:9090 (2.42.0)``; all of them, if they were several."""
        return " and ".join(dict.fromkeys(answer.by for answer in self.answers))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the server warned of, each with the expression that it is about, and what could not be kept."""
        said = dict.fromkeys(f"{answer.text}: {warning}" for answer in self.answers for warning in answer.warnings)
        return (*said, *([self._unkept] if self._unkept else []))

    def _keep(self, found: Evaluated, grid: EvaluationGrid, query_offset_ms: int) -> None:
        """Keep an answer where that can be done; a history that cannot be written is no reason to stop."""
        if self._kept is None:
            return
        try:
            self._kept.store(found, grid, query_offset_ms)
        except OutputError as error:
            self._unkept = f"what the server evaluated is not kept: {error.place}: {error.problem}"

    def _tell(self, state: Progress) -> None:
        if self._progress is not None:
            self._progress(self._name, state)


def server_side(
    history: History,
    source: str | PrometheusConnect | None,
    *,
    patience: Patience | None = None,
    progress: Callable[[str, Progress], None] | None = None,
) -> ServerSide | None:
    """Return what evaluates in our place; None where there is neither a server nor anything kept."""
    if source is None and (history.path is None or not (history.path / FOLDER).is_dir()):
        return None
    return ServerSide(history, source, patience=patience, progress=progress)
