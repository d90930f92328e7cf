"""Serving the endpoint with uvicorn."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from kmon_analysis.errors import SettingError
from kmon_analysis.health.application import application, make_prober
from kmon_analysis.health.probe import Prober
from kmon_analysis.health.settings import Settings

__all__ = ["serve"]


class _Server(uvicorn.Server):
    """Says ``shutting_down`` for a while before the port closes, so that a balancer looks elsewhere first."""

    def __init__(self, config: uvicorn.Config, prober: Prober, grace_s: float) -> None:
        super().__init__(config)
        self._prober = prober
        self._grace_s = grace_s
        self._leaves_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to leave at the first signal, leave at the second."""
        if self._leaves_at is None:
            self._prober.shutting_down = True
            self._leaves_at = time.monotonic() + self._grace_s
            return
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Leave when the time has come."""
        if self._leaves_at is not None and time.monotonic() >= self._leaves_at:
            self.should_exit = True
        return await super().on_tick(counter)


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until a signal ends it.

    Parameters
    ----------
    settings : Settings
        What is checked and where is listened.
    ready : callable
        Told the address once requests are accepted.

    Raises
    ------
    SettingError
        If the address cannot be listened on, or a check cannot be made.
    """
    prober = make_prober(settings)
    listener = _listen(settings.host, settings.port)
    # With a protocol error by a client, uvicorn's own log would show what it sent.
    options: dict[str, Any] = {"log_level": "critical", "access_log": False, "server_header": False, "ws": "none"}
    config = uvicorn.Config(application(prober), timeout_graceful_shutdown=5, lifespan="off", **options)
    host, port = listener.getsockname()[:2]
    ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    _Server(config, prober, settings.shutdown_grace_ms / 1000).run(sockets=[listener])
    prober.close()


def _listen(host: str, port: int) -> socket.socket:
    place = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingError(
            f"cannot listen: {reason}", place=place, cure="Choose another 'port' or 'host' in the configuration"
        ) from None
    return listener
