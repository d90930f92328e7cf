"""The routes, and what is behind them."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kmon_analysis.health.brokers import KafkaCheck
from kmon_analysis.health.delivery import DeliveryCheck, open_database
from kmon_analysis.health.metrics import exposition
from kmon_analysis.health.openapi import document
from kmon_analysis.health.outcome import Check, Redaction, body, http_status
from kmon_analysis.health.probe import Prober
from kmon_analysis.health.settings import Settings

__all__ = ["application", "health_routes", "make_checks", "make_prober"]

# As Terminus sends it: no proxy may answer for us.
_HEADERS = {"Cache-Control": "no-cache, no-store, must-revalidate"}


def make_checks(settings: Settings) -> tuple[Check, ...]:
    """Make the checks of a configuration; nothing is asked yet.

    Raises
    ------
    SettingError
        If librdkafka refuses a property or a database's driver is absent.
    """
    redaction = Redaction(settings.secrets)
    checks: list[Check] = [KafkaCheck(kafka, redaction) for kafka in settings.kafka]
    databases = {database.name: database for database in settings.databases}
    sharing = [event.database for event in settings.events]
    engines = {name: open_database(databases[name], sharing.count(name)) for name in dict.fromkeys(sharing)}
    checks += (
        DeliveryCheck(event, databases[event.database], engines[event.database], redaction) for event in settings.events
    )
    return tuple(checks)


def make_prober(settings: Settings) -> Prober:
    """Make what asks the checks of a configuration."""
    return Prober(make_checks(settings), Redaction(settings.secrets))


def health_routes(settings: Settings | Prober) -> list[Route]:
    """Return routes to mount in a Starlette or FastAPI application.

    Parameters
    ----------
    settings : Settings or Prober
        A configuration (see `kmon_analysis.health.reader.read_settings`), or what `make_prober` made of it.

    Returns
    -------
    list of Route
        ``/health/integrations``, ``/metrics`` and ``/openapi.json``.

    Raises
    ------
    SettingError
        If librdkafka refuses a property or a database's driver is absent.
    """
    prober = settings if isinstance(settings, Prober) else make_prober(settings)

    async def integrations(request: Request) -> Response:
        answer = body(await prober.outcomes(), shutting_down=prober.shutting_down)
        return JSONResponse(answer, http_status(answer), headers=_HEADERS)

    async def metrics(request: Request) -> Response:
        return Response(exposition(await prober.outcomes()), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(request: Request) -> Response:
        return JSONResponse(document())

    return [
        Route("/health/integrations", integrations, methods=["GET"], name="health-integrations"),
        Route("/metrics", metrics, methods=["GET"], name="health-metrics"),
        Route("/openapi.json", openapi, methods=["GET"], name="health-openapi"),
    ]


def application(prober: Prober) -> Starlette:
    """Return an application of its own with the routes."""
    return Starlette(routes=health_routes(prober))
