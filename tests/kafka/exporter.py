"""A small exporter of ours: given series on a free loopback port, in the text format that Prometheus scrapes."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kmon_analysis.labels import METRIC_NAME

__all__ = ["exporting", "text_format"]


def text_format(samples):
    """Write (labels, value) pairs; only backslash, quote and line break are escaped there."""
    lines = []
    for labels, value in samples:
        inner = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items() if name != METRIC_NAME)
        lines.append(f"{labels[METRIC_NAME]}{{{inner}}} {value}")
    return "\n".join(sorted(lines)) + "\n"


def escaped(text):
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@contextlib.contextmanager
def exporting(samples):
    """Serve the samples; give a Prometheus configuration that scrapes them every second."""
    body = text_format(samples).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield (
                "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
                "scrape_configs:\n- job_name: kafka\n  honor_labels: true\n  static_configs:\n"
                f"  - targets: ['127.0.0.1:{server.server_port}']\n"
            )
        finally:
            server.shutdown()
            thread.join(10)
