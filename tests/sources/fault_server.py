"""A small HTTP server that misbehaves as told."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import urllib.parse

ANSWER = b'{"status":"success","data":{"resultType":"matrix","result":[]}}'


class Reply:
    """What a script answers: status, body, and how; `keep` leaves the connection open and silent."""

    def __init__(self, status=200, body=ANSWER, headers=(), claimed=None, keep=False):
        self.status, self.headers, self.keep = status, dict(headers), keep
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.claimed = len(self.body) if claimed is None else claimed


def matrix(series, **more):
    """Return the body of an answer; `series` is a list of (labels, [(ms, text), ...])."""
    result = [{"metric": labels, "values": [[ms / 1000, value] for ms, value in samples]} for labels, samples in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}


@contextlib.contextmanager
def serving(script):
    """Serve ``script(method, path, form, headers) -> Reply`` on loopback; yields (url, list of requests)."""
    seen = []
    closing = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            path, _, query = self.path.partition("?")
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length).decode(errors="replace")
            form = {name: values[0] for name, values in urllib.parse.parse_qs(query or text).items()}
            seen.append((self.command, path, form, dict(self.headers)))
            reply = script(self.command, path, form, dict(self.headers))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(reply.claimed))
            self.end_headers()
            self.wfile.write(reply.body)
            if reply.keep:
                self.wfile.flush()
                closing.wait(30)
            if reply.claimed != len(reply.body):
                self.close_connection = True

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass  # clients that give up are what these tests are about

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
