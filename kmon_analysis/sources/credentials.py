"""Credentials for a server, from environment variables: a command line shows in the list of processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kmon_analysis.errors import SettingError
from kmon_analysis.sources.connection import check_url, connect

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

__all__ = ["VARIABLES", "authorised", "check_credentials", "same_server"]

_TOKEN, _USER, _PASSWORD, _CA = VARIABLES = (
    "KMON_PROMETHEUS_TOKEN",
    "KMON_PROMETHEUS_USER",
    "KMON_PROMETHEUS_PASSWORD",
    "KMON_PROMETHEUS_CA",
)


def authorised(source: str, environment: Mapping[str, str]) -> str | PrometheusConnect:
    """Return a connection with the credentials of an environment; the URL itself where there are none.

    Parameters
    ----------
    source : str
        URL of the server. Credentials that it holds itself go before those of the environment.
    environment : Mapping
        ``KMON_PROMETHEUS_TOKEN`` is a bearer token, ``KMON_PROMETHEUS_USER`` and ``KMON_PROMETHEUS_PASSWORD`` are for
        basic authentication, ``KMON_PROMETHEUS_CA`` is a file of certificates to trust.

    Raises
    ------
    SettingError
        If the URL is none, or the variables contradict each other or cannot be used; no value of one is repeated.

    Notes
    -----
    They travel as ``Authorization``, which ``requests`` takes away where a redirect leads to another host.
    """
    check_url(source)
    auth, authority = check_credentials(environment)
    if "@" in urlsplit(source).netloc:
        auth = None
    if auth is None and authority is None:
        return source
    client = connect(source)
    client.auth = auth
    if authority is not None:
        client._session.verify = str(authority)
    return client


def check_credentials(environment: Mapping[str, str]) -> tuple[Any, Path | None]:
    """Return what `requests` takes for authentication and the file of certificates, or None for each.

    Raises
    ------
    SettingError
        As `authorised`.
    """
    token = environment.get(_TOKEN, "").strip()
    user, password = environment.get(_USER, ""), environment.get(_PASSWORD, "")
    if token and (user or password):
        raise SettingError("both a token and a user are given", place=f"{_TOKEN} and {_USER}", cure="Unset one of them")
    if bool(user) != bool(password):
        missing, there = (_PASSWORD, _USER) if user else (_USER, _PASSWORD)
        raise SettingError(f"is set without {missing}", place=there, cure="Set both, or neither")
    # What no header can hold would come back in the message of whoever refuses it.
    if not all("!" <= char <= "~" for char in token):
        raise SettingError("holds a character that no token has", place=_TOKEN, cure="Set it to the token alone")
    if ":" in user:
        raise SettingError("holds a colon, which no user name may have", place=_USER, cure="Set it to the name alone")
    authority = environment.get(_CA, "").strip()
    path = Path(authority).expanduser() if authority else None
    if path is not None and not path.is_file():
        raise SettingError(f"there is no such file: {authority!r}", place=_CA, cure="Check the path")
    if token:
        return _bearer(token), path
    return ((user.encode(), password.encode()) if user else None), path


def _bearer(token: str) -> Callable[[Any], Any]:
    """Add the token to a request; as a header of the session, a .netrc would go before it."""

    def add(request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return add


def same_server(one: str, other: str) -> bool:
    """Tell whether two URLs are of one scheme, host and port."""
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.hostname, first.port) == (second.scheme, second.hostname, second.port)
