"""The published description of the endpoint, OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from kmon_analysis import __version__

__all__ = ["document"]


def _entry(status: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"enum": [status]}, "message": {"type": "string"}},
        "additionalProperties": True,
    }


def _entries(*statuses: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": {"anyOf": [_entry(status) for status in statuses]}}


def _answer(*statuses: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["status", "info", "error", "details"],
        "additionalProperties": False,
        "properties": {
            "status": {"enum": list(statuses)},
            "info": _entries("up"),
            "error": _entries("down"),
            "details": _entries("up", "down"),
        },
    }


def document() -> dict[str, Any]:
    """Return the document served at ``/openapi.json``."""
    headers = {"Cache-Control": {"required": True, "schema": {"const": "no-cache, no-store, must-revalidate"}}}

    def health(what: str, *statuses: str) -> dict[str, Any]:
        return {
            "description": what,
            "headers": headers,
            "content": {"application/json": {"schema": _answer(*statuses)}},
        }

    return {
        "openapi": "3.1.0",
        "info": {"title": "Integration health", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": {
            "/health/integrations": {
                "get": {
                    "operationId": "integrations",
                    "summary": "Whether Kafka can be reached and events are being delivered",
                    "responses": {
                        "200": health("Everything is up.", "ok"),
                        "503": health("Something is down, or the program is about to end.", "error", "shutting_down"),
                    },
                }
            },
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "The same facts for Prometheus",
                    "responses": {
                        "200": {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
                    },
                }
            },
        },
    }
