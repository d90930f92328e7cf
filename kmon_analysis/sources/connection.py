"""Requests to a Prometheus server: timeouts, retries and errors that say what to do.

The connection itself is a ``prometheus_api_client.PrometheusConnect``, the user's own or one made
from a URL; its session, headers, credentials and TLS settings are used as they are. Its query methods
are not: they drop the API's warnings, know no splitting and no deadline.
"""

from __future__ import annotations

import html
import json
import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from kmon_analysis.errors import SettingError, SourceCorrupt, SourceRefused, SourceUnreachable, printable
from kmon_analysis.sources.decoding import Answer, decode_answer

if TYPE_CHECKING:
    import requests
    from prometheus_api_client import PrometheusConnect

__all__ = [
    "Connection",
    "FailedThere",
    "NotUnderstood",
    "Patience",
    "Stopped",
    "TooMuchAtOnce",
    "check_url",
    "connect",
    "plain",
]

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_POST = frozenset({301, 302, 303, 307, 308, 403, 405, 501})
_LIMITS = (
    "too many samples",
    "maximum resolution",
    "maximum number of",
    "exceeds the limit",
    "exceeded the limit",
    "limit exceeded",
    "sample limit",
    "query timed out",
    "too large",
)
_CHUNK = 1 << 20
_FIRST_CONTACT_ATTEMPTS = 2
# Status pages answer at once; silence there means that the server hangs.
_STATUS_READ_S = 15.0
_PAGE_BYTES, _PAGE_WORDS = 4_000, 12
_UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]*(?:>|\Z)")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


T = TypeVar("T")


class Stopped(Exception):  # noqa: N818
    """Somebody set the connection's stop event."""


class TooMuchAtOnce(SourceRefused):
    """The server could answer a smaller question."""


class FailedThere(SourceRefused):
    """The server understood the expression and its evaluation failed, as a rule's would."""


class NotUnderstood(SourceRefused):
    """The server does not take the question for one that it can answer."""


# Prometheus web/api/v1/api.go, errorExec and errorBadData; relatives use the same words.
_KINDS = {"execution": FailedThere, "bad_data": NotUnderstood}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server and how often to ask again.

    Attributes
    ----------
    connect_s : float
        Seconds until a connection must stand.
    read_s : float
        Seconds of silence after which an answer is given up. The default lies above Prometheus'
        own two-minute limit, so that the server's reason is seen before ours.
    attempts : int
        Requests in all, for failures that may pass.
    pause_s : float
        First pause between two attempts; it doubles each time, give or take a quarter.
    longest_pause_s : float
        Longest pause, also when the server asks for more.
    """

    connect_s: float = 5.0
    read_s: float = 130.0
    attempts: int = 5
    pause_s: float = 0.5
    longest_pause_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("connect_s", "read_s", "attempts"):
            if getattr(self, name) <= 0:
                raise SettingError(f"{name} is {getattr(self, name)}", cure="Give a positive number")


class _Passing(Exception):  # noqa: N818
    """A failure that may pass; carries what to raise when it does not."""

    def __init__(self, final: Exception, wait_s: float = 0.0) -> None:
        super().__init__(str(final))
        self.final = final
        self.wait_s = wait_s


def plain(text: str, longest: int = 300) -> str:
    """Make a server's words safe to show: one line, nothing but printable characters, not too long."""
    words = " ".join(text.split())
    safe = printable(words)
    return safe if len(safe) <= longest else safe[: longest - 1] + "…"


def _stripped_url(url: str) -> str:
    """Return the URL without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


class Connection:
    """A server that can be asked, from several threads at once.

    Parameters
    ----------
    client : PrometheusConnect
        Gives session, URL, headers, credentials and TLS settings.
    patience : Patience
        Timeouts and retries.
    stop : threading.Event, optional
        When set, pauses end at once and no further attempt is made.
    """

    def __init__(
        self, client: PrometheusConnect, patience: Patience | None = None, stop: threading.Event | None = None
    ) -> None:
        self._client = client
        self._session: requests.Session = client._session
        self.patience = patience or Patience()
        self.stop = stop or threading.Event()
        self.place = _stripped_url(client.url)
        self._base = client.url.rstrip("/")
        self._use_post = True
        self._reached = False
        # Compression costs both ends more than a loopback saves.
        self._headers = {"Accept-Encoding": "identity"} if urlsplit(client.url).hostname in _LOOPBACK else {}

    def ask(self, path: str, parameters: Mapping[str, str], *, received: Callable[[int], None] | None = None) -> Answer:
        """Put a question to the query API and decode the answer.

        Parameters
        ----------
        path : str
            For example ``/api/v1/query``.
        parameters : Mapping
            Form fields; sent as POST, or as GET where the server accepts only that.
        received : callable, optional
            Told the number of bytes as they arrive.

        Raises
        ------
        SourceUnreachable
            No connection, or silence for longer than the patience allows.
        SourceRefused
            The server says no; its own words are in the message. `TooMuchAtOnce` when a smaller
            question may be answered.
        SourceCorrupt
            The answer was cut or unreadable every time.
        """
        return self._patiently(lambda: self._ask_once(path, parameters, received))

    def read(self, path: str) -> Any:
        """Return the ``data`` of a status endpoint, or None if the server does not have it.

        Raises
        ------
        SourceUnreachable, SourceCorrupt
            As for `ask`.
        """
        return self._patiently(lambda: self._read_once(path))

    def exchange(
        self,
        path: str,
        message: bytes,
        headers: Mapping[str, str],
        decode: Callable[[bytes], T],
        *,
        received: Callable[[int], None] | None = None,
    ) -> T:
        """Post a binary message and decode the binary answer.

        Raises
        ------
        SourceUnreachable, SourceRefused, SourceCorrupt
            As for `ask`.
        """

        def once() -> T:
            status, content, wait_s = self._exchange("POST", path, {}, received, message=message, headers=headers)
            if status != 200:
                raise self._refusal(status, path, _first_words(content), wait_s)
            try:
                return decode(content)
            except ValueError as error:
                raise self._unreadable(status, content, path, str(error), wait_s) from None

        return self._patiently(once)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Call until it works, fails for good, or patience ends."""
        pause_s = self.patience.pause_s
        tried = 0
        while True:
            if self.stop.is_set():
                raise Stopped
            try:
                return attempt()
            except _Passing as failure:
                tried += 1
                unknown_place = isinstance(failure.final, SourceUnreachable) and not self._reached
                allowed = _FIRST_CONTACT_ATTEMPTS if unknown_place else self.patience.attempts
                if tried >= min(allowed, self.patience.attempts):
                    raise failure.final from None
                spread = random.uniform(0.75, 1.25)  # noqa: S311
                self.stop.wait(min(max(pause_s * spread, failure.wait_s), self.patience.longest_pause_s))
                pause_s *= 2

    def _ask_once(self, path: str, parameters: Mapping[str, str], received: Callable[[int], None] | None) -> Answer:
        status, content, wait_s = self._exchange("POST" if self._use_post else "GET", path, parameters, received)
        if self._use_post and status in _NO_POST:
            status, content, wait_s = self._exchange("GET", path, parameters, received)
            self._use_post = status in _NO_POST
        try:
            answer = decode_answer(content)
        except ValueError as error:
            raise self._unreadable(status, content, path, str(error), wait_s) from None
        if answer.status == "error":
            kind = _KINDS.get(answer.error_type, SourceRefused)
            raise self._refusal(status, path, f"{answer.error_type}: {answer.error}", wait_s, kind)
        if status >= 400:
            raise self._refusal(status, path, "", wait_s)
        return answer

    def _read_once(self, path: str) -> Any:
        status, content, wait_s = self._exchange(
            "GET", path, {}, None, read_s=min(self.patience.read_s, _STATUS_READ_S)
        )
        if status in _TRY_AGAIN and status != 500:
            raise self._refusal(status, path, _first_words(content), wait_s)
        if status in (401, 407):
            raise self._refusal(status, path, _first_words(content))
        if status >= 400:
            return None
        try:
            body = json.loads(content)
        except ValueError:
            return None
        return body.get("data") if isinstance(body, dict) else None

    def _exchange(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        received: Callable[[int], None] | None,
        read_s: float | None = None,
        message: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, float]:
        """Send one request and return status, body and the wait in seconds that the server asks for."""
        import requests

        place = f"{self.place}{path}"
        client = self._client
        read_s = self.patience.read_s if read_s is None else read_s
        try:
            with self._session.request(
                method,
                f"{self._base}{path}",
                params=parameters if method == "GET" else None,
                data=message if message is not None else parameters if method == "POST" else None,
                headers={**(client.headers or {}), **self._headers, **(headers or {})},
                auth=client.auth,
                verify=getattr(client, "ssl_verification", self._session.verify),
                cert=self._session.cert,
                timeout=(self.patience.connect_s, read_s),
                allow_redirects=method == "GET",
                stream=True,
            ) as response:
                self._reached = True
                parts = []
                for chunk in response.iter_content(_CHUNK):
                    if self.stop.is_set():
                        raise Stopped
                    parts.append(chunk)
                    if received is not None:
                        received(len(chunk))
                return response.status_code, b"".join(parts), _asked_wait(response.headers.get("Retry-After"))
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise SettingError(f"not a URL that can be asked: {plain(str(error))}", place=place) from None
        except requests.exceptions.RequestException as error:
            raise _failure(error, place, self.patience.connect_s, read_s) from None

    def _refusal(
        self, status: int, path: str, words: str, wait_s: float = 0.0, kind: type[SourceRefused] = SourceRefused
    ) -> Exception:
        """Return what to raise for an answer that says no."""
        place = f"{self.place}{path}"
        said = f"{status}: {plain(words)}" if words else str(status)
        lowered = words.lower()
        if any(phrase in lowered for phrase in _LIMITS) or status == 413 or lowered.startswith("timeout:"):
            return TooMuchAtOnce(
                f"the server gave up ({said})", place=place, cure="Ask for less at once, or raise the server's limits"
            )
        if status in _TRY_AGAIN:
            final = SourceRefused(
                f"the server still answers {said} after {self.patience.attempts} attempts",
                place=place,
                cure="Wait until it is well again, then repeat",
            )
            return _Passing(final, wait_s)
        cures = {
            401: "Give credentials: set KMON_PROMETHEUS_TOKEN, or KMON_PROMETHEUS_USER and KMON_PROMETHEUS_PASSWORD (in"
            " Python also a PrometheusConnect with auth or headers)",
            403: "Ask for the right to query, or give other credentials",
            404: "Check the URL and its path: a Prometheus answers at <url>/api/v1/query",
        }
        return kind(
            f"the server refuses ({said})",
            place=place,
            cure=cures.get(status, "Correct what the server objects to"),
        )

    def _unreadable(self, status: int, content: bytes, path: str, reason: str, wait_s: float) -> Exception:
        """Return what to raise for an answer that is not one of the query API."""
        if status != 200:
            return self._refusal(status, path, _first_words(content), wait_s)
        place = f"{self.place}{path}"
        if content.lstrip()[:1] == b"<":
            return SourceRefused(
                "the server answered with a web page, not with data",
                place=place,
                cure="Check the URL, and whether a login stands before it",
            )
        return _Passing(
            SourceCorrupt(
                f"the answer ({len(content):,} bytes) cannot be read: {plain(reason)}",
                place=place,
                cure="Check what lies between here and the server (proxies, size limits), then repeat",
            )
        )


def check_url(source: str) -> None:
    """Refuse what is not the URL of a server, without repeating credentials that it may hold.

    Raises
    ------
    SettingError
        If the URL is not one of http or https, or carries a query part.
    """
    try:
        parts = urlsplit(source)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        raise _no_url(source) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        raise _no_url(source)
    if parts.query or parts.fragment:
        raise SettingError(
            f"{_stripped_url(source)} is followed by a query part, which cannot be passed on",
            cure="Leave it out; a token goes into KMON_PROMETHEUS_TOKEN",
        )


def connect(source: str | PrometheusConnect) -> PrometheusConnect:
    """Return the connection object for a URL, or the user's own.

    Raises
    ------
    SettingError
        If the URL is not one of http or https.
    """
    if not isinstance(source, str):
        return source
    check_url(source)
    from prometheus_api_client import PrometheusConnect
    from urllib3.util.retry import Retry

    # Retries are ours: the library's would multiply them, and skip POST.
    return PrometheusConnect(url=source.rstrip("/"), retry=Retry(total=0, redirect=5))


def _no_url(source: str) -> SettingError:
    """Quote what was typed, without credentials and a query part, which may hold one."""
    shown = re.split(r"[?#]", source, maxsplit=1)[0]
    before, scheme, rest = shown.rpartition("://")
    typed = plain(f"{before}{scheme}{rest.rpartition('@')[2]}", 120)
    return SettingError(f"not the URL of a server: {typed!r}", cure='Write it like "http://localhost:9090"')


def _first_words(content: bytes) -> str:
    """Return a server's reason; of a web page the first words that a reader would see."""
    try:
        body = json.loads(content)
        return f"{body.get('errorType', '')}: {body.get('error', '')}"
    except (ValueError, AttributeError):
        text = content[:_PAGE_BYTES].decode(errors="replace")
    if not text.lstrip().startswith("<"):
        return text[:300]
    words = html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", text))).split()
    said = " ".join(words[:_PAGE_WORDS]) + (" …" if len(words) > _PAGE_WORDS else "")
    return f"a web page that begins: {plain(said, 120)}" if said else "a web page"


def _asked_wait(header: str | None) -> float:
    return float(header) if header and header.strip().isdigit() else 0.0


def _failure(error: requests.exceptions.RequestException, place: str, connect_s: float, read_s: float) -> Exception:
    """Return what to raise for a request that did not come to an answer."""
    import requests.exceptions as kinds

    reason = _innermost(error)
    if isinstance(error, kinds.ReadTimeout) or "Read timed out" in str(error):
        return SourceUnreachable(
            f"no answer within {read_s:g} s",
            place=place,
            cure="Check that the server is well, or allow it more time",
        )
    if isinstance(error, kinds.SSLError):
        return SourceUnreachable(
            f"no secure connection: {reason}",
            place=place,
            cure="Check the certificate, or name the file of whoever signed it: KMON_PROMETHEUS_CA",
        )
    if isinstance(error, kinds.ChunkedEncodingError | kinds.ContentDecodingError):
        return _Passing(SourceCorrupt(f"the answer broke off: {reason}", place=place, cure="Check the connection"))
    if isinstance(error, kinds.TooManyRedirects):
        return SourceRefused("the server redirects in a circle", place=place, cure="Check the URL")
    waited = f"within {connect_s:g} s" if isinstance(error, kinds.ConnectTimeout) else f"({reason})"
    return _Passing(
        SourceUnreachable(
            f"no connection {waited}", place=place, cure="Check the URL, and that the server runs and can be reached"
        )
    )


def _innermost(error: BaseException) -> str:
    """Return the plainest reason in a chain of wrapped errors; wrappers repeat whole URLs."""
    seen: BaseException = error
    while True:
        inner = getattr(seen, "reason", None) or next(
            (arg for arg in seen.args if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        seen = inner
    text = seen.strerror if isinstance(seen, OSError) and seen.strerror else str(seen)
    return plain(re.sub(r"^[^()<>]*(\([^()]*\)|<[^<>]*>): ", "", text))
